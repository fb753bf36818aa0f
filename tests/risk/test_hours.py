"""When orders may go: the exchange's sessions, its day, and both over a change of the clocks and a restart."""

from datetime import UTC, datetime

import msgspec
import pytest
from tests.risk.test_manager import BUY, LOOSE, PX, QTY, SELL, Desk, answer, codes

from pyrt._core.types import NO_PRICE, Clock
from pyrt.calendar import Calendar, ExchangeDays
from pyrt.clock import SECOND, Now
from pyrt.model import Approved, AssetClass, BaselineSet, Instrument, OrderType, Refused, TimeInForce
from pyrt.ports import TimerFired
from pyrt.risk import Limits

HOUR = 3600 * SECOND


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def desk_at(text: str, **more) -> Desk:
    desk = Desk(calendar=Calendar(), **more)
    at(desk, text)
    return desk


def at(desk: Desk, text: str) -> None:
    ns = utc(text)
    desk.now = Now(ns, desk.now.mono + SECOND)
    desk.quote(100 * PX)


def ask(desk: Desk, source: int, **more):
    return answer(desk.tell(desk.intent(source, px=99 * PX, **more)))


@pytest.mark.parametrize(
    ("time", "regular", "extended"),
    [
        ("2026-03-06T14:29:59", False, True),  # Friday before the clocks change: 09:30 in New York is 14:30
        ("2026-03-06T14:30:00", True, True),
        ("2026-03-06T20:59:59", True, True),
        ("2026-03-06T21:00:00", False, True),
        ("2026-03-07T00:59:59", False, True),
        ("2026-03-07T01:00:00", False, False),
        ("2026-03-08T15:00:00", False, False),  # a Sunday
        ("2026-03-09T07:59:59", False, False),
        ("2026-03-09T08:00:00", False, True),
        ("2026-03-09T13:29:59", False, True),  # Monday after: 13:30
        ("2026-03-09T13:30:00", True, True),
        ("2026-03-09T20:00:00", False, True),
        ("2026-10-30T13:30:00", True, True),
        ("2026-11-02T13:30:00", False, True),  # back again
        ("2026-11-02T14:30:00", True, True),
        ("2026-11-27T17:59:59", True, True),  # a half day: 13:00 and 17:00
        ("2026-11-27T18:00:00", False, True),
        ("2026-11-27T22:00:00", False, False),
        ("2026-11-26T16:00:00", False, False),  # Thanksgiving
    ],
)
def test_orders_go_in_the_session_alone(time: str, regular: bool, extended: bool) -> None:
    desk = desk_at(time)
    plain, late = ask(desk, 1), ask(desk, 2, extended_hours=True, qty=2 * QTY)
    assert isinstance(plain, Approved) == regular
    assert isinstance(late, Approved) == extended
    for refused in (a for a in (plain, late) if isinstance(a, Refused)):
        assert codes(refused) == {"MARKET_CLOSED"}


def test_the_refusal_says_when_it_opens_and_what_time_it_is() -> None:
    desk = desk_at("2026-03-06T14:29:59")
    (breach,) = ask(desk, 1).breaches
    assert (breach.limit, breach.observed) == ("2026-03-06T14:30:00Z", "2026-03-06T14:29:59Z")
    at(desk, "2026-03-06T21:00:00")
    assert ask(desk, 2).breaches[0].limit == "2026-03-06T21:00:00Z"


def test_sessions_follow_each_other_in_one_life() -> None:
    desk = desk_at("2026-03-06T20:59:00")
    assert isinstance(ask(desk, 1), Approved)
    for source, (time, good) in enumerate(
        [
            ("2026-03-06T23:00:00", False),
            ("2026-03-09T13:29:00", False),
            ("2026-03-09T13:30:00", True),
            ("2026-03-10T13:30:00", True),
            ("2026-03-09T19:00:00", True),  # a clock that steps back finds its session again
        ],
        2,
    ):
        at(desk, time)
        refused = ask(desk, source)
        assert (isinstance(refused, Approved) or "MARKET_CLOSED" not in codes(refused)) == good, time


def test_bands_end_with_their_session() -> None:
    desk = desk_at("2026-03-06T15:00:00")
    ask(desk, 1)
    desk.risk.on_status(1, 98 * PX, 98_500_000_000)
    desk.risk.on_status(1, NO_PRICE, NO_PRICE)  # a halt carries none, and takes none away
    assert codes(ask(desk, 2)) == {"LULD"}
    at(desk, "2026-03-09T15:00:00")
    assert isinstance(ask(desk, 3), Approved)


def test_crypto_never_closes_and_a_calendar_that_does_not_know_closes() -> None:
    desk = desk_at("2026-03-08T15:00:00")
    desk.instruments.add(Instrument(id=2, symbol="BTC/USD", asset_class=AssetClass.CRYPTO, lot=1))
    order = msgspec.structs.replace(desk.intent(1, px=99 * PX, instrument=2), tif=TimeInForce.GTC)
    assert isinstance(answer(desk.tell(order)), Approved)
    desk = desk_at("1989-03-08T15:00:00")
    refused = ask(desk, 1)
    assert "MARKET_CLOSED" in codes(refused)
    assert next(b.limit for b in refused.breaches if b.code == "MARKET_CLOSED") == "no hours known"


def test_market_orders_do_not_go_in_extended_hours() -> None:
    desk = desk_at("2026-03-06T22:00:00")
    intent = desk.intent(1, px=0, extended_hours=True)
    intent = msgspec.structs.replace(intent, type=OrderType.MARKET)
    assert codes(answer(desk.tell(intent))) >= {"MARKET_CLOSED"}


# ---------------------------------------------------------------------------------------------------- the exchange's day
@pytest.mark.row("S055")
def test_the_day_is_new_york_s_through_both_changes_of_the_clocks() -> None:
    day_of = ExchangeDays()
    for time, day in (
        ("2026-03-08T04:59:59", "2026-03-07"),  # UTC-5 until 2 in the morning
        ("2026-03-08T05:00:00", "2026-03-08"),
        ("2026-03-09T03:59:59", "2026-03-08"),  # a day of 23 hours
        ("2026-03-09T04:00:00", "2026-03-09"),
        ("2026-11-01T03:59:59", "2026-10-31"),
        ("2026-11-01T04:00:00", "2026-11-01"),
        ("2026-11-02T04:59:59", "2026-11-01"),  # and one of 25
        ("2026-11-02T05:00:00", "2026-11-02"),
        ("2026-11-01T12:00:00", "2026-11-01"),
    ):
        assert day_of(utc(time)) == day


def mark(desk: Desk):
    return desk.tell(TimerFired(key="risk.mark", at=0, clock=Clock.VENUE))


def baselines(desk: Desk) -> list[tuple[str, int]]:
    # Less the day on which the desk was set up.
    return [(f.day, f.equity) for f in desk.facts if isinstance(f, BaselineSet) and f.peak is None and f.day != "2027-01-15"]


@pytest.mark.row("S055")
@pytest.mark.parametrize("midnight", ["2027-03-15T04:00:00", "2027-11-08T05:00:00", "2027-07-01T04:00:00"])
def test_the_loss_begins_anew_at_midnight_in_new_york(midnight: str) -> None:
    desk = Desk(day_of=ExchangeDays())
    at(desk, midnight)
    desk.later(-10 * HOUR)
    desk.quote(100 * PX)
    desk.bought(10 * QTY)
    mark(desk)
    desk.quote(98 * PX)
    desk.later(10 * HOUR - 1)
    mark(desk)
    assert len(baselines(desk)) == 1
    assert desk.risk.gate.day_pnl == -20 * 10**18
    desk.later(1)
    mark(desk)
    assert [equity for _, equity in baselines(desk)] == [0, -20 * 10**9]
    assert desk.risk.gate.day_pnl == 0
    desk.later(-2)  # the clock is set back over midnight: no day begins again
    mark(desk)
    assert len(baselines(desk)) == 2


@pytest.mark.row("S055")
def test_a_restart_in_the_middle_of_a_day_forgets_no_loss() -> None:
    limits = Limits.of({"max_daily_loss": 30}, base=LOOSE)
    desk = Desk(limits, day_of=ExchangeDays())
    at(desk, "2027-03-09T15:00:00")
    desk.bought(10 * QTY)
    mark(desk)
    desk.quote(98 * PX)
    mark(desk)
    desk.risk = desk.replayed()
    desk.later(HOUR)
    mark(desk)  # nothing is quoted yet: nothing is lost and nothing begins
    assert desk.risk.gate.unmarked == 1
    desk.risk._refs[:] = desk.refs
    desk.quote(98 * PX)
    desk.risk._refs[:] = desk.refs
    mark(desk)
    assert len(baselines(desk)) == 1
    assert desk.risk.gate.day_pnl == -20 * 10**18
    desk.refs[1]["bid_px"] = 97 * PX
    desk.risk._refs[:] = desk.refs
    mark(desk)
    assert desk.risk.latches["account"].code == "DAILY_LOSS"


# ---------------------------------------------------------------------------------------------------- drawdown
def test_drawdown_at_its_limit() -> None:
    for bid, latched in ((97_010_000_000, False), (97 * PX, True), (96_990_000_000, True)):
        desk = Desk(Limits.of({"max_drawdown": 50, "max_daily_loss": 1000}, base=LOOSE), day_of=ExchangeDays())
        desk.bought(10 * QTY)
        for px in (100 * PX, 102 * PX):
            desk.quote(px)
            desk.later(SECOND)
            mark(desk)
        desk.refs[1]["bid_px"] = bid
        mark(desk)
        assert bool(desk.risk.latches) == latched, bid
        assert not latched or desk.risk.latches["account"].code == "DRAWDOWN"


def test_the_peak_outlives_a_restart_and_is_journaled_at_a_bounded_rate() -> None:
    desk = Desk(Limits.of({"max_drawdown": 50, "max_daily_loss": 1000}, base=LOOSE), day_of=ExchangeDays())
    desk.bought(10 * QTY)
    mark(desk)
    for cents in range(1, 201):  # ten marks a second, a tenth of a dollar more each
        desk.later(SECOND // 10)
        desk.quote(100 * PX + cents * 10_000_000)
        mark(desk)
    peaks = [f.peak for f in desk.facts if isinstance(f, BaselineSet) and f.peak is not None]
    assert 15 <= len(peaks) <= 21
    assert peaks == sorted(peaks)
    assert 20 * 10**9 - peaks[-1] <= 10**9
    before = desk.risk.state_digest()
    desk.risk = desk.replayed()
    assert desk.risk.state_digest() == before
    desk.quote(97_100_000_000)
    desk.risk._refs[:] = desk.refs
    mark(desk)
    assert not desk.risk.latches
    desk.quote(96_890_000_000)
    desk.risk._refs[:] = desk.refs
    mark(desk)
    assert desk.risk.latches["account"].code == "DRAWDOWN"
    assert "KILLED" in codes(desk.ask(1, px=96 * PX))
    assert isinstance(desk.ask(2, SELL, QTY, 97 * PX), Approved)


# ---------------------------------------------------------------------------------------------------- who stands in the way
def test_self_match_names_the_order_that_stands_in_the_way() -> None:
    desk = Desk()
    desk.bought(10 * QTY)
    stop = desk.intent(1, SELL, 10 * QTY, 0)
    stop = msgspec.structs.replace(stop, type=OrderType.STOP, stop_px=95 * PX)
    approved = answer(desk.tell(stop))
    (breach,) = desk.ask(2, BUY, QTY, 99 * PX).breaches
    assert (breach.code, breach.limit, breach.observed) == (
        "SELF_MATCH",
        "any price: sell 10, order 1 of strategy 3, approved",
        "99",
    )
    number = desk.order(approved)
    (breach,) = desk.ask(3, BUY, QTY, 99 * PX, strategy=4).breaches
    assert breach.limit == f"any price: sell 10, order {number} of strategy 3"


def test_restricted_symbols_may_be_closed_or_not_at_all() -> None:
    for close_only, passes in ((True, True), (False, False)):
        desk = Desk(LOOSE)
        desk.bought()
        for c in desk.risk.propose(
            Limits.of({"restricted": ["AAPL"], "close_only": close_only}, base=LOOSE), who="", why="", now=desk.now
        ):
            desk.fact(c.fact)
        assert codes(desk.ask(1)) == {"RESTRICTED"}
        assert isinstance(desk.ask(2, SELL, QTY, 101 * PX), Approved) == passes
        assert isinstance(desk.ask(3, px=99 * PX, instrument=2), Approved)
