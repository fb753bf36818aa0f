"""Strategy: parameters, prices, verbs."""

import doctest
import json
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.room import PX, Room

import pyrt.strategies.strategy as module
from pyrt._core.types import Side
from pyrt.cli.strategies import load_class, load_strategies
from pyrt.clock import interval_ns
from pyrt.errors import ConfigError, OrderError
from pyrt.live.recipe import recipe_of
from pyrt.model import Instrument, OrderType
from pyrt.strategies import Strategy
from pyrt.strategies.quote_maker import QuoteMaker
from pyrt.strategies.sma_cross import SmaCross
from pyrt.strategies.ticket import px_of

SHARE = Instrument(id=1, symbol="AAPL")


class Everything(Strategy):
    symbols = ("AAPL",)
    lookback = 20
    factor = 1.5
    label = "x"
    enabled = False
    size = Decimal("1.5")
    windows = (5, 20)
    names = ["a"]  # noqa: RUF012 -- as users write it
    free = None

    @property
    def derived(self) -> int:
        return 1

    def helper(self) -> None: ...


# ---------------------------------------------------------------------------------------------------- parameters
@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("lookback", "30", 30),
        ("lookback", 30.0, 30),
        ("factor", "2", 2.0),
        ("factor", 3, 3.0),
        ("label", 7, "7"),
        ("enabled", "yes", True),
        ("enabled", "off", False),
        ("enabled", 1, True),
        ("size", "2.25", Decimal("2.25")),
        ("size", 0.1, Decimal("0.1")),
        ("windows", "7, 30", (7, 30)),
        ("windows", [7, 30], (7, 30)),
        ("names", "b,c", ["b", "c"]),
        ("symbols", "MSFT, TSLA,", ("MSFT", "TSLA")),
        ("free", "text", "text"),
        ("warmup", "12", 12),
    ],
)
def test_parameters_are_read_as_the_type_of_their_default(name: str, given: Any, value: Any) -> None:
    read = getattr(Everything(**{name: given}), name)
    assert read == value
    assert type(read) is type(value)
    assert getattr(Everything, name) != value or name == "enabled"  # the class stays as it was


@pytest.mark.parametrize(
    ("name", "given"),
    [("lookback", "3.5"), ("lookback", 3.7), ("factor", "fast"), ("enabled", "maybe"), ("size", "much"), ("windows", "5,x")],
)
def test_what_cannot_be_read_says_which_parameter(name: str, given: Any) -> None:
    with pytest.raises(ConfigError, match=rf"Everything\.{name}.*its default is"):
        Everything(**{name: given})


@pytest.mark.parametrize("name", ["lokback", "buy", "on_bar", "name", "now", "derived", "helper", "_id", "_desk", "__class__"])
def test_only_parameters_can_be_set(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no parameter .*lookback"):
        Everything(**{name: 1})


def test_a_single_symbol_may_be_text() -> None:
    class One(Strategy):
        symbols = "AAPL"  # type: ignore[assignment]

    assert One().symbols == ("AAPL",)
    room = Room(One())
    assert room.session.strategies[1].symbols == ("AAPL",)


@pytest.mark.parametrize(("text", "ns"), [("1s", 10**9), ("5m", 300 * 10**9), ("1h", 3600 * 10**9), ("1d", 86_400 * 10**9), (7, 7)])
def test_intervals(text: Any, ns: int) -> None:
    assert interval_ns(text) == ns


@pytest.mark.parametrize("text", ["", "m", "0m", "-1m", "1.5m", "1w", "m1", "¹m", 0, -5])
def test_what_is_no_interval(text: Any) -> None:
    with pytest.raises(ConfigError, match="interval"):
        interval_ns(text)


def test_an_entry_point_is_found(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_package.py").write_text(
        "from pyrt.strategies import Strategy\nclass Theirs(Strategy):\n    symbols = ('TSLA',)\n    depth = 3\n"
    )
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pyrt.strategies]\ntheirs = their_package:Theirs\n")
    monkeypatch.syspath_prepend(tmp_path)
    [strategy] = load_strategies(["theirs"], ["Theirs.depth=5"])
    assert (strategy.name, strategy.symbols) == ("Theirs", ("TSLA",))
    assert strategy.depth == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["same_name.py", "json.py"])  # one that a module of Python's own has, too
def test_files_of_one_name_are_each_known_by_their_own_place(tmp_path: Path, name: str) -> None:
    """A recording names a strategy's file and keeps its digest: of that file, whatever else is loaded."""
    files = []
    for folder, cls in (("a", "First"), ("b", "Second")):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / name)
        files[-1].write_text(f"import pyrt\nclass {cls}(pyrt.Strategy):\n    symbols = ('AAPL',)\n")
    strategies = load_strategies([str(file) for file in files])
    for file, strategy in zip(files, strategies, strict=True):
        recipe = recipe_of(strategy)
        assert recipe.use == f"{file}:{strategy.name}"
        assert recipe.source == blake2b(file.read_bytes(), digest_size=16).hexdigest()
        assert load_class(recipe.use).__name__ == strategy.name
    assert json.loads("1") == 1


def test_the_docstring_s_example_runs() -> None:
    found = doctest.testmod(module, extraglobs={"Strategy": Strategy})
    assert found.attempted > 0
    assert found.failed == 0


# ---------------------------------------------------------------------------------------------------- prices
@pytest.mark.parametrize(
    ("price", "way", "text"),
    [
        (190.256, "down", "190.25"),
        (190.251, "up", "190.26"),
        (190.25, "up", "190.25"),
        (0.1 + 0.2, "up", "0.3"),
        (190.255, "nearest", "190.26"),
        (190.2549, "nearest", "190.25"),
        ("190.259", "down", "190.25"),
        (Decimal(100) / 3, "down", "33.33"),
        (Decimal(100) / 3, "up", "33.34"),
        ("33.3333333333333333", "nearest", "33.33"),
        (190, "up", "190"),
        (0.12345, "down", "0.1234"),
        (0.99995, "up", "1"),
        (1.0049, "down", "1"),
        (29.29 * 3, "nearest", "87.87"),
    ],
)
def test_rounding_to_the_tick(price: Any, way: Any, text: str) -> None:
    assert px_of(SHARE, price, way) == int(Decimal(text) * PX)


@given(price=st.floats(0.0002, 10**6), way=st.sampled_from(["down", "up", "nearest"]))
def test_a_rounded_price_is_on_the_tick_and_within_one(price: float, way: Any) -> None:
    px = px_of(SHARE, price, way)
    tick = SHARE.tick_at(int(price * PX))
    assert px % SHARE.tick_at(px) == 0
    off = px - Decimal(repr(price)) * PX
    noise = 1  # a float is read to nine decimals first
    assert {"down": -tick - noise, "up": -noise, "nearest": -tick // 2 - noise}[way] <= off
    assert off <= {"down": noise, "up": tick + noise, "nearest": tick // 2 + noise}[way]


@pytest.mark.parametrize(
    ("price", "way"), [(float("nan"), "up"), (float("inf"), "down"), ("x", "up"), (0.00001, "down"), (-5, "up"), (None, "sideways")]
)
def test_what_is_no_price(price: Any, way: Any) -> None:
    with pytest.raises(OrderError):
        px_of(SHARE, 190.001 if price is None else price, way)


def test_off_tick_without_rounding_names_both_neighbours() -> None:
    s = Everything()
    Room(s)
    with pytest.raises(OrderError, match=r"use 190\.25 or 190\.26, or pass round="):
        s.buy("AAPL", 10, limit=190.256)
    assert s.buy("AAPL", 10, limit=190.256, round="up").limit == Decimal("190.26")


# ---------------------------------------------------------------------------------------------------- verbs
@pytest.mark.parametrize(
    ("prices", "kind"),
    [
        ({}, OrderType.MARKET),
        ({"limit": 100}, OrderType.LIMIT),
        ({"stop": 100}, OrderType.STOP),
        ({"limit": 100, "stop": 101}, OrderType.STOP_LIMIT),
    ],
)
def test_the_prices_given_make_the_type(prices: dict[str, int], kind: OrderType) -> None:
    s = Everything()
    room = Room(s)
    order = s.sell("AAPL", 1.0, **prices, tif="GTC", valid_for=2.5)  # type: ignore[arg-type]
    assert (order.type, order.side, order.quantity) == (kind, Side.SELL, 1)
    assert order.intent.tif.name == "GTC"
    assert order.intent.valid_until == room.now.venue + 2_500_000_000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"quantity": 0}, "above zero"),
        ({"quantity": 0.5}, "multiple of 1"),
        ({"quantity": -3}, "above zero"),
        ({"quantity": 1, "tif": "forever"}, "day, gtc, ioc, fok"),
        ({"quantity": 1, "symbol": "NOPE"}, "add it to `symbols`"),
        ({"quantity": float("nan")}, "quantity"),
    ],
)
def test_an_order_that_cannot_exist_is_refused_where_it_is_written(arguments: dict[str, Any], says: str) -> None:
    s = Everything()
    room = Room(s)
    with pytest.raises(OrderError, match=says):
        s.buy(**{"symbol": "AAPL", **arguments})
    assert room.session.counts["intents"] == 0


def test_replace_refuses_what_makes_no_sense() -> None:
    s = Everything()
    room = Room(s)
    market, limit = s.buy("AAPL", 1), s.buy("AAPL", 2, limit=90)
    room.quote()
    room.accept()
    with pytest.raises(OrderError, match="MARKET order has no limit to change"):
        s.replace(market, limit=90)
    with pytest.raises(OrderError, match="LIMIT order has no stop to change"):
        s.replace(limit, stop=90)
    assert s.replace(limit, limit=90.005, round="down").limit == 90
    room.fill(1)
    with pytest.raises(OrderError, match="is done"):
        s.replace(market, quantity=3)


# ---------------------------------------------------------------------------------------------------- the shipped ones
def test_quote_maker_takes_up_the_orders_of_an_earlier_life() -> None:
    old = Room(QuoteMaker(symbols="AAPL"))
    old.quote()
    old.accept()
    old.fill(1)
    old.quote()
    old.accept()
    [exit_] = old.session.strategies[1].open_orders()
    assert exit_.side is Side.SELL
    s = QuoteMaker(symbols="AAPL")
    room = Room(s, facts=old.facts, start=False)
    from pyrt.ports import VenuePosition

    room.recover(orders=tuple(old.working.values()), positions=(VenuePosition(symbol="AAPL", qty="5", avg_entry_price="99.99"),))
    room.quote()
    room.session.start(room.now)
    room.quote()
    assert room.accept() == []  # it does not offer the same shares twice
    assert [o.number for o in s.open_orders()] == [exit_.number]


def test_sma_cross_buys_above_and_closes_below() -> None:
    from tests.reference.room import SECOND, T0

    s = SmaCross(symbols="AAPL", fast=2, slow=4)
    room = Room(s)
    sides = []
    for i, price in enumerate([100, 100, 100, 100, 103, 104, 99, 90, 90]):
        room.quote(bid=price - 0.01, ask=price + 0.01)
        room.trade(price=price, ts=T0 + i * SECOND)
        room.close_bars(T0 + (i + 1) * SECOND)
        for request in room.accept():
            sides.append((i, request.side.name))
            room.fill(request.number, price=str(price))
    assert sides == [(4, "BUY"), (6, "SELL")]
    assert not s.position("AAPL")
