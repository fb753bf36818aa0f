"""Each of the broker's rules refuses what the venue would refuse, and says how to mend it; the mended order goes through."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.docs import rule_table
from tests.reference.order_fuzz import Wanted
from tests.reference.rule_floor import Floor

from pyrt._core.types import Side
from pyrt.journal import codec
from pyrt.model import AssetClass, Defined, Instrument, Intended, Intent, OrderClass, OrderType, Refused, TimeInForce
from pyrt.risk.asked import Asked
from pyrt.risk.rule_table import RULES, features, rules_for
from pyrt.strategies import Order

ONE = 10**9
BUY, SELL = Side.BUY, Side.SELL
MARKET, LIMIT, STOP, STOP_LIMIT = OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT
DAY, GTC, IOC, OPG, CLS = TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.OPG, TimeInForce.CLS
LEAVE_OUT = "give it a limit and tif=day, or leave out extended_hours"
REGULAR = {"extended_hours": False}
MORNING = "2026-11-24T10:00"
pytestmark = pytest.mark.row("X15")


def ask(floor: Floor, symbol: str, verb: str = "new", **make: Any) -> Order:
    """One order through the whole path; what it does not say is a buy of one share at the market for the day."""
    order = {"side": BUY, "type": MARKET, "tif": DAY, "qty": ONE, "limit_px": 0, "stop_px": 0, "extended_hours": False, **make}
    found = floor.ask(Wanted(verb, floor.instruments[symbol], order))
    assert found is not None
    return found


def passed(floor: Floor, order: Order) -> None:
    assert order.number, (order, order.reason)
    assert not floor.figures.refused_by_venue


def refused(floor: Floor, order: Order, rule: str, mend: str) -> None:
    """By this rule alone, in these words; and the venue, asked past the table, says no as well."""
    assert order.number == 0
    assert order.reason == f"{rule}: {mend}"
    [fact] = [f for f in floor.facts if isinstance(f, Refused) and f.intent == order.intent]
    [breach] = fact.breaches
    assert (breach.rule, breach.mend) == (rule, mend)
    assert floor.figures.shown
    assert not floor.figures.needless
    assert not any(isinstance(f, Intended) and f.intent == order.intent for f in floor.facts)
    assert floor.session.risk.ledger.reservation(order.intent.key) is None


CASES = [
    ("part-day", "AAPL", {"qty": ONE // 2, "tif": GTC, "type": LIMIT, "limit_px": 180 * ONE}, "use tif=day, or 1", {"tif": DAY}),
    ("part-day", "AAPL", {"qty": 5 * ONE // 2, "tif": IOC}, "use tif=day, or 2 or 3", {"qty": 2 * ONE}),
    (
        "part-least",
        "AAPL",
        {"qty": ONE // 1000, "type": LIMIT, "limit_px": 190 * ONE},
        "buy for 1 dollar or more: 0.005263158",
        {"qty": 5263158},
    ),
    ("extended-limit", "AAPL", {"extended_hours": True}, LEAVE_OUT, {"extended_hours": False}),
    (
        "extended-limit",
        "AAPL",
        {"extended_hours": True, "type": LIMIT, "limit_px": 180 * ONE, "tif": IOC},
        LEAVE_OUT,
        {"tif": DAY},
    ),
    ("borrow-day", "HARD", {"type": LIMIT, "limit_px": 39 * ONE, "tif": GTC}, "use tif=day", {"tif": DAY}),
    ("pair-tif", "BTC/USD", {"qty": ONE // 1000, "tif": DAY}, "use tif=gtc or tif=ioc", {"tif": IOC}),
    (
        "pair-type",
        "BTC/USD",
        {"qty": ONE // 1000, "tif": GTC, "type": STOP, "stop_px": 61_000 * ONE},
        "use a market, limit or stop-limit order",
        {"type": STOP_LIMIT, "limit_px": 61_500 * ONE},
    ),
    ("pair-least", "BTC/USD", {"qty": 10_000, "tif": GTC}, "use 0.000013 or more", {"qty": 13_000}),
    ("extended-none", "BTC/USD", {"qty": 10**6, "tif": IOC, "extended_hours": True}, "leave out extended_hours", REGULAR),
    ("pair-cash", "BTC/USD", {"qty": 2 * ONE, "tif": GTC}, "at most 1.626015 can be paid for now", {"qty": 1_626_000_000}),
    ("buying-power", "AAPL", {"qty": 1100 * ONE}, "at most 1026.904908605 can be paid for now", {"qty": 600 * ONE}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "symbol", "make", "mend", "mended"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)])
def test_a_rule_refuses_and_its_mend_passes(
    rule: str, symbol: str, make: dict[str, Any], mend: str, mended: dict[str, Any]
) -> None:
    floor = Floor(MORNING)
    refused(floor, ask(floor, symbol, **make), rule, mend)
    passed(floor, ask(floor, symbol, **{**make, **mended}))
    assert floor.figures.refused_by_rule == {rule: 1}


def test_a_price_off_the_tick_names_both_neighbours() -> None:
    floor = Floor(MORNING)
    for symbol, px, near in (("AAPL", 190_001_000_000, "190 or 190.01"), ("PENY", 420_050_000, "0.42 or 0.4201")):
        order = ask(floor, symbol, type=LIMIT, limit_px=px)
        assert order.breaches == ("PRICE_COLLAR",)
        assert order.reason == f"price-tick: use {near}"
    passed(floor, ask(floor, "PENY", type=LIMIT, limit_px=420_100_000))


def test_one_order_does_not_turn_a_position_over() -> None:
    floor = Floor(MORNING)
    passed(floor, ask(floor, "AAPL", qty=10 * ONE))
    assert floor.session.risk.account(1).qty == 10 * ONE
    order = ask(floor, "AAPL", side=SELL, qty=15 * ONE)
    assert order.reason == "turn: close 10 first, then open the rest"
    passed(floor, ask(floor, "AAPL", side=SELL, type=LIMIT, limit_px=200 * ONE, qty=10 * ONE))
    assert ask(floor, "AAPL", side=SELL, qty=ONE).reason == "turn: cancel an open order of this side first"
    assert not floor.figures.needless
    opposite = ask(floor, "AAPL", type=LIMIT, limit_px=200 * ONE)
    assert (opposite.breaches, opposite.reason) == (("SELF_MATCH",), "SELF_MATCH: cancel the opposite order first")


def test_what_the_account_s_owner_does_not_want() -> None:
    floor = Floor(MORNING, fractional_trading=False)
    words = "use 1, or allow fractional trading in the account's configuration"
    refused(floor, ask(floor, "AAPL", qty=ONE // 2), "part-allowed", words)
    floor.exchange.configure({"fractional_trading": True})
    floor.later(2 * ONE)
    passed(floor, ask(floor, "AAPL", qty=ONE // 2))


def test_a_replacement_is_for_whole_shares() -> None:
    floor = Floor(MORNING)
    passed(floor, ask(floor, "AAPL", type=LIMIT, limit_px=180 * ONE, qty=2 * ONE))
    refused(floor, ask(floor, "AAPL", "replace", qty=5 * ONE // 2), "part-replace", "cancel the order and send another")
    passed(floor, ask(floor, "AAPL", "replace", qty=3 * ONE))


@pytest.mark.parametrize(
    ("at", "tif", "shut"),
    [
        ("2026-11-24T09:27:59", OPG, ""),
        ("2026-11-24T09:28", OPG, "send it before 2026-11-24 09:28, or from 2026-11-24 19:00 on"),
        ("2026-11-24T18:59", OPG, "send it before 2026-11-24 09:28, or from 2026-11-24 19:00 on"),
        ("2026-11-24T19:00", OPG, ""),
        ("2026-11-24T15:49", CLS, ""),
        ("2026-11-24T15:50", CLS, "send it before 2026-11-24 15:50, or from 2026-11-24 19:00 on"),
        ("2026-11-27T12:49", CLS, ""),
        ("2026-11-27T12:50", CLS, "send it before 2026-11-27 12:50, or from 2026-11-27 19:00 on"),  # a half day
        ("2026-11-28T12:00", CLS, ""),  # a Saturday: it waits for Monday
    ],
)
def test_auction_orders_have_their_hours(at: str, tif: TimeInForce, shut: str) -> None:
    floor = Floor(at)
    order = Intent(strategy=1, source=1, instrument=1, side=BUY, type=MARKET, tif=tif, qty=ONE)
    broken = floor.session.risk.rules.broken(order, floor.instruments[1], floor.now.venue)
    assert [(b.rule.name, b.mend) for b in broken] == ([("auction-time", shut)] if shut else [])
    assert floor.venue_refuses(order) == bool(shut)


def test_auction_orders_need_a_venue_that_closes_and_a_market_or_limit_order() -> None:
    floor = Floor(MORNING, calendar=False)
    refused(floor, ask(floor, "AAPL", tif=CLS), "auction-time", "use tif=day, or run the venue with its calendar")
    floor = Floor(MORNING)
    stop = ask(floor, "AAPL", tif=CLS, type=STOP, stop_px=200 * ONE)
    refused(floor, stop, "auction-type", "send a market or a limit order")


SCENES: list[tuple[str, dict[str, Any]]] = [
    (MORNING, {}),
    (MORNING, {"fractional_trading": False, "cash": "5000"}),
    (MORNING, {"no_shorting": True, "cash": "10000000"}),
    (MORNING, {"calendar": False, "cash": "1500"}),
    ("2026-11-24T05:00", {}),
    ("2026-11-27T12:30", {"multiplier": 1}),
]


@pytest.mark.parametrize(("at", "account"), SCENES)
def test_fuzzed_orders_meet_no_refusal_that_could_be_known(at: str, account: dict[str, Any]) -> None:
    fuzzed(at, account, 120, 1)


@pytest.mark.nightly
@pytest.mark.parametrize(("at", "account"), SCENES)
def test_fuzzed_orders_in_numbers(at: str, account: dict[str, Any]) -> None:
    fuzzed(at, account, 1700, 2)


def fuzzed(at: str, account: dict[str, Any], n: int, seed: int) -> None:
    """No 403 and no 422; and what the rules refused the venue refuses too."""
    figures = Floor(at, **account).fuzz(n, seed)
    assert not figures.refused_by_venue, figures
    assert not figures.needless, figures
    assert figures.accepted
    assert figures.shown > n // 3


def test_the_page_shows_the_table() -> None:
    assert rule_table.shown() == rule_table.table()
    assert len({(rule.name, rule.classes) for rule in RULES}) == len(RULES)


def test_definitions_keep_what_may_be_done_and_old_ones_say_that_all_may() -> None:
    gone = Instrument(id=3, symbol="GONE", tradable=False, shortable=False, easy_to_borrow=False, min_qty=7)
    kind, payload = codec.encode(Defined(instrument=gone))
    assert codec.decode(kind, codec.VERSION, payload) == Defined(instrument=gone)
    old = payload[:107] + bytes(21)  # as it was written when these bytes were not used
    assert codec.decode(kind, codec.VERSION, old) == Defined(instrument=Instrument(id=3, symbol="GONE"))


@given(
    intent=st.builds(
        Intent,
        strategy=st.just(1),
        source=st.just(1),
        instrument=st.just(1),
        side=st.sampled_from(Side),
        qty=st.sampled_from((ONE, 3 * ONE, ONE // 2, ONE // 1000)),
        type=st.sampled_from(OrderType),
        limit_px=st.sampled_from((0, 180 * ONE, 180 * ONE + 1)),
        stop_px=st.sampled_from((0, 190 * ONE)),
        trail_px=st.sampled_from((0, ONE)),
        tif=st.sampled_from(TimeInForce),
        extended_hours=st.booleans(),
        order_class=st.sampled_from(OrderClass),
        target_px=st.sampled_from((0, 200 * ONE)),
        guard_px=st.sampled_from((0, 150 * ONE)),
    ),
    kind=st.sampled_from(AssetClass),
    position=st.sampled_from((-5 * ONE, 0, 5 * ONE)),
    replaces=st.booleans(),
)
def test_a_rule_that_is_not_asked_had_nothing_to_say(intent: Intent, kind: AssetClass, position: int, replaces: bool) -> None:
    instrument = Instrument(id=1, symbol="A", asset_class=kind)
    asked = Asked(
        intent=intent, instrument=instrument, asset=instrument, account=None, calendar=None, now=0, one=ONE, replaces=replaces,
        filled=0, freed=0, position=position, offered=0, ask_px=185 * ONE, bid_px=184 * ONE, committed=0,
    )  # fmt: skip
    of_all = [rule for rule in RULES if kind in rule.classes and rule.test(asked) is not None]
    assert [rule for rule in rules_for(kind, features(asked)) if rule.test(asked) is not None] == of_all
