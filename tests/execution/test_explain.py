"""What a human explains: exactly the difference of the last reading is booked, everything else is refused with the present one."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.bench import ACCOUNT, SHARE, Bench, activity, execution, order, position

from pyrt.clock import SECOND
from pyrt.model import EXTERNAL, CashMoved, Intended, PositionAdjusted
from pyrt.ports import Explain, Kill, Outcome, Publish, SubmitResult, TakeSnapshot, VenueActivity

pytestmark = pytest.mark.row("X03")


def wish(qty: int, **changes: Any) -> Explain:
    told = {"instrument": 1, "qty": qty * SHARE, "strategy": EXTERNAL, "px": 190 * SECOND, "who": "anna", "why": "a transfer"}
    return Explain(**(told | changes))


def read(bench: Bench, qty: str = "", **parts: Any) -> None:
    """A whole reading; the venue has `qty` shares."""
    bench.t += 10 * SECOND
    if not bench.asked(TakeSnapshot):
        bench.fire("execution.snapshot" if "execution.snapshot" in bench.timers else "execution.reconcile")
    bench.snapshot(**({"positions": (position(qty),) if qty and qty != "0" else ()} | parts))


def broken(qty: str = "5") -> Bench:
    """A session that has nothing, at a venue that has shares, in two readings."""
    bench = Bench()
    bench.start()
    read(bench, qty)
    read(bench, qty)
    assert "POSITION_BREAK" in bench.codes()
    return bench


def kills(bench: Bench) -> list[str]:
    return [c.message.scope for c in bench.asked(Publish) if isinstance(c.message, Kill)]


def refused(bench: Bench, event: Explain, words: str) -> None:
    before = dict(bench.engine.positions)
    assert words in bench.engine.refusal(event)
    bench.on(event)
    assert bench.codes() == ["EXPLAIN_REFUSED"]
    assert not bench.told(PositionAdjusted)
    assert bench.engine.positions == before


@pytest.mark.parametrize("qty", [5, -5])
def test_a_difference_is_booked_to_the_unit_and_the_next_reading_agrees(qty: int) -> None:
    bench = broken(str(qty))
    flow = bench.engine._orders.cash_flow
    bench.on(wish(qty, strategy=2))
    [fact] = bench.told(PositionAdjusted)
    assert (fact.qty, fact.strategy, fact.cost) == (qty * SHARE, 2, qty * 190 * SECOND)
    assert fact.reason == "EXPLAINED by anna: a transfer"
    assert bench.codes() == ["EXPLAINED"]
    assert bench.engine.positions == {1: qty * SHARE}
    assert not bench.engine.unexplained
    assert not bench.engine.differences
    assert bench.engine._orders.cash_flow == flow
    for _ in range(3):
        read(bench, str(qty))
        assert (bench.codes(), kills(bench)) == ([], [])


def test_the_next_life_finds_nothing_to_explain() -> None:
    bench = broken()
    bench.on(wish(5))
    again = Bench(bench.facts)
    again.t = bench.t + 100 * SECOND
    again.start(positions=(position("5"),))
    assert not {"POSITION_BREAK", "UNEXPLAINED"} & set(again.codes())
    assert again.facts[-1].unexplained == 0
    assert again.engine._orders.held == bench.engine._orders.held == {(EXTERNAL, 1): 5 * SHARE}


@pytest.mark.parametrize("qty", [4, 6, -5, 0])
def test_another_quantity_is_refused_with_the_present_one(qty: int) -> None:
    bench = broken()
    refused(bench, wish(qty), f"differs by 5, not by {qty}")
    bench.on(wish(5))
    refused(bench, wish(5), "nothing to explain")  # once


@pytest.mark.parametrize("changes", [{"who": " "}, {"why": ""}, {"px": -1}, {"instrument": 7}])
def test_a_word_that_nobody_stands_for_books_nothing(changes: dict[str, Any]) -> None:
    bench = broken()
    refused(bench, wish(5, **changes), "")
    assert bench.engine.refusal(wish(5)) == ""


def test_where_there_is_no_difference_or_only_one_reading_of_it_nothing_is_booked() -> None:
    bench = Bench()
    refused(bench, wish(5), "recovery")
    bench = Bench()
    bench.start()
    refused(bench, wish(5), "nothing to explain")
    read(bench, "5")
    refused(bench, wish(5), "once only")
    read(bench, "5")
    assert bench.engine.refusal(wish(5)) == ""
    read(bench, "6")  # another one: it must be seen twice, too
    refused(bench, wish(6), "once only")
    refused(bench, wish(5), "once only")


def test_an_order_whose_fate_is_unknown_may_still_explain_it() -> None:
    bench = broken()
    bench.approve()
    [intended] = bench.told(Intended)
    bench.on(SubmitResult(number=intended.number, attempt=1, outcome=Outcome.AMBIGUOUS))
    assert bench.status == "UNKNOWN"
    refused(bench, wish(5), "not known")


def test_a_reading_that_is_older_than_the_last_fill_explains_nothing() -> None:
    bench = broken()
    bench.approve()
    bench.on(SubmitResult(number=1, attempt=1, outcome=Outcome.ACCEPTED, order=order()))
    assert bench.engine.refusal(wish(5)) == ""  # an order that works is no fill
    bench.on(execution("4", "4"))
    refused(bench, wish(5), "before the last fill")
    assert bench.asked(TakeSnapshot) or "execution.snapshot" in bench.timers  # so that it can be asked again soon
    shown = {"orders": (order(filled_qty="4", status="partially_filled"),), "fills": (activity("4", "4"),)}
    cash = msgspec.structs.replace(ACCOUNT, cash="240")
    read(bench, "9", account=cash, **shown)
    bench.on(wish(5))
    assert bench.engine.positions == {1: 9 * SHARE}
    read(bench, "9", account=cash, **shown)
    assert bench.codes() == []


def test_a_fill_while_the_venue_is_read_may_be_on_either_side_of_it() -> None:
    bench = broken()
    bench.approve()
    bench.on(SubmitResult(number=1, attempt=1, outcome=Outcome.ACCEPTED, order=order()))
    bench.t += 10 * SECOND
    bench.fire("execution.reconcile")
    [asked] = bench.asked(TakeSnapshot)
    bench.on(execution("4", "4"))
    bench.commands = [asked]
    shown = {"orders": (order(filled_qty="4", status="partially_filled"),), "fills": (activity("4", "4"),)}
    cash = msgspec.structs.replace(ACCOUNT, cash="240")
    bench.snapshot(positions=(position("9"),), account=cash, **shown)
    refused(bench, wish(5), "before the last fill")
    read(bench, "9", account=cash, **shown)
    assert bench.engine.refusal(wish(5)) == ""


def test_fills_that_are_missing_may_still_explain_it() -> None:
    bench = broken()
    bench.approve()
    bench.on(SubmitResult(number=1, attempt=1, outcome=Outcome.ACCEPTED, order=order()))
    for _ in range(2):
        read(bench, "9", orders=(order(filled_qty="4", status="partially_filled"),))  # and the list of fills does not have it
    assert bench.engine.differences == {1: 9 * SHARE}
    refused(bench, wish(9), "missing")


# ---------------------------------------------------------------------------------------------------- any order of things
class Story:
    """A venue, and the lives of a journal beside it."""

    def __init__(self) -> None:
        self.venue = 0
        self.cash = 1000
        self.told: list[VenueActivity] = []
        self.bench = Bench()
        self.bench.start()

    @property
    def shown(self) -> dict[str, Any]:
        account = msgspec.structs.replace(ACCOUNT, cash=str(self.cash))
        return {"account": account, "activities": tuple(self.told)}

    def read(self) -> None:
        read(self.bench, str(self.venue), **self.shown)

    def act(self, kind: str, moved: int, said: int, net: int) -> None:
        """Something moves shares and cash, and says of itself how many; the cash it always says."""
        self.venue += moved
        self.cash += net
        self.told.append(
            VenueActivity(activity_id=f"{kind}{len(self.told)}", type=kind, net=str(net), symbol="AAPL", qty=str(said))
        )

    def explain(self, off: int) -> None:
        """On somebody's word, which is right or wrong."""
        bench, before = self.bench, self.bench.engine.positions.get(1, 0)
        there = bench.engine.differences.get(1, 0)
        event = wish(there // SHARE + off)
        why_not = bench.engine.refusal(event)
        bench.on(event)
        booked = bench.engine.positions.get(1, 0) - before
        assert booked == (0 if why_not else there)
        assert not (off and booked)

    def restart(self) -> None:
        bench = Bench(self.bench.facts)
        bench.t = self.bench.t + 100 * SECOND
        assert bench.engine._orders.held == self.bench.engine._orders.held
        bench.start(positions=(position(str(self.venue)),) if self.venue else (), **self.shown)
        self.bench = bench

    def settle(self) -> None:
        """Read and explain until nothing differs."""
        for _ in range(4):
            self.read()
            self.explain(0)
        self.read()


STEPS = st.one_of(
    st.integers(-20, 20).filter(bool).map(lambda n: ("move", n)),
    st.just(("read", 0)),
    st.sampled_from((0, 0, 0, 1, -1)).map(lambda n: ("explain", n)),
    st.just(("restart", 0)),
    st.tuples(
        st.sampled_from(("JNLS", "SPIN", "SPLIT", "OPTRD", "MA")),
        st.integers(-9, 9),
        st.sampled_from((0, 0, 0, 1, -2)),
        st.sampled_from((0, 0, -50, 30)),
    ).map(lambda t: ("act", (t[0], t[1], t[1] + t[2], t[3]))),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_whatever_comes_in_whatever_order_the_journal_ends_with_what_the_venue_has_and_the_cash_it_had(steps: list[Any]) -> None:
    story = Story()
    for what, n in steps:
        match what:
            case "move":
                story.venue += n
            case "read":
                story.read()
            case "explain":
                story.explain(n)
            case "act":
                story.act(*n)
            case "restart":
                story.restart()
    story.settle()
    for _ in range(2):
        assert story.bench.engine.positions.get(1, 0) == story.venue * SHARE
        assert not story.bench.engine.differences
        assert story.bench.engine._orders.cash_flow == (story.cash - 1000) * SECOND
        booked = [f.activity_id for f in story.bench.facts if isinstance(f, CashMoved) and f.activity_id]
        assert len(booked) == len(set(booked))
        assert not [f for f in story.bench.facts if isinstance(f, CashMoved) and f.type == "UNEXPLAINED"]
        story.restart()
