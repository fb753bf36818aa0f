"""docs/library.md is run: its blocks in their order, the compiled strategy beside its twin, the notebook from its first cell."""

from pathlib import Path

import pytest
from bench import material
from tests.docs.test_examples import ROOT, blocks, run

import pyrt
from pyrt.cli.build import compile_file
from pyrt.cli.strategies import load_class
from pyrt.model import Instrument
from pyrt.research import backtest

PAGE = ROOT / "docs" / "library.md"
NOTEBOOK = ROOT / "examples" / "library.ipynb"


def test_the_page_runs_and_its_compiled_strategy_is_its_python_one(tmp_path: Path) -> None:
    pytest.importorskip("Cython", reason="Cython is not installed: the compiled strategy of the page is not tested")
    twin = run(PAGE)["Momentum"]
    ((_, text),) = blocks(PAGE, "cython")
    source = tmp_path / "momentum.pyx"
    source.write_text(text, encoding="utf-8")
    compile_file(source)
    data = material.mixed(3000)
    data["ts_event"] = data["ts_recv"] = material.T0 + 50_000_000 * (data["ts_event"] - material.T0) // 1_000_000
    apple = Instrument(id=1, symbol="AAPL")
    ours, theirs = (backtest(c, data, instruments=(apple,), progress=False) for c in (load_class(str(source)), twin))
    assert len(ours.fills) > 10
    assert ours.digest == theirs.digest


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")  # of the notebook tools, not ours
def test_the_notebook_runs_from_a_fresh_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(Path(pyrt.__file__).parents[1]))  # the kernel runs elsewhere
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any(text.startswith("equal: 7 hours") for text in shown)
    assert any("ORDER_QTY: limit 5000, observed 9000" in text for text in shown)
