"""What no fill explains closes its own instrument for entries, and nothing but an explanation opens that."""

import msgspec
import numpy as np
import pytest
from tests.reference.bench import SHARE, position
from tests.reference.room import Room
from tests.risk.test_manager import PX, QTY, SELL, T0, Desk, codes

from pyrt._core.types import ref_dtype
from pyrt.model import Approved, BreakSeen, Latched, PositionAdjusted, Recovered
from pyrt.ports import Alarm, Resume, Start, StreamState
from pyrt.risk import RiskManager
from pyrt.risk.saved import RiskState


def recovered(*broken: int, unexplained: int | None = None) -> Desk:
    """A desk that holds 10 of AAPL, after a start that found differences in some instruments, each with its latch."""
    desk = Desk()
    desk.bought()
    desk.tell(Start(epoch=2))
    for instrument in broken:
        desk.fact(BreakSeen(instrument=instrument, difference=3 * QTY, ts=T0))
        desk.fact(Latched(level="REDUCING", scope=f"instrument:{instrument}", code="KILLED", reason="", who="execution", ts=T0))
    desk.fact(Recovered(state_hash="", unexplained=len(broken) if unexplained is None else unexplained, ts=T0))
    return desk


def resume(desk: Desk, scope: str) -> list[Alarm]:
    return [c for c in desk.tell(Resume(scope=scope, who="anna", why="read it")) if isinstance(c, Alarm)]


def test_a_resume_opens_no_instrument_whose_shares_nobody_explained_and_closes_no_other() -> None:
    desk = recovered(1)
    assert isinstance(desk.ask(1, px=99 * PX, instrument=2), Approved)
    [said] = resume(desk, "instrument:1")
    assert (said.code, "instrument:1" in said.text) == ("STILL_UNEXPLAINED", True)
    assert not desk.risk.latches
    assert isinstance(desk.ask(2, px=98 * PX, instrument=2), Approved)
    refused = desk.ask(3, px=99 * PX)
    assert codes(refused) == {"NOT_RECONCILED"}
    assert refused.breaches[0].observed == "3 at the venue that no fill explains"
    assert isinstance(desk.ask(4, SELL, QTY, 101 * PX), Approved)
    assert isinstance(desk.ask(5, SELL, QTY, 102 * PX, reduce_only=True), Approved)


def test_a_latch_of_another_instrument_stands_in_for_none() -> None:
    desk = recovered(1)
    desk.fact(Latched(level="REDUCING", scope="instrument:2", code="KILLED", reason="news", who="anna", ts=T0))
    resume(desk, "instrument:1")
    assert "NOT_RECONCILED" in codes(desk.ask(1, px=99 * PX))
    assert codes(desk.ask(2, px=99 * PX, instrument=2)) == {"KILLED"}
    assert resume(desk, "instrument:2") == []
    assert isinstance(desk.ask(3, px=98 * PX, instrument=2), Approved)


def test_where_nobody_said_which_instrument_it_is_all_of_them_wait() -> None:
    desk = recovered(2, unexplained=2)
    assert codes(desk.ask(1, px=99 * PX)) == {"NOT_RECONCILED"}
    assert isinstance(desk.ask(2, SELL, QTY, 101 * PX), Approved)
    desk.fact(Latched(level="REDUCING", scope="instrument:1", code="KILLED", reason="", who="anna", ts=T0))
    resume(desk, "instrument:1")
    assert "NOT_RECONCILED" in codes(desk.ask(3, px=98 * PX))
    desk.tell(Start(epoch=3))
    desk.fact(Recovered(state_hash="", unexplained=0, ts=T0))
    assert isinstance(desk.ask(4, px=97 * PX), Approved)


@pytest.mark.parametrize("how", ["adjusted", "agrees"])
def test_an_explanation_opens_it_whole_or_not_at_all(how: str) -> None:
    desk = recovered(1)
    resume(desk, "instrument:1")
    adjusted = PositionAdjusted(instrument=1, strategy=0, qty=QTY, cost=0, reason="a transfer", ts=T0)
    if how == "adjusted":
        desk.fact(adjusted)
        assert codes(desk.ask(1, px=99 * PX)) == {"NOT_RECONCILED"}
        desk.fact(msgspec.structs.replace(adjusted, qty=2 * QTY))
    else:
        desk.fact(BreakSeen(instrument=1, difference=0, ts=T0))
    assert isinstance(desk.ask(2, px=99 * PX), Approved)
    assert desk.risk.state_digest() == desk.replayed().state_digest()


def test_what_is_broken_survives_a_replay_and_a_snapshot_and_each_life_finds_its_own() -> None:
    desk = recovered(1)
    resume(desk, "instrument:1")
    before = desk.risk.state_digest()
    desk.risk = desk.replayed()
    assert desk.risk.state_digest() == before
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(desk.risk.save()), type=RiskState)
    desk.risk = RiskManager(desk.instruments, np.zeros(16, ref_dtype), **desk.more)
    desk.risk.restore(kept)
    assert desk.risk.state_digest() == before
    desk.risk._refs[:] = desk.refs
    assert codes(desk.ask(901, px=99 * PX)) == {"NOT_RECONCILED"}
    assert isinstance(desk.ask(902, px=99 * PX, instrument=2), Approved)
    desk.tell(Start(epoch=3))
    desk.fact(Recovered(state_hash="", unexplained=0, ts=T0))
    assert isinstance(desk.ask(903, px=99 * PX), Approved)


def test_a_session_that_starts_with_a_difference_trades_everything_else() -> None:
    room = Room()
    facts = room.shell.facts
    again = Room(facts=facts, start=False)
    shown = (position("7"),)
    again.step(Start(epoch=again.session.risk.epoch + 1))
    again.step(StreamState(stream="trading", up=True))
    again.snapshot(positions=shown)
    again.now = type(again.now)(again.now.venue + 10**9, again.now.mono + 10**9)
    again.fire("execution.snapshot")
    again.snapshot(positions=shown)
    assert again.session.execution.recovered
    risk = again.session.risk
    assert (set(risk.latches), risk._latches.broken, risk._latches.unexplained) == ({"instrument:1"}, {1: 7 * SHARE}, 0)
    again.step(Resume(scope="instrument:1", who="anna", why="read it"))
    for symbol in ("AAPL", "MSFT"):
        again.quote(symbol)
    answers = {}
    for symbol, instrument in (("AAPL", 1), ("MSFT", 2)):
        again.step(Desk.intent(None, 1, instrument=instrument, px=99 * PX, strategy=instrument))  # type: ignore[arg-type]
        answers[symbol] = again.shell.told[-1]
    assert [type(answer).__name__ for answer in answers.values()] == ["Refused", "Approved"]
    assert codes(answers["AAPL"]) == {"NOT_RECONCILED"}
