"""The console view and the figures behind it, from a session made of facts and quotes."""

import asyncio
import io
import logging
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from pyrt._core.types import Clock, RecordType, Side, market_dtype, quote_dtype, timer_dtype, trade_dtype
from pyrt.clock import SECOND, Now
from pyrt.execution import ExecutionEngine
from pyrt.live import Live
from pyrt.live.figures import Figures, Watch, percentiles
from pyrt.live.view import View, draw
from pyrt.market import MarketData
from pyrt.model import (
    Alarmed,
    Defined,
    Filled,
    Instrument,
    Instruments,
    Intended,
    Intent,
    Latched,
    OrderChanged,
    OrderStatus,
    OrderType,
    Signal,
    StrategyNamed,
    TimeInForce,
)
from pyrt.ports import StreamState
from pyrt.risk import Limits, RiskManager
from pyrt.session import Session
from pyrt.strategies import Strategy

T0 = 1_700_000_000 * SECOND
SHARE = 10**9


class Crosser(Strategy):
    symbols = ("AAPL", "MSFT")
    interval = "1s"


class Recorded(SimpleNamespace):
    """A shell that remembers."""

    def append(self, fact: Any, sync: Any, now: Now) -> None:
        self.facts.append(fact)

    def perform(self, command: Any) -> None:
        self.commands.append(command)

    def set_timer(self, command: Any) -> None: ...

    def tell(self, message: Any) -> None: ...

    def alarm(self, alarm: Any) -> None: ...

    def now(self) -> Now:
        return Now(T0, 1)


def intended(number: int, side: Side, qty: int, limit_px: int = 0) -> Intended:
    intent = Intent(
        strategy=1,
        source=number,
        instrument=1,
        side=side,
        type=OrderType.LIMIT if limit_px else OrderType.MARKET,
        tif=TimeInForce.DAY,
        qty=qty,
        limit_px=limit_px,
    )
    return Intended(number=number, intent=intent, epoch=1, approval=number, limits_version=1, ref_px=0, root=number, ts=T0)


FACTS = [
    Defined(instrument=Instrument(id=1, symbol="AAPL")),
    Defined(instrument=Instrument(id=2, symbol="MSFT")),
    StrategyNamed(strategy=1, name="Crosser"),
    intended(1, Side.BUY, 10 * SHARE),
    OrderChanged(number=1, status=OrderStatus.ACCEPTED, venue_order_id="v1", ts=T0),
    Filled(
        number=1,
        strategy=1,
        instrument=1,
        side=Side.BUY,
        px=190 * SHARE,
        qty=10 * SHARE,
        cum_qty=10 * SHARE,
        venue_order_id="v1",
        ts=T0,
    ),
    OrderChanged(number=1, status=OrderStatus.FILLED, venue_order_id="v1", filled_qty=10 * SHARE, ts=T0),
    intended(2, Side.SELL, 4 * SHARE, 200 * SHARE),
    OrderChanged(number=2, status=OrderStatus.ACCEPTED, venue_order_id="v2", ts=T0),
    Latched(level="REDUCING", scope="strategy:1", code="REPEAT_EXEC", reason="too many", who="risk", ts=T0),
]


@pytest.fixture
def live() -> Live:
    instruments = Instruments()
    market = MarketData(instruments, grace=0)
    shell = Recorded(
        facts=[],
        commands=[],
        states={"data": StreamState(stream="data", up=True, without=("MSFT",))},
        latencies=[50_000, 70_000, 90_000],
        journal=SimpleNamespace(sync_latency={"p50": 71_000, "p99": 3_700_000}),
    )
    session = Session(
        instruments=instruments,
        market=market,
        risk=RiskManager(instruments, market.refs, limits=Limits.profile("paper")),
        execution=ExecutionEngine("abcdefgh", instruments),
        shell=shell,  # type: ignore[arg-type]  # a namespace that has the verbs
        strategies=[Crosser()],
    )
    session.replay(FACTS)
    session.prepare(Now(T0, 1))
    runner = SimpleNamespace(plan=SimpleNamespace(link=SimpleNamespace(name="sim", account_id="acc-1")), stopping=asyncio.Event())
    session.running = True
    return Live(runner, session, shell, None, None, None)  # type: ignore[arg-type]  # what the view reads of them


def quote(live: Live, bid: int, ask: int) -> None:
    record = np.zeros(1, quote_dtype)
    record["type"], record["instrument"], record["ts_event"], record["ts_recv"] = RecordType.QUOTE, 1, T0, T0
    record["bid_px"], record["ask_px"], record["bid_qty"], record["ask_qty"] = bid, ask, SHARE, SHARE
    live.session.on_market(record.view(market_dtype), Now(T0, 1))


def trade(live: Live, px: int, ts: int) -> None:
    record = np.zeros(1, trade_dtype)
    record["type"], record["instrument"], record["ts_event"], record["ts_recv"] = RecordType.TRADE, 1, ts, ts
    record["px"], record["qty"] = px, 3 * SHARE
    live.session.on_market(record.view(market_dtype), Now(ts, 1))


def end_bars(live: Live, at: int) -> None:
    record = np.zeros(1, timer_dtype)
    record["type"], record["ts_event"], record["ts_recv"], record["at"], record["clock"] = RecordType.TIMER, at, at, at, Clock.VENUE
    live.session.on_market(record.view(market_dtype), Now(at, 1))


def text_of(figures: Figures, width: int = 140) -> str:
    console = Console(record=True, width=width, file=io.StringIO())
    console.print(draw(figures))
    return console.export_text()


def test_the_figures_are_the_session_s(live: Live) -> None:
    quote(live, 191_000_000_000, 191_020_000_000)
    f = Watch().look(live)
    assert (f.venue, f.account, f.state) == ("sim", "acc-1", "trading")
    aapl = next(m for m in f.markets if m.symbol == "AAPL")
    assert (aapl.bid, aapl.ask) == (Decimal(191), Decimal("191.02"))
    msft = next(m for m in f.markets if m.symbol == "MSFT")
    assert (aapl.no_data, msft.no_data) == (False, True)
    assert (msft.bid, msft.ask, msft.last, msft.bar_close) == (None, None, None, None)
    assert [(p.strategy, p.symbol, p.quantity, p.average) for p in f.positions] == [("Crosser", "AAPL", 10, 190)]
    assert f.open_orders == 1
    assert [(o.number, o.side, o.quantity, o.terms, o.status) for o in f.orders] == [(2, "SELL", 4, "limit 200", "ACCEPTED")]
    assert f.latches == {"strategy:Crosser": "REDUCING: too many"}
    assert f.tick_to_order == (70_000, 70_000)
    assert f.counts["messages"] == 1
    assert f.unrealised == 10  # ten shares from 190 to the bid


def test_the_picture_holds_what_a_trader_looks_for(live: Live) -> None:
    quote(live, 191_000_000_000, 191_020_000_000)
    trade(live, 191_010_000_000, T0)
    end_bars(live, T0 + 2 * SECOND)
    watch = Watch()
    watch.hear(Signal(strategy=1, instrument=1, action="buy", confidence=0.75, ts=T0, valid_until=T0))
    watch.hear(Alarmed(severity="warning", code="ODD", text="something odd", ts=T0))
    watch.hear(Alarmed(severity="info", code="CALM", text="nothing of note", ts=T0))
    live.session.refusals["ORDER_QTY"] = 3
    text = text_of(watch.look(live))
    for word in (
        "trading",
        "sim  account acc-1",
        "191.00",
        "191.02",
        "191.01     191.01       3",
        "unrealised +10.00",
        "Crosser",
        "SELL 4 AAPL limit 200",
        "tick to order  p50 70 us",
        "disk sync      p50 71 us  p99 3,700 us",
        "strategy:Crosser REDUCING: too many",
        "refused: 3 ORDER_QTY",
        "Crosser buy AAPL 0.75",
        "ODD: something odd",
        "open orders: 1",
    ):
        assert word in text, text
    assert "CALM" not in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_screen(live: Live, width: int) -> None:
    assert max(len(line) for line in text_of(Watch().look(live), width).splitlines()) <= width


def test_rates_are_of_the_last_seconds(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("pyrt.live.figures.time", SimpleNamespace(monotonic=lambda: clock.now))
    watch = Watch()
    assert watch.look(live).rates.get("messages", 0.0) == 0.0
    live.session.counts["messages"] = 500
    clock.now += 2.0
    assert watch.look(live).rates["messages"] == 250.0


def test_figures_go_over_the_wire(live: Live) -> None:
    figures = Watch().look(live)
    assert msgspec.json.decode(msgspec.json.encode(figures))["positions"][0]["quantity"] == "10"


def test_percentiles() -> None:
    assert percentiles([]) is None
    assert percentiles([5]) == (5, 5)
    assert percentiles(list(range(100, 0, -1))) == (50, 99)


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    before = logger.handlers[:]
    yield logger
    logger.handlers[:] = before


async def _watched(view: View, live: Live) -> None:
    task = asyncio.create_task(view(live))
    while "messages" not in view.console.file.getvalue():  # type: ignore[attr-defined]  # a StringIO
        await asyncio.sleep(0.01)
    logging.getLogger("pyrt.test").warning("a line above")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_the_view_draws_until_it_is_cancelled_and_gives_the_log_back(live: Live, root: logging.Logger, tmp_path: Path) -> None:
    before = root.handlers[:]
    view = View(Console(file=io.StringIO(), force_terminal=True, width=120))
    asyncio.run(_watched(view, live))
    assert "a line above" in view.console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert root.handlers == before
