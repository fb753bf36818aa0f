"""The report of a day as one page that needs no network."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pyrt.live.day import FillLine, Note
from pyrt.live.day_times import Span

if TYPE_CHECKING:
    from pyrt.live.day_report import DayReport

NEW_YORK = ZoneInfo("America/New_York")
_STYLE = """body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em;color:#222}
h1{font-size:1.5em;margin-bottom:.2em}h2{font-size:1.1em;margin:1.8em 0 .4em}table{border-collapse:collapse;width:100%}
th,td{padding:.25em .7em .25em 0;text-align:left;border-bottom:1px solid #e4e4e4;vertical-align:top}
th{color:#666;font-weight:normal}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.good{color:#087443}.bad{color:#b42318;font-weight:600}.muted{color:#777}.wide{overflow-x:auto}
.figures{display:flex;flex-wrap:wrap;gap:.6em 2.4em;margin:1em 0}.figures b{display:block;font-size:1.35em;font-weight:600}
@media (prefers-color-scheme:dark){body{background:#161616;color:#ddd}th,td{border-color:#333}.good{color:#4cc38a}
.bad{color:#ff8b7e}}"""


def page(report: "DayReport") -> str:
    """The whole page."""
    books = report.books
    title = f"{books.day}, account {books.account or 'not seen'}" + (f", {report.venue}" if report.venue else "")
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class='muted'>journal {escape(books.journal)}, written {escape(report.made)}; times of the day are New York's</p>",
        _verdict(report),
        _figures(report),
        chart(books.fills),
        _differences(report),
        _positions(report),
        _slippage(report),
        _orders(report),
        _fills(report),
        _refusals(report),
        _notes("Latches", books.latches),
        _latches(report),
        _notes("Alarms", books.alarms),
        _times(report),
        _activities(report),
    ]
    head = f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{escape(title)}</title>"
    body = "\n".join(part for part in parts if part)
    return f"<!doctype html><html lang='en'><head>{head}<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"


def chart(fills: list[FillLine]) -> str:
    """Realised profit after fees over the day, where plotly is installed and anything was filled."""
    try:
        import plotly.graph_objects as go
    except ImportError:
        return ""
    if not fills:
        return ""
    total, x, y = Decimal(0), [], []
    for fill in sorted(fills, key=lambda f: f.ts):
        total += fill.realised - fill.fee
        x.append(_at(fill.ts))
        y.append(float(total))
    figure = go.Figure(go.Scatter(x=x, y=y, line={"shape": "hv"}, name="realised"))
    figure.update_layout(height=260, margin={"t": 10, "b": 30, "l": 50, "r": 10}, yaxis_title="realised, after fees of fills")
    return str(figure.to_html(full_html=False, include_plotlyjs=True))


def _verdict(report: "DayReport") -> str:
    from pyrt.live.day_report import verdict

    kind = "bad" if report.reconciled.differences else "good" if report.clean else "muted"
    return f"<p class='{kind}' id='verdict'>{escape(verdict(report))}</p>"


def _figures(report: "DayReport") -> str:
    books = report.books
    slipped = report.slippage
    rows = [
        ("realised", _money(books.realised)),
        ("unrealised", _money(report.unrealised)),
        ("fees", _money(books.fees)),
        ("realised less fees", _money(report.net)),
        ("orders", f"{len(books.orders):,}"),
        ("fills", f"{len(books.fills):,}"),
        ("denied", f"{len(books.refusals):,}"),
        ("slippage", "–" if slipped.bps is None else f"{slipped.bps:,.2f} bps"),
        ("cash", _money(books.cash)),
    ]
    if report.times.up is not None:
        rows.append(("up in the session", f"{report.times.up:.2%}"))
    return "<div class='figures'>" + "".join(f"<div>{escape(name)}<b>{escape(value)}</b></div>" for name, value in rows) + "</div>"


def _differences(report: "DayReport") -> str:
    found = report.reconciled
    rows = [(what, "", str(n), "") for what, n in found.compared.items()]
    counted = _table("Compared with the venue", ("what", "", "#lines", ""), rows)
    differs = _table(
        "Differences", ("what", "which", "here", "at the venue"), [(d.what, d.which, d.ours, d.venue) for d in found.differences]
    )
    missing = "".join(f"<p class='bad'>not compared: {escape(text)}</p>" for text in found.not_compared)
    return counted + missing + differs


def _positions(report: "DayReport") -> str:
    rows = [
        (p.symbol, _n(p.quantity), _n(p.cost), _n(p.mark), _money(p.unrealised), _money(p.realised), _money(p.fees))
        for p in report.books.positions
    ]
    names = ("symbol", "#held", "#cost", "#mark", "#unrealised", "#realised", "#fees of fills")
    return _table("Positions", names, rows)


def _slippage(report: "DayReport") -> str:
    rows = [
        (name, str(s.orders), _n(s.value), _n(s.cost), "–" if s.bps is None else f"{s.bps:,.2f}")
        for name, s in report.strategies.items()
    ]
    return _table("Slippage against arrival", ("strategy", "#orders", "#value at arrival", "#cost", "#bps"), rows)


def _orders(report: "DayReport") -> str:
    rows = [
        (
            str(o.number),
            _clock(o.ts),
            o.strategy,
            f"{o.side} {_n(o.quantity)} {o.symbol} {o.type}",
            _n(o.limit),
            _n(o.filled),
            _n(o.average),
            _n(o.arrival),
            _n(o.slippage),
            o.status,
            _agreed(o.agreed),
        )
        for o in report.books.orders
    ]
    names = ("#number", "decided", "strategy", "order", "#limit", "#filled", "#average", "#arrival", "#slippage", "status", "venue")
    return _table("Orders", names, rows)


def _fills(report: "DayReport") -> str:
    rows = [
        (
            _clock(f.ts),
            str(f.number),
            f"{f.side} {_n(f.quantity)} {f.symbol}",
            _n(f.price),
            _n(f.fee),
            _n(f.realised),
            f.note,
            _agreed(f.agreed),
        )
        for f in report.books.fills
    ]
    return _table("Fills", ("at", "#order", "fill", "#price", "#fee", "#realised", "", "venue"), rows)


def _refusals(report: "DayReport") -> str:
    counted = _table("Denied, by control", ("control", "#times"), [(c, str(n)) for c, n in sorted(report.books.refused.items())])
    return counted + _notes("Denied", report.books.refusals)


def _latches(report: "DayReport") -> str:
    return _table("Latches closed at the end of the day", ("scope", "why"), list(report.books.open_latches.items()))


def _times(report: "DayReport") -> str:
    times = report.times
    runs = _table("Runs", ("from", "to", "#seconds"), [_span(s)[:3] for s in times.runs])
    gaps = _table("Gaps", ("from", "to", "#seconds", "what"), [_span(s) for s in times.gaps])
    holes = sum(times.holes.values())
    text = f"{holes} gaps in the sequence of market data" if holes else ""
    said = "; ".join(part for part in (text, times.recorded) if part)
    return runs + gaps + (f"<p class='muted'>{escape(said)}</p>" if said else "")


def _activities(report: "DayReport") -> str:
    if report.statement is None:
        return ""
    rows = [
        (a.type, a.symbol, a.qty, a.net_amount, a.description) for a in report.statement.activities if a.date == report.books.day
    ]
    return _table("Other activities of the account", ("type", "symbol", "#quantity", "#amount", "what"), rows)


def _notes(title: str, notes: list[Note]) -> str:
    return _table(title, ("at", "what", "code", "text"), [(_clock(n.ts), n.what, n.code, n.text) for n in notes])


def _table(title: str, names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table with a heading; a name that begins with # is a column of numbers. Nothing without rows."""
    if not rows:
        return ""
    kinds = [" class='n'" if name.startswith("#") else "" for name in names]
    head = "".join(f"<th{kind}>{escape(name.lstrip('#'))}</th>" for name, kind in zip(names, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>" for row in rows
    )
    return f"<h2>{escape(title)}</h2><div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _span(span: Span) -> tuple[str, str, str, str]:
    return _clock(span.start), _clock(span.end), f"{span.seconds:,.1f}", span.what


def _agreed(value: bool | None) -> str:
    return {None: "–", True: "same", False: "DIFFERS"}[value]


def _at(ns: int) -> datetime:
    return datetime.fromtimestamp(ns / 1e9, NEW_YORK)


def _clock(ns: int) -> str:
    return _at(ns).strftime("%H:%M:%S.%f")[:-3] if ns else "–"


def _n(value: Any) -> str:
    if value is None:
        return "–"
    rounded = Decimal(value).quantize(Decimal("0.000001")) if Decimal(value).adjusted() < 18 else Decimal(value)
    return f"{rounded.normalize():,f}"


def _money(value: Decimal | None) -> str:
    return "–" if value is None else f"{value:,.2f}"
