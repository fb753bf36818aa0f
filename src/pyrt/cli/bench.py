"""`pyrt bench`: what one event costs on this machine, measured by pytest-benchmark."""

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from pyrt.errors import ConfigError

_COLUMNS = "--benchmark-columns=min,median,stddev,ops,rounds"


def bench(*, json: Path | None = None, quick: bool = False) -> None:
    """Measure decoder, book, bars, pipeline, risk gate and order body: one call from Python each, garbage collection off.

    Compare figures of one run only; the least is what other work on the machine disturbs least.

    Parameters
    ----------
    json
        Where to write everything measured.
    quick
        A look in a few seconds.
    """
    if find_spec("pytest_benchmark") is None:
        raise ConfigError("pytest-benchmark is not installed", where="bench", mend="pip install 'pyrt-trading[bench]'")
    checks = Path(__file__).parents[1] / "latency.py"
    options = ["--benchmark-only", "--benchmark-disable-gc", "--benchmark-sort=name", "--benchmark-warmup=on", _COLUMNS]
    options += ["--benchmark-max-time=0.05", "--benchmark-min-rounds=5"] if quick else []
    options += [f"--benchmark-json={json.absolute()}"] if json else []
    # In a directory of its own: no conftest.py or configuration of the user's has a say.
    with tempfile.TemporaryDirectory(prefix="pyrt-bench-") as folder:
        argv = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", folder, "-p", "no:cacheprovider"]
        argv += ["-p", "no:xdist", "--import-mode=importlib", *options, str(checks)]
        path = os.pathsep.join(str(Path(p).absolute()) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p)
        own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        status = subprocess.run(argv, cwd=folder, env=own | {"PYTHONPATH": path}, check=False).returncode
    if status:
        raise SystemExit(status)
