"""A compiled strategy in a live session over real sockets: it trades, and a replay of the recording gives the same."""

import os
import shutil
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tests.cli.processes import pyrt
from tests.e2e.processes import Run, wait_for

from pyrt.journal.inspect import show
from pyrt.model import Filled, StrategyNamed

BESIDE = """
from tests.strategies.twins_in_python import Momentum

class InPython(Momentum):
    pass
"""
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "averages.pyx"
PATHS = [str(Path(path).absolute()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


@pytest.mark.nightly
def test_it_trades_and_is_replayed(tmp_path: Path) -> None:
    pytest.importorskip("Cython", reason="Cython is not installed: compiled strategies are not tested")
    source, state = Path(shutil.copy(EXAMPLE, tmp_path)), tmp_path / "state"
    built = pyrt(tmp_path, "build", str(source))
    assert built.returncode == 0, built.stderr
    faster = [option for setting in ("fast=2", "slow=4", "warmup=4") for option in ("--set", f"SmaCross.{setting}")]
    run = Run("--strategy", str(source), *faster, "--seed", "3", "--journal", str(state))
    try:
        said = run.counted(fills=2).end(signal.SIGINT)
    finally:
        run.close()
    assert run.process.returncode == 0, run.log
    (counts,) = [line.split() for line in said.splitlines() if line.split()[:1] == ["intents"]]
    assert int(counts[counts.index("fills") + 1]) > 1
    replayed = pyrt(tmp_path, "replay", str(state))
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert "equal" in replayed.stdout + replayed.stderr


def test_it_trades_beside_one_in_python(tmp_path: Path, compiled: ModuleType) -> None:
    """The same rule in C and in Python in one session: each trades its own position, the journal replays, nothing is halted."""
    library = sys.modules[compiled.Momentum.__module__].__file__
    assert library
    shutil.copy(Path(library).with_name("twins.pyx"), tmp_path)
    shutil.copy(library, tmp_path)
    (tmp_path / "beside.py").write_text(BESIDE)
    both = ("--strategy", f"{tmp_path / 'twins.pyx'}:Momentum", "--strategy", f"{tmp_path / 'beside.py'}:InPython")
    state = tmp_path / "state"
    run = Run(*both, "--seed", "3", "--journal", str(state), PYTHONPATH=os.pathsep.join([*PATHS, str(ROOT)]))

    def who_filled() -> set[int]:
        return {fact.strategy for _, _, fact in show(state / "journal") if isinstance(fact, Filled)}

    try:
        run.until("trading:")
        wait_for(lambda: len(who_filled()) == 2, "a fill of each")
        said = run.end(signal.SIGINT)
    finally:
        run.close()
    assert run.process.returncode == 0, run.log
    assert "Traceback" not in run.log
    assert "unexplained shares: 0" in said
    names = {fact.strategy: fact.name for _, _, fact in show(state / "journal") if isinstance(fact, StrategyNamed)}
    assert {names[number] for number in who_filled()} == {"Momentum", "InPython"}
