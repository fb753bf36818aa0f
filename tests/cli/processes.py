"""`python -m pyrt` as a user types it, and a simulated venue that stays."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

from pyrt.__main__ import main
from pyrt.venues.sim.server.config import DEMO_KEY, DEMO_SECRET

PATIENCE = 240


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """Ours, with a state home of the test's own and without anybody's keys."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("APCA_", "ALPACA_"))}
    if path := mine.get("PYTHONPATH"):  # a process may begin elsewhere
        mine["PYTHONPATH"] = os.pathsep.join(str(Path(part).absolute()) for part in path.split(os.pathsep))
    return {**mine, "XDG_STATE_HOME": str(tmp_path / "home"), "COLUMNS": "200", **more}


def call(tmp_path: Path, *arguments: str, keys: bool = False) -> subprocess.CompletedProcess[str]:
    """The same within this process, for what ends before it does anything: a hundred times as fast."""
    more = {"APCA_API_KEY_ID": DEMO_KEY, "APCA_API_SECRET_KEY": DEMO_SECRET} if keys else {}
    out, err = io.StringIO(), io.StringIO()
    here = Path.cwd()
    with (
        mock.patch.dict(os.environ, environment(tmp_path, **more), clear=True),
        mock.patch.object(sys, "argv", ["pyrt", *arguments]),
        mock.patch.object(sys, "stdin", io.StringIO()),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        os.chdir(tmp_path)
        try:
            main()
            code = 0
        except SystemExit as e:
            code = int(e.code or 0)
        finally:
            os.chdir(here)
    return subprocess.CompletedProcess(["pyrt", *arguments], code, out.getvalue(), err.getvalue())


def pyrt(tmp_path: Path, *arguments: str, keys: bool = False, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a verb to its end."""
    more = {"APCA_API_KEY_ID": DEMO_KEY, "APCA_API_SECRET_KEY": DEMO_SECRET} if keys else {}
    env = environment(tmp_path, **more)
    argv = [sys.executable, "-m", "pyrt", *arguments]
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(argv, capture_output=True, text=True, env=env, timeout=PATIENCE, check=False, **options)


@contextmanager
def running_sim(*options: str) -> Iterator[str]:
    """The address of a simulated venue that ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pyrt", "sim", "--rate-limit", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.kill()
        process.communicate()


@contextmanager
def running(tmp_path: Path, *arguments: str, until: str = "trading:") -> Iterator[subprocess.Popen[str]]:
    """A session that goes on until the block ends; entered when its log says `until`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pyrt", "run", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
    )
    try:
        assert process.stderr is not None
        before = []
        for line in process.stderr:
            before.append(line)
            if until in line:
                break
        else:
            raise AssertionError(f"it ended before it said {until!r}: {''.join(before)}")
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
