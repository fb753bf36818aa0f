"""The native verbs do what the Python behind them does: the same orders, the same words, whatever is passed."""

import copy
import inspect
import pickle
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.room import Room
from tests.sizes import size

from pyrt._core.types import Side
from pyrt._core.verbs import Seat
from pyrt.model import AssetClass, Defined, Instrument, Intent, OrderStatus
from pyrt.ports import Append, Sync
from pyrt.strategies import Order, Position, Strategy

VERBS = ("buy", "sell", "position", "open_orders")
NUMBERS = (
    1, 10, 0, -1, 10**9, 9 * 10**9, 10**30, True, 1.0, 1.5, 0.1, 99.99, 100.01, 100.015, 0.1 + 0.2, 1e-9, 1e22, -0.0,
    99.99999999999999, float("nan"), float("inf"), "1", "10.5", " 7 ", "1e2", "", "x", "99.98", "0.5001", "\u0661", "\ud800",
    Decimal("100.02"), Decimal("0.00015"), Decimal("NaN"), Decimal("1e40"), np.int64(3), np.float64(99.5), None, (), [1], 7 + 0j,
)  # fmt: skip
SYMBOLS = ("AAPL", "MSFT", "AAPL", "BTC/USD", "PENNY", "NONE", "", 1, None, ("AAPL",))
TIFS = (None, "day", "gtc", "ioc", "fok", "opg", "cls", "DAY", "Gtc", "never", "", 1, True)


class Trader(Strategy):
    symbols = ("AAPL", "MSFT", "BTC/USD", "PENNY")


class Text(str):
    pass


def room() -> tuple[Room, Trader]:
    trader = Trader()
    made = Room(trader, symbols=("AAPL", "MSFT"), start=False, facts=DEFINED)
    made.recover()
    for symbol in ("AAPL", "MSFT"):
        made.quote(symbol)
    made.session.start(made.now)
    return made, trader


DEFINED = [
    Defined(
        instrument=Instrument(
            id=3, symbol="BTC/USD", asset_class=AssetClass.CRYPTO, tick=10**7, sub_tick=10**7, lot=100_000, qty_exp=9
        )
    ),
    Defined(instrument=Instrument(id=4, symbol="PENNY", lot=1, qty_exp=0)),
]


def python(name: str) -> Callable[..., Any]:
    """A verb as it is where nothing is native."""
    found: Callable[..., Any] = inspect.unwrap(getattr(Strategy, name))
    assert inspect.isfunction(found)
    return found


def told(verb: Callable[[], Any]) -> Any:
    """What a verb gives, or its words."""
    try:
        given = verb()
    except Exception as e:
        return type(e), str(e)
    if isinstance(given, Order):
        legs = [told(lambda each=each: each) for each in given.legs]  # type: ignore[misc]
        kept = (given.number, given.status, given.reason, given.breaches, legs, given.is_exit, given._filled_qty, given._cost)
        return given.intent, given._instrument, repr(given), *kept
    if isinstance(given, Position):
        return given.quantity_qty, given.quantity, given.cost, given.realised, given.average, bool(given), repr(given)
    return [told(lambda each=each: each) for each in given]  # type: ignore[misc]


def asked(rng: random.Random) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """A verb and its arguments, mostly plain ones."""
    verb = rng.choice(("buy", "buy", "sell", "sell", "position", "open_orders"))
    symbol: Any = rng.choice(SYMBOLS[:5]) if rng.random() < 0.85 else rng.choice(SYMBOLS)
    if verb == "position":
        return verb, (symbol,), {}
    if verb == "open_orders":
        return verb, () if rng.random() < 0.3 else (symbol,), {}
    named: dict[str, Any] = {}
    if rng.random() < 0.7:
        named["limit"] = price(rng)
    if rng.random() < 0.2:
        named["stop"] = price(rng)
    if rng.random() < 0.2:
        named["tif"] = rng.choice(TIFS)
    for name, some in (
        ("reduce_only", (True, False, 1, None)),
        ("extended_hours", (True, False, 0)),
        ("valid_for", (1, 2.5, -1.0, 1e6, 1e300, float("nan"), None)),
        ("round", ("down", "up", "nearest", None, "x")),
        ("trail", (1, None)),
        ("take_profit", (120, None)),
        ("stop_loss", (80, None)),
    ):
        if rng.random() < 0.05:
            named[name] = rng.choice(some)
    return verb, (symbol, quantity(rng)), named


def price(rng: random.Random) -> Any:
    found = rng.choice((99, 100, 0.5)) + rng.randrange(-50, 50) / 100
    if rng.random() < 0.15:
        return rng.choice(NUMBERS)
    return rng.choice((found, round(found, 2), str(round(found, 2)), Decimal(str(round(found, 2))), int(found), found + 0.005))


def quantity(rng: random.Random) -> Any:
    return rng.choice(NUMBERS) if rng.random() < 0.2 else rng.choice((1, 5, 2.0, "3", Decimal(4), 0.25, "0.00015"))


@pytest.mark.parametrize("seed", range(size("VERBS", 6)))
def test_the_native_verbs_do_what_the_python_verbs_do(seed: int) -> None:
    rng = random.Random(seed)
    (left, native), (right, plain) = room(), room()
    sent = 0
    for _ in range(500):
        verb, arguments, named = asked(rng)
        ours = told(lambda: getattr(native, verb)(*arguments, **named))  # noqa: B023
        theirs = told(lambda: python(verb)(plain, *arguments, **named))  # noqa: B023
        assert ours == theirs, (verb, arguments, named)
        sent += isinstance(ours, tuple) and isinstance(ours[0], Intent)
        if rng.random() < 0.3:
            left.quote("AAPL")
            right.quote("AAPL")
        assert native._desk._sources == plain._desk._sources  # type: ignore[attr-defined]
    left.quote("AAPL")
    right.quote("AAPL")
    assert left.shell.facts == right.shell.facts
    assert left.shell.commands == right.shell.commands
    assert sent > 100


def test_plain_verbs_take_the_native_way(monkeypatch: pytest.MonkeyPatch) -> None:
    made, trader = room()
    monkeypatch.setattr(trader, "_desk", None)  # the Python behind the verbs could do nothing
    for quantity_, limit in ((1, 99), (1.0, 99.99), ("1", "99.98")):
        order = trader.buy("AAPL", quantity_, limit=limit)
        assert type(order) is Order
        assert trader.open_orders("AAPL")[-1] is order
    trader.sell("MSFT", 2, stop=90, tif="gtc", reduce_only=True)
    assert [o.symbol for o in trader.open_orders()] == ["AAPL", "AAPL", "AAPL", "MSFT"]
    assert type(trader.position("AAPL")) is Position
    made.session.settle()
    assert len(made.shell.facts) > 4


def test_a_strategy_without_a_session_says_what_it_said() -> None:
    for verb in VERBS:
        with pytest.raises(AttributeError, match="_desk"):
            getattr(Trader(), verb)(*(("AAPL", 1) if verb in ("buy", "sell") else ("AAPL",)))


def test_a_definition_told_anew_is_used() -> None:
    made, trader = room()
    assert trader.buy("AAPL", 1, limit="99.99").intent.limit_px == 99_990_000_000
    coarse = Instrument(id=1, symbol="AAPL", tick=10**9, sub_tick=10**9)
    made.session.request([Append(fact=Defined(instrument=coarse), sync=Sync.SOON)])
    assert told(lambda: trader.buy("AAPL", 1, limit="99.99")) == told(lambda: python("buy")(trader, "AAPL", 1, limit="99.99"))
    assert trader.buy("AAPL", 1, limit="99")._instrument is coarse


def test_nothing_is_sent_before_the_start_and_after_the_end() -> None:
    for stopped in (False, True):
        trader = Trader()
        made = Room(trader, start=False, facts=DEFINED)
        made.recover()
        if stopped:
            made.session.start(made.now)
            made.session.stop(made.now)
        assert trader.buy("AAPL", 1, limit=99).breaches == ("NOT_RUNNING",)
        assert trader.open_orders() == []


def test_text_that_only_looks_like_text_is_taken_as_before() -> None:
    (_, native), (_, plain) = room(), room()
    for symbol, amount in ((Text("AAPL"), 1), ("AAPL", Text("1"))):
        assert told(lambda: native.buy(symbol, amount)) == told(lambda: python("buy")(plain, symbol, amount))  # noqa: B023


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_tells_of_itself_as_its_python_does(verb: str) -> None:
    native, plain = getattr(Strategy, verb), python(verb)
    assert native is not plain
    assert inspect.signature(native) == inspect.signature(plain)
    assert (native.__doc__, native.__name__, native.__qualname__) == (plain.__doc__, plain.__name__, plain.__qualname__)
    assert native.__module__ == plain.__module__


def test_the_verbs_of_a_subclass_are_its_own() -> None:
    class Careful(Trader):
        def buy(self, symbol: str, quantity: Any, **terms: Any) -> Order:
            return super().buy(symbol, 1, **terms)

    careful = Careful()
    made = Room(careful, facts=DEFINED)
    assert careful.buy("AAPL", 50, limit=99).quantity == 1
    assert careful.open_orders()
    made.session.settle()


def test_an_order_makes_its_intent_once() -> None:
    _, trader = room()
    order = trader.buy("AAPL", 1, limit=99)
    assert order.intent is order.intent
    assert order.side is Side.BUY
    assert copy.copy(order.intent) == order.intent


def test_a_seat_is_for_orders_and_positions_alone() -> None:
    _, trader = room()
    desk: Any = trader._desk
    session = desk._session
    parts: dict[str, Any] = {
        "intent": None, "tif_of": None, "post": None, "known": {}, "tifs": {},
        "orders": {}, "opened": {}, "sources": {}, "shown": {},
    }  # fmt: skip
    for order, holding in ((Intent, Position), (Order, Intent)):
        with pytest.raises(TypeError, match="Ticket"):
            Seat(session, session.risk.ledger, 1, order=order, holding=holding, **parts)  # type: ignore[arg-type]


@given(st.integers(-(1 << 62), 1 << 62), st.integers(-(1 << 120), 1 << 120), st.integers(-(1 << 120), 1 << 120))
@settings(max_examples=200)
def test_a_position_keeps_what_it_cost_to_the_last_digit(qty: int, cost: int, realised: int) -> None:
    held = Position(DEFINED[1].instrument, qty, cost, realised)
    assert (held.quantity_qty, held._cost, held._realised) == (qty, cost, realised)
    assert bool(held) == (qty != 0)


def test_orders_and_positions_can_be_copied_and_kept() -> None:
    _, trader = room()
    first, second = trader.buy("AAPL", 1, limit=99), trader.buy("MSFT", 2, limit=99, take_profit=120, stop_loss=90)
    second.status, second.number, second._filled_qty, second._cost = OrderStatus.PARTIAL, 7, 5, None
    for each in (first, second, trader.position("AAPL")):
        for copied in (copy.copy(each), copy.deepcopy(each), pickle.loads(pickle.dumps(each))):
            assert copied is not each
            assert told(lambda: copied) == told(lambda: each)  # noqa: B023
