"""A compiled strategy in a live session over real sockets: it trades, and a replay of the recording gives the same."""

import shutil
import signal
from pathlib import Path

import pytest
from tests.cli.processes import pyrt
from tests.e2e.processes import Run

EXAMPLE = Path(__file__).parents[2] / "examples" / "averages.pyx"


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
