"""Pictures of a backtest: equity, drawdown, and trades on candles."""

from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pyrt.errors import ConfigError
from pyrt.research.metrics import drawdowns

if TYPE_CHECKING:
    from pyrt.research.result import Result

POINTS = 5000  # of a line; more are thinned, extremes kept
CANDLES = 2000


def _plotly() -> tuple[Any, Any]:
    try:
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots
    except ImportError:
        raise ConfigError("charts need plotly", where="report", mend="pip install 'pyrt-trading[report]'") from None
    return go, make_subplots


def figure(result: "Result") -> Any:
    """A plotly figure: equity, drawdown, then one row of candles with buys and sells for each instrument."""
    go, make_subplots = _plotly()
    symbols = [i.symbol for i in result.instruments.values()]
    heights = [3.0, 1.0, *(3.0 for _ in symbols)]
    titles = ("equity", "drawdown", *symbols)
    fig = make_subplots(
        rows=len(titles), cols=1, shared_xaxes=True, vertical_spacing=0.2 / len(titles), subplot_titles=titles, row_heights=heights
    )
    value = np.ascontiguousarray(result.equity["equity"])
    keep = _thinned(value)
    when = _times(result.equity["ts"][keep])
    fig.add_scatter(x=when, y=value[keep], name="equity", row=1, col=1)
    fig.add_scatter(x=when, y=drawdowns(value)[keep], name="drawdown", fill="tozeroy", row=2, col=1)
    for row, number in enumerate(result.instruments, 3):
        bars = result.samples.candles(number, CANDLES)
        prices = {name: bars[f"{name}_px"] / 1e9 for name in ("open", "high", "low", "close")}
        fig.add_trace(go.Candlestick(x=_times(bars["start"]), **prices, name=symbols[row - 3]), row=row, col=1)
        for side, name, mark in ((1, "buy", "triangle-up"), (2, "sell", "triangle-down")):
            own = result.fills[(result.fills["instrument"] == number) & (result.fills["side"] == side)]
            marker = {"symbol": mark, "size": 9}
            fig.add_scatter(x=_times(own["ts"]), y=own["px"] / 1e9, mode="markers", name=name, marker=marker, row=row, col=1)
    fig.update_xaxes(rangeslider_visible=False)
    fig.update_layout(height=int(120 * sum(heights)), margin={"t": 40, "b": 30}, hovermode="x")
    return fig


def table(result: "Result") -> str:
    """The numbers as an HTML table."""
    rows = "".join(f"<tr><th style='text-align:left'>{escape(n)}</th><td>{escape(v)}</td></tr>" for n, v in result.rows())
    return f"<table>{rows}</table>"


def page(result: "Result") -> str:
    """A whole page that needs no network: the chart's program is in it."""
    chart = figure(result).to_html(full_html=False, include_plotlyjs=True)
    title = escape("backtest of " + ", ".join(result.strategies.values()))
    style = "body{font-family:sans-serif;margin:2em}th{padding-right:2em;font-weight:normal;color:#666}"
    head = f"<head><meta charset='utf-8'><title>{title}</title><style>{style}</style></head>"
    return f"<!doctype html><html>{head}<body><h1>{title}</h1>{table(result)}{chart}</body></html>"


def _times(ts: Any) -> Any:
    return ts.astype("datetime64[ns]")


def _thinned(value: Any) -> Any:
    """Indices of the first, lowest, highest and last value of each stretch: no peak is lost."""
    if len(value) <= POINTS:
        return np.arange(len(value))
    edges = np.linspace(0, len(value), POINTS // 4, dtype=np.int64)
    picked: list[int] = []
    for a, b in pairwise(edges.tolist()):
        picked += (a, a + int(value[a:b].argmin()), a + int(value[a:b].argmax()), b - 1)
    return np.unique(picked)
