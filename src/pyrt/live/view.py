"""The console view: a running session on one screen, drawn a few times a second."""

import asyncio
import logging
from collections.abc import Iterable
from decimal import Decimal

from rich.console import Console, Group, RenderableType
from rich.live import Live as Screen
from rich.logging import RichHandler
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pyrt.live.figures import SHOWN, Figures, Watch
from pyrt.live.plan import Live

PERIOD = 0.25  # seconds between two looks


class View:
    """A companion of a session: give it to Plan.companions, and `watch.hear` to Plan.listeners."""

    def __init__(self, console: Console) -> None:
        self.watch = Watch()
        self.console = console

    async def __call__(self, live: Live) -> None:
        """Draw until cancelled. Log lines appear above the picture."""
        root = logging.getLogger()
        plain = root.handlers[:]
        above = RichHandler(console=self.console, show_path=False, markup=False, log_time_format="%H:%M:%S")
        for handler in plain:
            for secret_filter in handler.filters:
                above.addFilter(secret_filter)
        root.handlers[:] = [above]
        try:
            with Screen(console=self.console, auto_refresh=False, transient=True) as screen:
                while True:
                    screen.update(draw(self.watch.look(live)), refresh=True)
                    await asyncio.sleep(PERIOD)
        finally:
            root.handlers[:] = plain


def draw(f: Figures) -> RenderableType:
    """One picture."""
    upper = Table.grid(expand=True, padding=(0, 1))
    upper.add_column(ratio=3)
    upper.add_column(ratio=2)
    upper.add_row(_markets(f), _state(f))
    return Group(_head(f), upper, _orders(f), *_tail(f))


def _head(f: Figures) -> Text:
    color = {"trading": "green", "recovering": "yellow"}.get(f.state, "red")
    text = Text.assemble(("pyrt ", "bold"), (f.state, color), f"  {f.venue}  account {f.account}  {f.seconds:,.0f} s")
    text.append(f"   P&L {f.realised + f.unrealised - f.fees:+,.2f}", _sign(f.realised + f.unrealised - f.fees))
    text.append(f"  realised {f.realised:+,.2f}  unrealised {f.unrealised:+,.2f}  fees {f.fees:,.2f}")
    return text


def _markets(f: Figures) -> Panel:
    table = _table(("", "left"), ("bid", "right"), ("ask", "right"), ("last", "right"), ("bar close", "right"), ("volume", "right"))
    for m in f.markets[:SHOWN]:
        name = f"{m.symbol} HALTED" if m.halted else f"{m.symbol} NO DATA" if m.no_data else m.symbol
        table.add_row(name, _price(m.bid), _price(m.ask), _price(m.last), _price(m.bar_close), _number(m.bar_volume))
    if len(f.markets) > SHOWN:
        table.add_row(f"... {len(f.markets) - SHOWN} more")
    held = _table(("position", "left"), ("", "left"), ("quantity", "right"), ("average", "right"), ("realised", "right"))
    for p in f.positions[:SHOWN]:
        held.add_row(p.strategy, p.symbol, f"{p.quantity:f}", _price(p.average or None), f"{p.realised:+,.2f}")
    return Panel(Group(table, Text(""), held), title="market and positions", title_align="left")


def _state(f: Figures) -> Panel:
    lines = []
    for name in ("messages", "bars", "signals", "intents", "orders", "fills"):
        lines.append(f"{name:<9}{f.counts.get(name, 0):>10,}{f.rates.get(name, 0.0):>9,.1f}/s")
    took = "-" if f.tick_to_order is None else f"p50 {_us(f.tick_to_order[0])}  p99 {_us(f.tick_to_order[1])}"
    lines += ["", f"tick to order  {took}", f"disk sync      p50 {_us(f.sync[0])}  p99 {_us(f.sync[1])}"]
    lines += ["", f"risk: limits version {f.limits_version}, day {f.day_pnl:+,.2f}, drawdown {f.drawdown:,.2f}"]
    refused = ", ".join(f"{n} {code}" for code, n in sorted(f.refusals.items()))
    text = Text("\n".join([*lines, f"refused: {refused or 'none'}"]))
    for scope, why in f.latches.items():
        text.append(f"\n{scope} {why}", "bold red")
    if f.unresolved:
        text.append(f"\n{f.unresolved} orders of unknown fate", "bold yellow")
    return Panel(text, title="flow and risk", title_align="left")


def _orders(f: Figures) -> Panel:
    table = _table(("", "right"), ("strategy", "left"), ("order", "left"), ("filled", "right"), ("status", "left"))
    for o in f.orders:
        table.add_row(str(o.number), o.strategy, f"{o.side} {o.quantity:f} {o.symbol} {o.terms}", f"{o.filled:f}", o.status)
    return Panel(table if f.orders else Text("none"), title=f"open orders: {f.open_orders}", title_align="left")


def _tail(f: Figures) -> Iterable[Text]:
    if f.signals:
        yield Text("signals: " + "   ".join(f.signals[-4:]), overflow="ellipsis", no_wrap=True)
    for alarm in f.alarms[-3:]:
        yield Text(alarm, "yellow", overflow="ellipsis", no_wrap=True)


def _table(*columns: tuple[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for title, justify in columns:
        table.add_column(title, justify="right" if justify == "right" else "left", no_wrap=True)
    table.add_row(*(Text(title, "dim") for title, _ in columns))
    return table


def _price(px: Decimal | None) -> str:
    return "-" if px is None else f"{px:,.2f}" if px >= 1 else f"{px:f}"


def _number(value: Decimal | None) -> str:
    return "-" if value is None else f"{value.normalize():,f}"


def _us(ns: int) -> str:
    return f"{ns / 1000:,.0f} us"


def _sign(value: Decimal) -> str:
    return "green" if value > 0 else "red" if value < 0 else ""
