"""The core without a session: whole units at the edge, exact or refused, arrays in bulk, no object for an event."""

import gc
import sys
import threading
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bench import material
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt import BarAggregator, Limits, OrderBook, RiskGate, Side, records
from pyrt._core.book import OrderBook as RawBook
from pyrt._core.codes import Code
from pyrt._core.types import NO_PRICE, Action, RecordType, delta_dtype, market_dtype, quote_dtype, trade_dtype
from pyrt.bars import Tick
from pyrt.errors import ConfigError, DataError, OrderError

SECOND = 1_000_000_000


# ---------------------------------------------------------------------------------------------------- the book
@pytest.mark.parametrize("price", [190, 190.0, "190", "190.00", Decimal("190"), np.float64(190), np.int32(190)])
def test_190_is_190_dollars_in_every_type(price: Any) -> None:
    book = OrderBook("0.01")
    book.set("buy", price, price)
    assert book.best_bid == (190 * SECOND, 190 * SECOND)
    assert book.bid == (190.0, 190.0)
    assert book.bid.price == 190.0


def test_the_book_in_five_lines() -> None:
    book = OrderBook(tick=0.01)
    book.set("buy", 190.25, 300)
    book.set(Side.SELL, "190.27", Decimal("100.5"))
    book.set("ask", 190.28, 100)
    assert (book.bid, book.ask, book.spread, book.mid) == ((190.25, 300), (190.27, 100.5), 0.02, 190.26)
    assert book.levels(5) == ([(190.25, 300)], [(190.27, 100.5), (190.28, 100)])
    assert book.cost("buy", 200) == pytest.approx((100.5 * 190.27 + 99.5 * 190.28) / 200)
    assert book.cost("buy", 300) is None
    book.set("ask", 190.27, 0)
    assert book.ask == (190.28, 100)
    book.set("ask", 190.28, 0)
    assert (book.ask, book.mid, book.spread) == (None, None, None)


@pytest.mark.parametrize(
    ("side", "price", "quantity", "words"),
    [
        ("buy", 190.255, 1, "190.255 is off the tick of 0.01"),
        ("buy", 0.1 + 0.2, 1, "cannot|is off the tick|hold exactly"),
        ("buy", 190, -1, "quantity -1 is below 0"),
        ("long", 190, 1, "'long' is no side"),
        (3, 190, 1, "3 is no side"),
        ("buy", "nan", 1, "'nan' is not a number"),
        ("buy", True, 1, "not bool"),
        ("buy", 10**12, 1, "64 bits"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(side: Any, price: Any, quantity: Any, words: str) -> None:
    book = OrderBook("0.01")
    with pytest.raises(OrderError, match=words) as told:
        book.set(side, price, quantity)
    assert "\n" not in str(told.value)
    assert book.bid is None


@pytest.mark.parametrize(
    ("side", "px", "qty", "words"),
    [
        (Side.BUY, 10, 7, r"price 0.00000001 is off the tick of 0.01 -- .*a px of 10 is 10e-9; `set` takes whole units"),
        (Side.SELL, 190 * SECOND + 1, 7, "price 190.000000001 is off the tick of 0.01"),
        (Side.BUY, 190 * SECOND, -7, "quantity -0.000000007 is below 0"),
        (3, 190 * SECOND, 7, "3 is no side"),
        (Side.BUY, (1 << 61) // 10_000_000 * 10_000_000 + 10_000_000, 7, "is beyond what a book holds"),
    ],
)
def test_a_single_raw_change_is_refused_in_one_line_and_a_batch_counts_it(side: int, px: int, qty: int, words: str) -> None:
    book, calls = OrderBook("0.01"), 0
    for verb in (book.update, book.update_best):
        with pytest.raises(OrderError, match=words) as told:
            verb(side, px, qty)
        calls += 1
        assert "\n" not in str(told.value)
        assert book.counters["refused"] == calls
    changes = np.zeros(2, delta_dtype)
    changes["type"], changes["side"], changes["px"], changes["qty"] = RecordType.DELTA, side, px, qty
    changes["action"], changes["instrument"] = Action.SET, 1
    assert book.apply(changes.view(market_dtype)) == 0
    assert book.counters["refused"] == calls + 2
    assert book.levels() == ([], [])
    assert book.update(Side.BUY, 190 * SECOND, 7) is True


def test_a_book_of_quotes_refuses_levels_and_says_so() -> None:
    book = OrderBook("0.01", top_only=True)
    with pytest.raises(OrderError, match="a book of quotes has no levels to set"):
        book.set("buy", 190, 1)


@pytest.mark.parametrize("tick", [0, -1, "x", None, "0.0000000001"])
def test_a_tick_that_cannot_be(tick: Any) -> None:
    with pytest.raises(ConfigError, match="tick"):
        OrderBook(tick)


def test_records_in_bulk_are_the_same_book_as_single_calls() -> None:
    rng = np.random.default_rng(3)
    n = 2000
    side = rng.choice(["buy", "sell"], n)
    price = np.round(190 + np.where(side == "buy", -1, 1) * rng.integers(1, 30, n) / 100, 2)
    quantity = rng.integers(0, 50, n)
    bulk, single = OrderBook("0.01"), OrderBook("0.01")
    assert bulk.apply(records.deltas(np.arange(n), side, price, quantity, tick="0.01")) == n
    for one in zip(side.tolist(), price.tolist(), quantity.tolist(), strict=True):
        single.set(*one)
    assert bulk.levels(40) == single.levels(40)


def test_another_view_of_a_book_is_live() -> None:
    raw = RawBook(10_000_000)
    book = OrderBook.of(raw, 2)
    raw.update(Side.BUY, 190 * SECOND, 150)
    assert book.bid == (190.0, 1.5)
    with pytest.raises(TypeError):
        raw.seen_as(dict)  # type: ignore[type-var]


# ---------------------------------------------------------------------------------------------------- bars
def test_bars_in_five_lines() -> None:
    bars = BarAggregator("1s", "1m")
    for second in range(90):
        bars.add(190 + second / 100, "0.5", at=second * SECOND)
    bars.close(90 * SECOND)
    made = pd.DataFrame(bars.bars())
    minutes = made[made["interval"] == 60 * SECOND]
    assert minutes[["open", "high", "low", "close", "volume"]].to_numpy().tolist() == [[190.0, 190.59, 190.0, 190.59, 30.0]]
    assert len(made) == 91
    assert made["start"].iloc[0] == pd.Timestamp(0)


def test_bars_of_arrays_are_the_bars_of_single_trades() -> None:
    n = 5000
    rng = np.random.default_rng(1)
    ts, price, quantity = np.sort(rng.integers(0, 600 * SECOND, n)), np.round(rng.uniform(10, 20, n), 4), rng.integers(1, 90, n)
    bulk, single = BarAggregator(["1s", "1m"]), BarAggregator(SECOND, 60 * SECOND)
    bulk.apply(records.trades(ts, price, quantity))
    for at, p, q in zip(ts.tolist(), price.tolist(), quantity.tolist(), strict=True):
        single.add(p, q, at=at)
    for bars in (bulk, single):
        bars.close(600 * SECOND)
    assert bulk.take().tobytes() == single.take().tobytes()


def test_bars_that_trades_close_stand_beside_those_of_time() -> None:
    bars = BarAggregator("1m", "tick:100", Tick(50))
    bars.apply(material.trades(1000))
    bars.close(int(material.T0) + 60 * SECOND)
    made = bars.take()
    assert [int((made["interval"] == kind.code).sum()) for kind in (Tick(100), Tick(50))] == [10, 20]
    assert int((made["interval"] == 60 * SECOND).sum()) == 1


def test_what_is_no_interval_is_refused() -> None:
    for wrong in (("1x",), (), ([],), (0,), ("1s",) * 9):
        with pytest.raises(ConfigError):
            BarAggregator(*wrong)


# ---------------------------------------------------------------------------------------------------- columns
@given(st.lists(st.decimals(-(10**6), 10**6, places=9), min_size=1, max_size=20), st.sampled_from(["float", "str", "Decimal"]))
def test_columns_are_exact(values: list[Decimal], kind: str) -> None:
    column: Any = [{"float": float, "str": str, "Decimal": Decimal}[kind](v) for v in values]
    expected = [int(Decimal(repr(v) if isinstance(v, float) else str(v)) * 10**9) for v in column]
    fits = [v for v, e in zip(column, expected, strict=True) if Decimal(repr(v) if isinstance(v, float) else str(v)) * 10**9 == e]
    if len(fits) == len(column):
        assert records.units(np.array(column) if kind == "float" else column, 9).tolist() == expected


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ([1.5, 0.1 + 0.2], "row 1"),
        ([1.0, np.nan], "row 1"),
        ([np.inf], "row 0"),
        (["1", "x"], "row 1"),
        ([10**10], "row 0"),
        (np.array([2**62]), "row 0"),
        (np.array([-(2**63)]), "row 0"),
    ],
)
def test_a_number_that_does_not_fit_names_its_row(column: Any, words: str) -> None:
    with pytest.raises(DataError, match=f"price, {words}"):
        records.prices(column)


def test_a_price_off_the_tick_names_its_row() -> None:
    with pytest.raises(DataError, match=r"price, row 2: 1.015 is off the tick of 0.01"):
        records.prices([1, 1.01, 1.015], "0.01")


@pytest.mark.parametrize("tick", ["0", "-0.01", "x"])
def test_a_tick_that_cannot_be_checks_nothing_and_is_refused(tick: str) -> None:
    with pytest.raises(DataError, match="tick"):
        records.trades([1], [190.005], [1], tick=tick)


@pytest.mark.parametrize(
    ("ts", "words"),
    [
        (["2026-01-02", "NaT"], "ts, row 1"),
        (np.array([1, 1 << 63], np.uint64), "ts, row 1"),
        ([1.5, 2.0], "ts"),
        (["foo", "bar"], "ts"),
    ],
)
def test_a_time_that_is_none_is_refused(ts: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        records.trades(ts, [190, 191], [1, 1])


@pytest.mark.parametrize("instrument", [-1, 1.5, 1 << 32, "AAPL", [1, -1]])
def test_an_instrument_that_is_no_id_is_refused(instrument: Any) -> None:
    with pytest.raises(DataError, match="instrument"):
        records.trades([1, 2], [190, 191], [1, 1], instrument=instrument)


def test_frames_in_and_out() -> None:
    frame = pd.DataFrame({
        "time": pd.date_range("2026-03-02 14:30", periods=3, freq="s", tz="America/New_York"),
        "price": [190.01, 190.02, 190.03], "size": [100, 200, 300],
    })  # fmt: skip
    made = records.trades(frame["time"], frame["price"], frame["size"], tick="0.01")
    assert made.view(trade_dtype)["px"].tolist() == [190_010_000_000, 190_020_000_000, 190_030_000_000]
    back = pd.DataFrame(records.columns(made))
    assert back["price"].tolist() == frame["price"].tolist()
    assert back["quantity"].tolist() == frame["size"].tolist()
    assert back["ts_event"].dt.tz_localize("UTC").tolist() == frame["time"].dt.tz_convert("UTC").tolist()


def test_quotes_with_an_empty_side_and_deltas_by_word() -> None:
    made = records.quotes([1, 2], [189.99, np.nan], [190.01, 190.01], [100, 100], 200)
    assert made.view(quote_dtype)[["bid_px", "bid_qty"]].tolist() == [(189_990_000_000, 100 * SECOND), (NO_PRICE, 0)]
    assert np.isnan(records.columns(made)["bid"][1])
    assert records.deltas([1, 2, 3], ["bid", "Sell", "a"], 1, 1).view(delta_dtype)["side"].tolist() == [1, 2, 2]
    with pytest.raises(DataError, match="side, row 1"):
        records.deltas([1, 2], ["buy", "up"], 1, 1)
    with pytest.raises(DataError, match="select one type"):
        records.columns(material.mixed(20))


# ---------------------------------------------------------------------------------------------------- the gate
@pytest.fixture
def gate() -> RiskGate:
    gate = RiskGate(Limits.profile("paper"), cash=100_000)
    gate.quote("AAPL", bid=189.99, ask="190.01", at=SECOND)
    return gate


def test_the_gate_in_five_lines(gate: RiskGate) -> None:
    allowed = gate.check("AAPL", "buy", 10, limit=190.01, at=SECOND)
    assert allowed
    gate.fill(allowed, price=190, quantity=4, at=SECOND)
    assert gate.position("AAPL") == 4
    assert gate.ledger.open_orders == 1
    gate.fill(allowed, price="190.01", quantity=6, at=SECOND)
    assert gate.position("AAPL") == 10
    assert gate.ledger.open_orders == 0
    assert gate.mark(at=SECOND) == Decimal("-0.16")


def test_a_denial_names_each_control_and_the_room_that_there_was(gate: RiskGate) -> None:
    denied = gate.check("AAPL", "buy", 10_000, limit=190.01, at=SECOND)
    assert not denied
    assert {"ORDER_QTY", "ORDER_NOTIONAL", "BUYING_POWER"} <= set(denied.codes)
    assert [(h.limit, h.observed) for h in denied.headroom if h.code == "ORDER_QTY"] == [("5000", "10000")]
    assert gate.ledger.open_orders == 0
    room = gate.headroom("AAPL", "buy", 1, limit=190.01, at=SECOND)
    assert room["max_order_qty"].limit == "5000"
    assert gate.ledger.open_orders == 0


def test_what_is_released_makes_room_again() -> None:
    limits = Limits.of({"max_open_orders": 1}, base=Limits.profile("paper"))
    gate = RiskGate(limits, cash="100000")
    gate.quote("AAPL", bid=189.99, ask=190.01, at=SECOND)
    first = gate.check("AAPL", "buy", 1, limit=190.01, at=SECOND)
    assert first
    second = gate.check("AAPL", "buy", 2, limit=190.01, at=SECOND)
    assert second.codes == ("OPEN_ORDER_COUNT",)
    gate.release(first, at=2 * SECOND)
    gate.release(first, at=2 * SECOND)
    assert gate.check("AAPL", "buy", 2, limit=190.01, at=2 * SECOND)
    assert gate.position("AAPL") == 0


def test_the_gate_fails_closed(gate: RiskGate) -> None:
    assert gate.check("MSFT", "buy", 1, limit=400, at=SECOND).codes == ("STALE_DATA",)
    assert "STALE_DATA" in gate.check("AAPL", "buy", 1, limit=190.01, at=3600 * SECOND).codes
    nothing = RiskGate(Limits.of({}), cash=100_000)
    nothing.quote("AAPL", bid=189.99, ask=190.01, at=SECOND)
    assert "LIMIT_MISSING" in nothing.check("AAPL", "buy", 1, limit=190.01, at=SECOND).codes


def test_mistakes_are_told_in_one_line(gate: RiskGate) -> None:
    for wrong in ({"limit": 190.005}, {"limit": 0}, {"quantity": 0}, {"quantity": "x"}, {"side": "hold"}):
        order: dict[str, Any] = {"side": "buy", "quantity": 1, "limit": 190} | wrong
        with pytest.raises(OrderError):
            gate.check("AAPL", **order)
    with pytest.raises(ConfigError, match="is no amount"):
        RiskGate(Limits.profile("paper"), cash="much")


def test_a_quote_that_is_refused_leaves_the_market_as_it_was(gate: RiskGate) -> None:
    for wrong in ({"ask": 1.001}, {"ask_size": float("nan")}, {"bid_size": 0}):
        quote: dict[str, Any] = {"bid": 1.0, "ask": 2.0} | wrong
        with pytest.raises(OrderError):
            gate.quote("AAPL", **quote, at=SECOND)
    assert gate.headroom("AAPL", "buy", 1, limit=190.01, at=SECOND)["max_order_notional"].observed == "190.01"
    assert gate.check("AAPL", "buy", 1, limit=190.01, at=SECOND)


def test_what_was_executed_may_be_between_two_ticks(gate: RiskGate) -> None:
    allowed = gate.check("AAPL", "buy", 10, limit=190.01, at=SECOND)
    assert allowed
    gate.trade("AAPL", "190.0051", at=SECOND)
    gate.fill(allowed, price="190.0051", quantity=10, at=SECOND)
    assert gate.mark(at=SECOND) == Decimal("-0.151")
    for wrong in (0, -1, float("nan"), "x"):
        with pytest.raises(OrderError, match="price"):
            gate.trade("AAPL", wrong, at=SECOND)


@pytest.mark.parametrize("fee", ["x", float("nan"), float("inf"), None, 10**30])
def test_a_fee_that_is_none_books_nothing(gate: RiskGate, fee: Any) -> None:
    allowed = gate.check("AAPL", "buy", 10, limit=190.01, at=SECOND)
    assert allowed
    with pytest.raises(OrderError, match="is no amount"):
        gate.fill(allowed, price=190, quantity=10, fee=fee, at=SECOND)
    assert gate.position("AAPL") == 0
    assert gate.ledger.open_orders == 1


# ---------------------------------------------------------------------------------------------------- batches
def _batches(n: int) -> dict[str, tuple[Any, Any]]:
    return {"book": (OrderBook("0.01"), material.deltas(n)), "bars": (BarAggregator("1s", "1m"), material.trades(n))}


@pytest.mark.parametrize("kind", ["book", "bars"])
def test_a_batch_makes_no_object_for_an_event(kind: str) -> None:
    thing, batch = _batches(50_000)[kind]
    thing.apply(batch)  # what grows has grown
    gc.collect()
    before = sys.getallocatedblocks()
    thing.apply(batch)
    assert sys.getallocatedblocks() - before < 20


@pytest.mark.parametrize("kind", ["book", "bars"])
def test_a_batch_lets_other_threads_run(kind: str) -> None:
    # The interpreter would not switch by itself for an hour: who runs beside a batch, runs because the batch let go.
    thing, batch = _batches(400_000)[kind]
    interval, ran = sys.getswitchinterval(), 0
    go, stop = threading.Event(), False

    def beside() -> None:
        nonlocal ran
        go.wait()
        while not stop:
            ran += 1
            lock.acquire(timeout=0.0001)  # lets go of the interpreter

    lock = threading.Lock()
    lock.acquire()
    thread = threading.Thread(target=beside)
    sys.setswitchinterval(3600)
    try:
        thread.start()
        go.set()
        for _ in range(50):
            thing.apply(batch)
            if ran > 3:
                break
    finally:
        sys.setswitchinterval(interval)
        stop = True
        thread.join()
    assert ran > 3


# ---------------------------------------------------------------------------------------------------- the gate, many orders at once
ONE = st.tuples(
    st.sampled_from(["AAPL", "MSFT", "NONE"]),
    st.sampled_from(["buy", Side.SELL]),
    st.integers(1, 6_000),
    st.none() | st.integers(18_000, 20_000).map(lambda cents: Decimal(cents) / 100),
    st.none() | st.integers(18_000, 20_000).map(lambda cents: cents / 100),
)


MANY = {
    f"{whose}_orders_per_minute": 100_000 for whose in ("account", "strategy", "symbol")
} | {"repeat_max": 127, "symbol_order_rate_max": 127, "max_open_orders": 1_000, "duplicate_window_ms": 0, "max_order_qty": 5_000,
     "max_open_order_value": 10**9, "max_gross_exposure": 10**9, "max_net_exposure": 10**9, "max_position_notional": 10**9,
     "max_order_notional": 10**6, "max_position_qty": 10**6, "max_strategy_qty": 10**6}  # fmt: skip


def two_quotes() -> RiskGate:
    gate = RiskGate(Limits.profile("paper"), cash=1_000_000)
    gate.quote("AAPL", bid=189.99, ask="190.01", at=SECOND)
    gate.quote("MSFT", bid=189, ask=191, at=SECOND)
    return gate


@given(st.lists(st.lists(ONE, min_size=1, max_size=100), max_size=3))
@settings(max_examples=30, deadline=None)
def test_many_orders_at_once_are_the_same_one_by_one(batches: list[list[Any]]) -> None:
    many, single = two_quotes(), two_quotes()
    for number, rows in enumerate(batches):
        at = SECOND + number * 1_000_000
        symbols, sides, quantities, limits, stops = zip(*rows, strict=True)
        orders = many.orders(symbols, sides, quantities, limit=limits, stop=stops)
        codes = many.check_all(orders, at=at)
        for row, code, (symbol, side, quantity, limit, stop) in zip(orders, codes, rows, strict=True):
            answer = single.check(symbol, side, quantity, limit=limit, stop=stop, at=at)
            assert tuple(str(each.name) for each in Code(int(code))) == tuple(sorted(answer.codes, key=lambda c: Code[c].value))
            if answer:
                assert many.allowed(row) == answer
            else:
                with pytest.raises(OrderError, match="nothing is reserved"):
                    many.allowed(row)
    assert many.gate.state() == single.gate.state()
    assert many.ledger.open_keys() == single.ledger.open_keys()


def test_more_orders_than_wait_for_a_word_pass_at_once_and_fill() -> None:
    gate = RiskGate(Limits.of(MANY, base=Limits.profile("paper")), cash=10**9)
    gate.quote("AAPL", bid=189.99, ask="190.01", at=SECOND)
    orders = gate.orders("AAPL", "buy", list(range(1, 101)), limit=190)
    assert not gate.check_all(orders, at=SECOND).any()
    assert gate.ledger.open_orders == 100
    first = gate.allowed(orders[0])
    gate.fill(first, price=190, quantity=1, at=SECOND)
    gate.release(gate.allowed(orders[99]), at=SECOND)
    assert (gate.position("AAPL"), gate.ledger.open_orders) == (1, 98)
    with pytest.raises(OrderError, match="nothing is reserved for order 1 "):
        gate.allowed(orders[0])


BAD_ROWS: list[tuple[dict[str, int], str]] = [
    ({"instrument": 9}, "instrument"),
    ({"instrument": 0}, "instrument"),
    ({"strategy": 2}, "strategy"),
    ({"side": 0}, "side"),
    ({"type": 77}, "type"),
    ({"replaces": 5}, "replaces"),
    ({"trail": 5}, "trails"),
    ({"limit_px": 190_005_000_000}, "limit_px"),
    ({"limit_px": 0}, "limit_px"),
    ({"stop_px": 190_000_000_000}, "stop_px"),
]


@pytest.mark.parametrize(("wrong", "words"), BAD_ROWS)
def test_rows_that_are_no_orders_are_refused_with_their_number(gate: RiskGate, wrong: dict[str, int], words: str) -> None:
    orders = gate.orders("AAPL", "buy", [1, 2, 3], limit=190)
    for name, value in wrong.items():
        orders[name][1] = value
    before = gate.gate.state()
    with pytest.raises(OrderError, match=f"row 1: .*{words}"):
        gate.check_all(orders, at=SECOND)
    assert gate.gate.state() == before


def test_columns_that_do_not_fit_are_refused(gate: RiskGate) -> None:
    with pytest.raises(OrderError, match="2 of side for 3 orders"):
        gate.orders("AAPL", ["buy", "sell"], [1, 2, 3])
    with pytest.raises(OrderError, match="no array of order_dtype"):
        gate.check_all(np.zeros(3), at=SECOND)
    with pytest.raises(OrderError, match="off the tick"):
        gate.orders("AAPL", "buy", [1, 2], limit=[190, 190.001])
    assert len(gate.check_all(gate.orders("AAPL", "buy", []), at=SECOND)) == 0
