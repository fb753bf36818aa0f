"""The session driven by a file: what a strategy sees, when its orders meet the market, and that it is the same every time."""

import asyncio
import weakref
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import material
from tests.research.conftest import START, make_bars, walk

from pyrt import Bar, Order, Quote, Strategy, Trade
from pyrt._core.types import RecordType, market_dtype, quote_dtype, trade_dtype
from pyrt.clock import MINUTE, SECOND
from pyrt.errors import ConfigError, DataError
from pyrt.model import Filled, OrderStatus
from pyrt.research import Latency, backtest
from pyrt.strategies.sma_cross import SmaCross

PX = 1_000_000_000


class Watcher(Strategy):
    """Keeps its bars; on the bar whose number is in `plan` it does what stands there."""

    symbols = ("AAPL",)
    interval = "1m"

    def on_start(self) -> None:
        self.seen: list[Bar] = []
        self.orders: list[Order] = []
        self.told: list[tuple[str, OrderStatus | None]] = []

    def on_bar(self, bar: Bar) -> None:
        self.seen.append(bar)
        act = self.plan().get(len(self.seen))
        if act is not None:
            self.orders.append(act())

    def plan(self) -> dict[int, Any]:
        return {}

    def on_order(self, order: Order) -> None:
        self.told.append((order.symbol, order.status))


def run(strategy: Strategy, rows: list[tuple[float, float, float, float, int]], **options: Any) -> Any:
    return backtest(strategy, {"AAPL": make_bars(rows)}, progress=False, **options)


FLAT = [(100.0, 101.0, 99.0, 100.0, 4000)] * 3


def test_bars_out_are_the_bars_in(walked: Any) -> None:
    watcher = Watcher()
    backtest(watcher, {"AAPL": walked}, progress=False)
    assert len(watcher.seen) == len(walked)
    for name, of in (("open_px", "open_px"), ("high_px", "high_px"), ("low_px", "low_px"), ("close_px", "close_px")):
        assert [getattr(b, of) for b in watcher.seen] == walked[name].tolist()
    assert [b.volume_qty for b in watcher.seen] == walked["volume"].tolist()
    assert [b.start for b in watcher.seen] == walked["start"].tolist()


def test_longer_bars_are_made_of_shorter_ones(walked: Any) -> None:
    watcher = Watcher(interval="5m")
    backtest(watcher, {"AAPL": walked}, progress=False)
    fives = walked.reshape(-1, 5)
    assert [b.open_px for b in watcher.seen] == fives["open_px"][:, 0].tolist()
    assert [b.high_px for b in watcher.seen] == fives["high_px"].max(axis=1).tolist()
    assert [b.volume_qty for b in watcher.seen] == fives["volume"].sum(axis=1).tolist()


@pytest.mark.row("S003", "S138")
def test_the_same_inputs_give_the_same_bytes(walked: Any) -> None:
    results = [backtest(SmaCross(symbols=("AAPL",), interval="1m"), {"AAPL": walked}, progress=False) for _ in range(2)]
    assert len(results[0].fills) > 5
    assert results[0].to_bytes() == results[1].to_bytes()
    other = backtest(SmaCross(symbols=("AAPL",), interval="1m"), {"AAPL": walk(600, seed=2)}, progress=False)
    assert other.digest != results[0].digest


@pytest.mark.row("S124")
def test_an_order_decided_on_a_close_trades_at_the_next_open() -> None:
    class Buys(Watcher):
        def plan(self) -> dict[int, Any]:
            return {1: lambda: self.buy("AAPL", 10), 2: lambda: self.close("AAPL")}

    result = run(Buys(), [(100, 101, 99, 100, 4000), (103, 104, 102, 103.5, 4000), (105, 106, 104, 105, 4000)])
    assert result.fills["px"].tolist() == [103 * PX, 105 * PX]
    assert result.fills["ts"][0] == START + MINUTE + int(0.02 * SECOND)
    assert result.trades["pnl"].tolist() == [20.0]
    assert result.equity["equity"][-1] == 100_020.0


def test_an_order_that_waits_over_a_gap_meets_the_open_behind_it() -> None:
    class Buys(Watcher):
        def plan(self) -> dict[int, Any]:
            return {1: lambda: self.buy("AAPL", 10, valid_for=1e6)}

    first = make_bars([(100, 101, 99, 100, 4000)])
    second = make_bars([(110, 111, 109, 110, 4000)], start=START + 1000 * MINUTE)
    result = backtest(Buys(), {"AAPL": np.concatenate([first, second])}, progress=False)
    assert result.fills["px"].tolist() == [110 * PX]


@pytest.mark.parametrize(("limit", "filled"), [("99", False), ("99.01", True), ("100.50", True)])
def test_a_limit_fills_when_the_price_trades_through_it(limit: str, filled: bool) -> None:
    class Bids(Watcher):
        def plan(self) -> dict[int, Any]:
            return {1: lambda: self.buy("AAPL", 10, limit=limit)}

    result = run(Bids(), [(100.0, 101.0, 99.0, 100.0, 4000)] * 2)
    expected = [min(Decimal(limit), Decimal(100)) * PX] if filled else []  # a marketable one takes the open that is displayed
    assert result.fills["px"].tolist() == expected


def test_a_stop_trades_at_the_path_s_point_beyond_it() -> None:
    class Stops(Watcher):
        def plan(self) -> dict[int, Any]:
            return {1: lambda: self.buy("AAPL", 10), 2: lambda: self.sell("AAPL", 10, stop="97")}

    result = run(Stops(), [*FLAT[:2], (100.0, 101.0, 96.0, 98.0, 4000)])
    assert result.fills["px"].tolist() == [100 * PX, 96 * PX]


def test_more_than_the_bar_s_volume_waits_for_the_next() -> None:
    class Buys(Watcher):
        def plan(self) -> dict[int, Any]:
            return {1: lambda: self.buy("AAPL", 150)}

    result = run(Buys(), [(100, 101, 99, 100, 400), (100, 101, 99, 100, 400)])
    assert result.fills["qty"].tolist()[0] == 100 * 10**9
    assert len(set(result.fills["px"].tolist())) > 1


def test_a_slower_venue_trades_at_a_later_price() -> None:
    class Buys(Watcher):
        def plan(self) -> dict[int, Any]:
            return {1: lambda: self.buy("AAPL", 10)}

    rows = [(100.0, 101.0, 99.0, 100.0, 4000)] * 2
    assert run(Buys(), rows, latency=Latency(submit=25.0)).fills["px"].tolist() == [99_010_000_000]


def test_what_risk_refuses_is_counted_by_control() -> None:
    class Greedy(Watcher):
        def plan(self) -> dict[int, Any]:
            return {1: lambda: self.buy("AAPL", 100_000)}

    strategy = Greedy()
    result = run(strategy, FLAT)
    assert sum(result.refusals.values()) >= 1
    assert "BUYING_POWER" in result.refusals
    assert strategy.orders[0].is_refused
    assert not len(result.orders)


def test_shares_and_cash_agree_with_the_exchange(walked: Any) -> None:
    result = backtest(SmaCross(symbols=("AAPL",), interval="1m"), {"AAPL": walked}, progress=False)
    cash = 100_000 * 10**18
    for fact in result.facts:
        if isinstance(fact, Filled):
            cash -= fact.px * fact.qty * (1 if fact.side == 1 else -1)
    assert result.equity["cash"][-1] == pytest.approx(cash / 1e18, abs=1e-6)
    ended = result.orders[result.orders["filled"] == result.orders["qty"]]
    assert set(ended["status"].tolist()) == {int(OrderStatus.FILLED)}


def test_a_strategy_that_raises_is_halted_and_told() -> None:
    class Breaks(Watcher):
        def plan(self) -> dict[int, Any]:
            return {2: lambda: 1 // 0}

    strategy = Breaks()
    result = run(strategy, FLAT)
    assert len(strategy.seen) == 2
    assert any("ZeroDivisionError" in text for text in result.alarms)


def test_timers_run_in_the_data_s_time() -> None:
    class Timed(Watcher):
        def on_start(self) -> None:
            super().on_start()
            self.fired: list[int] = []
            self.set_timer("t", 30)

        def on_timer(self, name: str) -> None:
            self.fired.append(self.now)
            if len(self.fired) < 3:
                self.set_timer("t", 30)

    strategy = Timed()
    run(strategy, FLAT)
    assert np.diff(strategy.fired).tolist() == [30 * SECOND, 30 * SECOND]
    assert START < strategy.fired[0] < START + MINUTE


def test_ticks_and_an_iterator_of_them_give_the_same() -> None:
    class Maker(Strategy):
        symbols = ("AAPL",)

        def on_quote(self, quote: Any) -> None:
            if not self.open_orders() and not self.position("AAPL"):
                self.buy("AAPL", 1, limit=quote.ask)
            elif self.position("AAPL") and not self.open_orders():
                self.close("AAPL")

    records = _ticks(400)
    whole = backtest(Maker(), records.copy(), progress=False)
    parts = backtest(Maker(), iter(np.array_split(records, 7)), progress=False)
    assert len(whole.fills) > 10
    assert whole.to_bytes() == parts.to_bytes()
    asked = dict(zip(whole.orders["number"].tolist(), whole.orders["ts"].tolist(), strict=True))
    assert all(f["ts"] >= asked[int(f["number"])] + int(0.02 * SECOND) for f in whole.fills)


def _ticks(n: int) -> Any:
    rng = np.random.default_rng(5)
    mid = 10_000 + np.cumsum(rng.integers(-1, 2, n))
    out = np.zeros((n, 2), market_dtype)
    quotes, trades = out[:, 0].view(quote_dtype), out[:, 1].view(trade_dtype)
    quotes["type"], trades["type"] = RecordType.QUOTE, RecordType.TRADE
    for rows in (quotes, trades):
        rows["instrument"], rows["ts_event"] = 1, START + np.arange(n) * SECOND // 4
    quotes["bid_px"], quotes["ask_px"] = (mid - 1) * 10_000_000, (mid + 1) * 10_000_000
    quotes["bid_qty"] = quotes["ask_qty"] = 100 * 10**9
    trades["px"], trades["qty"] = mid * 10_000_000, 10**9
    out[:, 0], out[:, 1] = quotes.view(market_dtype), trades.view(market_dtype)
    return out.reshape(-1)


@pytest.mark.row("S007")
def test_it_runs_inside_a_running_event_loop() -> None:
    async def cell() -> Any:
        return run(Watcher(), FLAT)

    assert asyncio.run(cell()).counts["bars"] == 3


def test_what_cannot_be_run_is_told() -> None:
    with pytest.raises(ConfigError, match="no data for MSFT"):
        backtest(Watcher(symbols=("MSFT",)), {"AAPL": make_bars(FLAT)}, progress=False)
    with pytest.raises(ConfigError, match="no symbols"):
        backtest(Watcher(symbols=()), {"AAPL": make_bars(FLAT)}, progress=False)
    with pytest.raises(DataError, match="older"):
        backtest(Watcher(), _ticks(10)[::-1].copy(), progress=False)
    with pytest.raises(DataError, match="no records"):
        backtest(Watcher(), _ticks(10)[:0], progress=False)


def test_progress_is_told_to_a_function(walked: Any) -> None:
    told: list[tuple[int, int]] = []
    backtest(Watcher(), {"AAPL": walked}, progress=lambda done, rows: told.append((done, rows)))
    assert told[-1][1] == len(walked)
    assert told[-1][0] >= 4 * len(walked)


def test_a_bar_closes_before_the_next_one_s_first_print() -> None:
    class Listens(Watcher):
        def on_start(self) -> None:
            super().on_start()
            self.last = 0
            self.known: list[tuple[int, int]] = []

        def on_trade(self, trade: Trade) -> None:
            self.last = trade.price_px

        def on_bar(self, bar: Bar) -> None:
            self.known.append((self.last, bar.close_px))

    strategy = Listens()
    run(strategy, [(100, 101, 99, 100.5, 4000), (103, 104, 102, 103.5, 4000), (105, 106, 104, 105.5, 4000)])
    assert len(strategy.known) == 3
    assert all(last == close for last, close in strategy.known)


@pytest.mark.parametrize("orders", [0, 3])
def test_a_market_of_quotes_alone_is_valued_at_its_fills(orders: int, tmp_path: Path) -> None:
    class Once(Strategy):
        symbols = ("AAPL",)
        left = 0

        def on_quote(self, quote: Quote) -> None:
            if self.left and not self.open_orders():
                self.left -= 1
                self.buy("AAPL", 10 + self.left)

    result = backtest(Once(left=orders), material.quotes(2000), progress=False)
    assert len(result.fills) == orders
    shares = result.fills["qty"] // 10**9
    gained = shares.sum() * int(result.fills["px"][-1]) - (shares * result.fills["px"]).sum() if orders else 0
    assert result.equity["equity"][-1] == pytest.approx(100_000 + gained / 1e9)
    assert "<html" in result.html(tmp_path / "page.html").read_text(encoding="utf-8")


def test_data_that_was_played_is_let_go_without_an_order_too() -> None:
    alive: list[weakref.ref[Any]] = []
    most = 0

    def parts() -> Iterator[Any]:
        nonlocal most
        for k in range(12):
            records = material.mixed(500).copy()
            records["ts_event"] += k * SECOND
            alive.append(weakref.ref(records))
            yield records
            del records
            most = max(most, sum(each() is not None for each in alive))

    class Idle(Strategy):
        symbols = ("AAPL",)

    assert backtest(Idle, parts(), progress=False).counts["messages"] >= 6000
    assert most < 6
