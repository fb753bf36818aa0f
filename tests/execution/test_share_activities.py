"""Activities that move shares: where they fit to the unit they explain a position, once in every life; else a human must."""

from typing import Any

import msgspec
import pytest
from tests.execution.test_activities import activity, kills, moved
from tests.execution.test_explain import wish
from tests.reference.bench import ACCOUNT, SHARE, Bench, position

from pyrt.clock import SECOND
from pyrt.model import EXTERNAL, CashMoved, Fact, PositionAdjusted
from pyrt.ports import TakeSnapshot, VenueActivity, VenuePosition

pytestmark = pytest.mark.row("X08")
CALL = "AAPL230721C00150000"


def read(bench: Bench, *shown: VenuePosition, told: tuple[VenueActivity, ...] = (), cash: str = "1000") -> list[str]:
    """A whole reading; the alarms that it raises."""
    bench.t += 10 * SECOND
    if not bench.asked(TakeSnapshot):
        bench.fire("execution.snapshot" if "execution.snapshot" in bench.timers else "execution.reconcile")
    bench.snapshot(positions=shown, activities=told, account=msgspec.structs.replace(ACCOUNT, cash=cash))
    return bench.codes()


def begun(*held: tuple[int, int]) -> Bench:
    """A session whose strategies hold so many shares of AAPL."""
    bench = Bench()
    bench.start()
    facts: list[Fact] = [
        *bench.facts,
        *(PositionAdjusted(instrument=1, strategy=who, qty=qty * SHARE, cost=0, reason="test", ts=1) for who, qty in held),
    ]
    bench = Bench(facts)
    bench.t = 100 * SECOND
    whole = sum(qty for _, qty in held)
    bench.start(positions=(position(str(whole)),) if whole else ())
    return bench


def adjusted(bench: Bench) -> list[tuple[int, int, int]]:
    """(strategy, instrument, shares) of what activities changed."""
    facts = [f for f in bench.facts if isinstance(f, PositionAdjusted) and f.reason != "test"]
    return [(f.strategy, f.instrument, f.qty // SHARE) for f in facts]


def costs(bench: Bench) -> list[int]:
    return [f.cost // SECOND for f in bench.facts if isinstance(f, PositionAdjusted) and f.reason != "test"]


@pytest.mark.parametrize("kind", ["JNLS", "ACATS"])
def test_shares_that_an_owner_moves_in_are_nobodys_and_no_gain(kind: str) -> None:
    bench = begun((1, 10))
    bench.engine.mark_by(lambda instrument, qty: 200 * SECOND)
    told = (activity(1, kind, "", symbol="AAPL", qty="5"),)
    assert read(bench, position("15"), told=told) == [kind]
    assert (adjusted(bench), costs(bench)) == ([(EXTERNAL, 1, 5)], [1000])
    assert moved(bench) == [(kind, 0)]
    assert read(bench, position("15"), told=told) == []
    again = Bench(bench.facts)
    again.t = bench.t + 100 * SECOND
    again.start(positions=(position("15"),), activities=told)
    assert read(again, position("15"), told=told) == []
    assert adjusted(again) == adjusted(bench)


def test_without_a_price_of_the_market_the_venues_own_counts() -> None:
    bench = begun()
    assert read(bench, position("5"), told=(activity(1, "JNLS", "", symbol="AAPL", qty="5"),)) == ["JNLS"]
    assert (adjusted(bench), costs(bench)) == ([(EXTERNAL, 1, 5)], [750])


def test_shares_that_go_are_nobodys_first_then_of_one_strategy_after_the_other() -> None:
    bench = begun((EXTERNAL, 2), (1, 4), (2, 4))
    bench.engine.mark_by(lambda instrument, qty: 200 * SECOND)
    assert read(bench, position("3"), told=(activity(1, "JNLS", "", symbol="AAPL", qty="-7"),)) == ["JNLS"]
    assert adjusted(bench) == [(EXTERNAL, 1, -2), (1, 1, -4), (2, 1, -1)]
    assert costs(bench) == [-400, -800, -200]


def test_shares_that_all_went_at_a_price_that_nobody_knows_are_a_humans_to_explain() -> None:
    bench = begun((1, 10))
    told = (activity(1, "JNLS", "", symbol="AAPL", qty="-10"),)
    read(bench, told=told)
    assert read(bench, told=told) == ["POSITION_BREAK"]
    bench.on(wish(-10, strategy=1))
    assert bench.told(CashMoved)[0].activity_id == "a1"  # told: it explains nothing else any more
    assert read(bench, told=told) == []
    assert bench.engine.positions == {}


@pytest.mark.parametrize("qty", ["4", "6", "-5", "x"])
def test_what_does_not_fit_to_the_unit_is_a_break(qty: str) -> None:
    bench = begun((1, 10))
    told = (activity(1, "JNLS", "", symbol="AAPL", qty=qty),)
    read(bench, position("15"), told=told)
    assert "POSITION_BREAK" in read(bench, position("15"), told=told)
    assert kills(bench) == ["instrument:1"]
    assert adjusted(bench) == []


def test_shares_of_a_dividend_are_those_that_it_was_paid_for() -> None:
    bench = begun((1, 10))
    told = (activity(1, "DIV", "2.50", symbol="AAPL", qty="10"),)
    assert read(bench, position("10"), told=told, cash="1002.5") == []
    assert moved(bench) == [("DIV", 2_500_000_000)]
    read(bench, position("20"), told=told, cash="1002.5")
    assert "POSITION_BREAK" in read(bench, position("20"), told=told, cash="1002.5")


def test_a_change_of_name_moves_the_shares_from_one_symbol_to_the_other_at_their_cost() -> None:
    bench = begun((1, 10))
    told = (activity(1, "NC", "0", symbol="AAPL", qty="-10"), activity(2, "NC", "0", symbol="APLE", qty="10"))
    assert read(bench, position("10", "APLE"), told=told) == ["NC", "NC"]
    number = bench.engine._orders.instruments["APLE"].id
    assert bench.engine._orders.held == {(EXTERNAL, number): 10 * SHARE}
    assert costs(bench) == [0, 0]
    assert [read(bench, position("10", "APLE"), told=told) for _ in range(2)] == [[], []]


def test_an_exercise_takes_contracts_and_brings_shares_at_the_strike() -> None:
    bench = begun((1, 50))
    held = VenuePosition(symbol=CALL, qty="2", avg_entry_price="3")
    read(bench, position("50"), held)
    read(bench, position("50"), held)
    number = bench.engine._orders.instruments[CALL].id
    bench.on(msgspec.structs.replace(wish(0), instrument=number, qty=bench.engine.differences[number], strategy=1))
    assert read(bench, position("50"), held) == []
    told = (
        activity(1, "OPEXC", "0", symbol=CALL, qty="-2"),
        activity(2, "OPTRD", "-30000", symbol="AAPL", qty="200"),
    )
    assert read(bench, position("250"), told=told, cash="-29000") == ["OPTRD", "OPEXC"]
    assert bench.engine._orders.held == {(1, 1): 50 * SHARE, (EXTERNAL, 1): 200 * SHARE}
    assert costs(bench)[1:] == [30000, 0]
    assert [read(bench, position("250"), told=told, cash="-29000") for _ in range(2)] == [[], []]
    assert [net for kind, net in moved(bench) if kind == "OPTRD"] == [-30000 * SECOND]


def test_money_that_moved_is_counted_though_its_shares_never_show() -> None:
    bench = begun((1, 10))
    told = (activity(1, "MA", "50", symbol="AAPL", qty="-3"),)
    assert [read(bench, position("10"), told=told, cash="1050") for _ in range(4)] == [[]] * 4
    assert moved(bench) == [("MA", 50 * SECOND)]
    assert kills(bench) == []


def test_shares_and_money_that_come_with_the_next_reading_are_booked_together() -> None:
    bench = begun((1, 10))
    told = (activity(1, "MA", "50", symbol="AAPL", qty="-3"),)
    assert read(bench, position("10"), told=told) == []
    assert read(bench, position("7"), told=told, cash="1050") == ["MA"]
    assert (adjusted(bench), costs(bench)) == ([(1, 1, -3)], [-50])
    assert read(bench, position("7"), told=told, cash="1050") == []


def test_a_new_journal_counts_no_shares_from_before_it() -> None:
    told: tuple[Any, ...] = (activity(1, "JNLS", "", symbol="AAPL", qty="5"),)
    bench = Bench()
    bench.start(positions=(position("5"),), activities=told)
    while not bench.engine.recovered:
        bench.fire("execution.snapshot")
        bench.snapshot(positions=(position("5"),), activities=told)
    read(bench, position("10"), told=told)
    assert "POSITION_BREAK" in read(bench, position("10"), told=told)
