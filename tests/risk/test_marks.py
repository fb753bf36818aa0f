"""What no feed prices: the venue's own value with a haircut, and where nobody tells any, no entry, no loss and no latch."""

import msgspec
import numpy as np
import pytest
from tests.reference.bench import ACCOUNT
from tests.reference.room import Room
from tests.risk.test_hours import at, baselines, mark
from tests.risk.test_manager import BUY, LOOSE, PX, QTY, SELL, T0, Desk, codes

from pyrt._core.types import ref_dtype
from pyrt.calendar import ExchangeDays
from pyrt.clock import SECOND
from pyrt.model import Approved, BaselineSet, Instrument, PositionAdjusted, Recovered
from pyrt.ports import Alarm, Start, StreamState, VenuePosition, VenueSnapshot
from pyrt.risk import Limits

HOUR = 3600 * SECOND
MONEY = 10**18


def held(desk: Desk, qty: int, cost: int = 0, instrument: int = 1) -> None:
    """Shares from before, or by hand: no fill tells a price."""
    desk.fact(PositionAdjusted(instrument=instrument, strategy=0, qty=qty * QTY, cost=cost * 10**9, reason="held", ts=T0))


def snapshot(desk: Desk, *positions: tuple[str, str, str]) -> list[Alarm]:
    shown = tuple(VenuePosition(symbol=s, qty=qty, avg_entry_price="1", price=price) for s, qty, price in positions)
    whole = {"query": 1, "begun": desk.now.venue, "since": 0, "account": ACCOUNT, "orders": (), "fills": ()}
    return alarms(desk.tell(VenueSnapshot(positions=shown, **whole)))


def alarms(commands: list[object]) -> list[Alarm]:
    return [c for c in commands if isinstance(c, Alarm)]


def strange(limits: Limits = LOOSE, **more: object) -> Desk:
    """A desk that watches AAPL, and whose account holds 100 of GME, bought by hand."""
    desk = Desk(limits, **more)
    held(desk, 100, 1000, strange_to(desk))
    return desk


def strange_to(desk: Desk) -> int:
    desk.instruments.add(Instrument(id=3, symbol="GME", lot=1))
    return 3


# ---------------------------------------------------------------------------------------------------- priced by the venue
def test_what_was_bought_by_hand_counts_at_the_venue_s_price_and_the_haircut() -> None:
    limits = Limits.of({"max_gross_exposure": 20_000, "max_net_exposure": 20_000, "haircut_bps": 1000}, base=LOOSE)
    for price, passes in (("100", True), ("173.63", True), ("173.64", False)):  # x 100 x 1.1, and the order's 9 x 100.02
        desk = strange(limits)
        snapshot(desk, ("GME", "100", price))
        answer = desk.ask(1, BUY, 9 * QTY, 99 * PX)
        assert isinstance(answer, Approved) == passes, price
        if not passes:
            assert codes(answer) == {"GROSS_EXPOSURE", "NET_EXPOSURE"}


def test_each_snapshot_refreshes_it_and_the_loss_is_counted() -> None:
    desk = strange(Limits.of({"max_daily_loss": 300}, base=LOOSE), day_of=ExchangeDays())
    at(desk, "2027-03-09T15:00:00")
    snapshot(desk, ("GME", "100", "10"))
    mark(desk)
    assert (desk.risk.gate.unmarked, desk.risk.gate.unpriced, desk.risk.gate.day_pnl) == (0, 0, 0)
    snapshot(desk, ("GME", "100", "7.01"))
    mark(desk)
    assert desk.risk.gate.day_pnl == -299 * MONEY
    assert not desk.risk.latches
    snapshot(desk, ("GME", "100", "7"))
    mark(desk)
    assert desk.risk.latches["account"].code == "DAILY_LOSS"


def test_it_is_flagged_once_and_not_before_a_feed_had_time() -> None:
    desk = strange()
    assert snapshot(desk, ("GME", "100", "10")) == []
    desk.later(30 * SECOND)
    [said] = snapshot(desk, ("GME", "100", "10"))
    assert (said.severity, said.code, said.text.startswith("GME: ")) == ("warning", "VENUE_PRICED", True)
    desk.later(60 * SECOND)
    assert snapshot(desk, ("GME", "100", "11")) == []


def test_what_a_feed_prices_needs_no_venue() -> None:
    desk = Desk()
    desk.bought()
    desk.later(SECOND)
    snapshot(desk, ("AAPL", "10", "1"))
    mark(desk)
    assert desk.risk.gate.mark() == 0
    assert desk.risk.gate.priced_by(1) == "feed"
    desk.later(60 * SECOND)
    desk.quote(100 * PX)
    assert snapshot(desk, ("AAPL", "10", "1")) == []


@pytest.mark.parametrize("price", ["", "0", "-3", "NaN", "Infinity", "1e400", "x"])
def test_what_is_no_price_is_none(price: str) -> None:
    desk = strange()
    snapshot(desk, ("GME", "100", price))
    assert desk.risk.gate.priced_by(3) == ""


def test_a_fill_of_this_life_prices_what_nothing_else_does_and_one_of_an_earlier_life_does_not() -> None:
    desk = Desk()
    desk.refs[1] = np.zeros(1, ref_dtype)[0]
    number, intent = 1, desk.intent(1)
    desk.fill(number, intent, QTY, 42 * PX)
    assert desk.risk.gate.priced_by(1) == "venue"
    desk.risk = desk.replayed()
    desk.tell(Start(epoch=2))
    assert desk.risk.gate.priced_by(1) == ""


# ---------------------------------------------------------------------------------------------------- priced by nobody
def test_what_nobody_prices_lets_no_entry_in_and_every_exit_out() -> None:
    desk = Desk()
    desk.bought()
    held(desk, 100, 1000, strange_to(desk))
    mark(desk)
    refused = desk.ask(1, px=99 * PX)
    [breach] = refused.breaches
    assert (breach.code, breach.limit, breach.observed) == ("STALE_DATA", "a price of everything that counts", "none of GME")
    assert isinstance(desk.ask(2, SELL, QTY, 101 * PX), Approved)
    desk.later(30 * SECOND)
    desk.quote(100 * PX)
    [said] = alarms(mark(desk))
    assert (said.severity, said.code, said.text.startswith("GME: ")) == ("critical", "UNPRICED", True)
    desk.later(SECOND)
    assert alarms(mark(desk)) == []
    snapshot(desk, ("GME", "100", "10"))
    assert isinstance(desk.ask(3, px=98 * PX), Approved)


def test_what_is_only_ordered_counts_at_what_the_order_asks() -> None:
    desk = Desk(Limits.of({"max_gross_exposure": 1000, "haircut_bps": 1000}, base=LOOSE))
    desk.instruments.add(Instrument(id=3, symbol="GME", lot=1))
    desk.risk._define(desk.instruments["GME"])
    desk.risk.gate.adopt(77, 3, BUY, 10 * QTY, 90 * PX, 90 * PX, T0)  # 10 x 90 x 1.1 = 990
    desk.risk.gate.adopt(78, 3, BUY, QTY, 0, 0, T0)
    desk.risk.gate.release(78)
    assert desk.risk.gate.unpriced == 0
    assert codes(desk.ask(1, BUY, QTY, 99 * PX)) == {"GROSS_EXPOSURE"}
    desk.risk.gate.release(77)
    assert isinstance(desk.ask(2, BUY, QTY, 99 * PX), Approved)


# ---------------------------------------------------------------------------------------------------- the day's loss
def restarted(desk: Desk) -> None:
    """Another process, in which no feed told anything yet."""
    desk.refs[:] = 0
    desk.risk = desk.replayed()
    desk.risk._refs[:] = 0
    desk.refs = desk.risk._refs
    desk.tell(Start(epoch=desk.risk.epoch + 1))
    desk.fact(Recovered(state_hash="", unexplained=0, ts=desk.now.venue))


def overnight() -> Desk:
    """10 bought at 100, worth 150 at the end of the day, and started again at 3:00 of the next."""
    desk = Desk(Limits.of({"max_daily_loss": 30}, base=LOOSE), day_of=ExchangeDays())
    at(desk, "2027-03-09T15:00:00")
    desk.bought(10 * QTY)
    desk.quote(150 * PX)
    mark(desk)
    at_night = desk.now.venue + 17 * HOUR
    desk.later(at_night - desk.now.venue)
    restarted(desk)
    return desk


def test_a_start_on_a_new_day_counts_the_day_from_what_the_venue_says_that_night() -> None:
    desk = overnight()
    snapshot(desk, ("AAPL", "10", "150"))
    mark(desk)
    assert baselines(desk)[-1] == ("2027-03-10", 500 * 10**9)
    desk.later(6 * HOUR)
    desk.quote(148 * PX)
    mark(desk)
    assert desk.risk.gate.day_pnl == -20 * MONEY
    assert not desk.risk.latches
    desk.quote(146_990_000_000)
    mark(desk)
    assert desk.risk.latches["account"].code == "DAILY_LOSS"  # the gain of the days before hides it no more


def test_without_any_price_no_day_begins_no_latch_closes_and_no_entry_passes() -> None:
    desk = overnight()
    days = len(baselines(desk))
    for _ in range(3):
        desk.later(31 * SECOND)
        mark(desk)
    assert len(baselines(desk)) == days
    assert not desk.risk.latches
    for i in (2,):
        desk.refs[i]["quote_ts"], desk.refs[i]["bid_px"], desk.refs[i]["ask_px"] = desk.now.venue, 100 * PX, 100 * PX + 10**7
    assert "STALE_DATA" in codes(desk.ask(1000, instrument=2))
    desk.quote(90 * PX)
    mark(desk)
    assert baselines(desk)[-1] == ("2027-03-10", -100 * 10**9)
    assert desk.risk.gate.day_pnl == 0
    assert not desk.risk.latches
    assert isinstance(desk.ask(1001, instrument=2), Approved)


@pytest.mark.parametrize("equity", [50, -50])
def test_a_restart_within_the_day_never_latches_for_what_it_cannot_see(equity: int) -> None:
    desk = Desk(Limits.of({"max_daily_loss": 30, "max_drawdown": 40}, base=LOOSE), day_of=ExchangeDays())
    at(desk, "2027-03-09T15:00:00")
    held(desk, 10, 1000)
    desk.fact(BaselineSet(day="2027-03-09", equity=equity * 10**9, ts=desk.now.venue))
    restarted(desk)
    for _ in range(100):
        desk.later(SECOND)
        mark(desk)
    assert not desk.risk.latches
    assert len(baselines(desk)) == 1
    desk.quote(106 * PX)
    mark(desk)
    assert desk.risk.gate.day_pnl == (60 - equity) * MONEY
    assert not desk.risk.latches


# ---------------------------------------------------------------------------------------------------- through a session
def test_a_session_takes_it_from_the_venue_s_snapshot() -> None:
    room = Room(start=False)
    shown = (VenuePosition(symbol="GME", qty="100", avg_entry_price="10", price="12.5"),)
    room.step(Start(epoch=1))
    room.step(StreamState(stream="trading", up=True))
    room.snapshot(positions=shown)
    room.now = type(room.now)(room.now.venue + SECOND, room.now.mono + SECOND)
    room.fire("execution.snapshot")
    room.snapshot(positions=(msgspec.structs.replace(shown[0], price="12.75"),))  # it moves, and the account is quiet all the same
    assert room.session.execution.recovered
    risk = room.session.risk
    gme = room.session.instruments["GME"].id
    assert (risk.gate.priced_by(gme), risk.gate.unmarked, risk.gate.unpriced) == ("venue", 0, 0)
    assert risk.gate.mark() == 275 * MONEY
