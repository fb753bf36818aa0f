"""The first notebook, run as a reader runs it."""

from pathlib import Path

import nbclient
import nbformat
import pytest

import pyrt

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_steps.ipynb"


@pytest.mark.row("S007", "S138")
@pytest.mark.filterwarnings("ignore")  # of the notebook tools, not ours
def test_first_steps_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(pyrt.__file__).parents[1]))  # the kernel runs elsewhere
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("hit rate" in output.get("text", "") for output in shown)
    assert any("<table>" in output.get("data", {}).get("text/html", "") for output in shown)


def test_the_backtest_itself_is_ten_lines() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    sources = [cell.source for cell in notebook.cells if "research.backtest(" in cell.source]
    assert len(sources) == 1
    assert len([line for line in sources[0].splitlines() if line.strip()]) <= 10
