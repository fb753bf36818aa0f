"""The page and the table."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pyrt.errors import ConfigError
from pyrt.research import Result, backtest
from pyrt.strategies.sma_cross import SmaCross


@pytest.fixture(scope="module")
def result(walked: Any) -> Result:
    return backtest(SmaCross(symbols=("AAPL",), interval="1m"), {"AAPL": walked}, progress=False)


@pytest.mark.row("S139")
def test_the_table_says_what_the_arrays_say(result: Result) -> None:
    text = str(result)
    assert f"{result.equity['equity'][-1]:,.2f}" in text
    assert f"round trips    {len(result.trades):,}" in text
    assert result.metrics["total_return"] == result.equity["equity"][-1] / result.equity["equity"][0] - 1
    assert "<table>" in result._repr_html_()
    told = json.loads(result.json())
    assert told["digest"] == result.digest
    assert told["metrics"]["sharpe"] == result.metrics["sharpe"]


def test_the_page_needs_no_network(result: Result, tmp_path: Path) -> None:
    page = result.html(tmp_path / "report.html").read_text()
    assert "<script src" not in page
    assert "<link" not in page
    assert "AAPL" in page
    assert "drawdown" in page


def test_the_chart_has_equity_drawdown_and_every_trade(result: Result) -> None:
    traces = {trace.name: trace for trace in result.plot().data}
    assert traces["equity"].y[-1] == result.equity["equity"][-1]
    assert min(traces["drawdown"].y) == result.metrics["max_drawdown"]
    assert len(traces["buy"].x) + len(traces["sell"].x) == len(result.fills)
    assert len(traces["AAPL"].open) == 600


def test_without_plotly_it_says_what_to_install(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(ConfigError, match="pyrt-trading\\[report\\]"):
        result.plot()
