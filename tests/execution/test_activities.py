"""Activities: each once, late ones take back what was booked as unexplained, a new journal counts none from before it."""

import msgspec
import pytest
from tests.reference.bench import ACCOUNT, SHARE, Bench, position

from pyrt.clock import SECOND
from pyrt.model import EXTERNAL, CashMoved, PositionAdjusted
from pyrt.ports import Kill, Publish, VenueActivity, VenuePosition


def activity(number: int, type: str = "FEE", net: str = "-1.25", **more: str) -> VenueActivity:
    return VenueActivity(activity_id=f"a{number}", type=type, net=net, **more)


def read(bench: Bench, cash: str = "1000", **parts: object) -> None:
    bench.t += 10 * SECOND
    bench.fire("execution.snapshot" if "execution.snapshot" in bench.timers else "execution.reconcile")
    bench.snapshot(account=msgspec.structs.replace(ACCOUNT, cash=cash), **parts)


def moved(bench: Bench) -> list[tuple[str, int]]:
    return [(f.type, f.net) for f in bench.facts if isinstance(f, CashMoved) and f.type != "BASE"]


def kills(bench: Bench) -> list[str]:
    return [c.message.scope for c in bench.asked(Publish) if isinstance(c.message, Kill)]


def test_an_activity_is_booked_once_in_every_life(bench: Bench) -> None:
    read(bench, "998.75", activities=(activity(1),))
    read(bench, "998.75", activities=(activity(1),))
    assert bench.codes() == []
    again = Bench(bench.facts)
    again.t = 100 * SECOND
    again.start(account=msgspec.structs.replace(ACCOUNT, cash="998.75"), activities=(activity(1),))
    read(again, "998.75", activities=(activity(1),))
    assert again.codes() == []
    assert moved(again) == [("FEE", -1_250_000_000)]


def test_a_new_journal_counts_nothing_from_before_it() -> None:
    bench = Bench()
    bench.start(activities=(activity(1, "CSD", "1000"),))
    read(bench, activities=(activity(1, "CSD", "1000"),))
    assert bench.codes() == []
    [fact] = [f for f in bench.facts if isinstance(f, CashMoved) and f.activity_id]
    assert not fact.counted


def test_what_moved_while_no_session_ran_is_judged_by_the_journal(bench: Bench) -> None:
    again = Bench(bench.facts)
    again.t = 100 * SECOND
    again.start(account=msgspec.structs.replace(ACCOUNT, cash="900"))
    read(again, "900")
    assert "CASH_BREAK" in again.codes()
    assert kills(again) == ["account"]


def test_an_activity_that_comes_late_takes_the_unexplained_back(bench: Bench) -> None:
    read(bench, "998.75")
    read(bench, "998.75")
    assert bench.codes() == ["CASH_BREAK"]
    read(bench, "998.75", activities=(activity(1),))
    read(bench, "998.75", activities=(activity(1),))
    assert bench.codes() == []
    assert moved(bench) == [("UNEXPLAINED", -1_250_000_000), ("FEE", -1_250_000_000), ("UNEXPLAINED", 1_250_000_000)]
    assert bench.engine._orders.unexplained_cash == 0


def test_rounding_within_the_tolerance_does_not_add_up(bench: Bench) -> None:
    for n in range(1, 5):
        read(bench, f"{1000 - n * 8e-7:.7f}")
        assert bench.codes() == []


@pytest.mark.parametrize(("told", "explained"), [(("-10", "40"), True), (("-10", "41"), False), ((), False)])
def test_a_split_explains_a_position_only_to_the_unit(bench: Bench, told: tuple[str, ...], explained: bool) -> None:
    held = PositionAdjusted(instrument=1, strategy=1, qty=7 * SHARE, cost=0, reason="test", ts=1)
    facts = [*bench.facts, held, msgspec.structs.replace(held, strategy=EXTERNAL, qty=3 * SHARE)]
    bench = Bench(facts)
    bench.t = 100 * SECOND
    splits = tuple(activity(n, "SPLIT", "0", symbol="AAPL", qty=qty) for n, qty in enumerate(told))
    bench.start(positions=(position("40"),), activities=splits)
    if not explained:
        read(bench, positions=(position("40"),), activities=splits)
    assert bench.engine.positions == {1: (40 if explained else 10) * SHARE}
    assert bool(bench.engine.unexplained) != explained
    if explained:
        assert bench.engine._orders.held == {(1, 1): 28 * SHARE, (EXTERNAL, 1): 12 * SHARE}
        read(bench, positions=(position("40"),), activities=splits)
        assert bench.codes() == []


@pytest.mark.parametrize(("told", "explained"), [(("-0.015", "-0.01"), True), (("-0.015",), False), ((), False)])
def test_fees_that_are_taken_in_coins_explain_a_position_only_to_the_unit(told: tuple[str, ...], explained: bool) -> None:
    """10 coins were bought and 9.975 came: what a strategy would close is what is there."""
    bench = Bench()
    bench.start()
    held = PositionAdjusted(instrument=1, strategy=1, qty=10 * SHARE, cost=0, reason="test", ts=1)
    bench = Bench([*bench.facts, held])
    bench.t = 100 * SECOND
    fees = tuple(activity(n, "CFEE", "0", symbol="AAPL", qty=qty) for n, qty in enumerate(told))
    bench.start(positions=(position("9.975"),), activities=fees)
    if not explained:
        read(bench, positions=(position("9.975"),), activities=fees)
    assert bool(bench.engine.unexplained) != explained
    if explained:
        assert bench.engine._orders.held == {(1, 1): 9_975_000_000}
        read(bench, positions=(position("9.975"),), activities=fees)
        assert bench.codes() == []
        assert bench.engine.positions == {1: 9_975_000_000}


def test_a_fee_in_coins_that_is_told_before_the_position_shows_it_waits(bench: Bench) -> None:
    held = PositionAdjusted(instrument=1, strategy=1, qty=10 * SHARE, cost=0, reason="test", ts=1)
    bench = Bench([*bench.facts, held])
    bench.t = 100 * SECOND
    fee = (activity(1, "CFEE", "0", symbol="AAPL", qty="-0.025"),)
    bench.start(positions=(position("10"),), activities=fee)
    for _ in range(2):
        read(bench, positions=(position("9.975"),), activities=fee)
        assert "POSITION_BREAK" not in bench.codes()
    assert bench.engine.positions == {1: 9_975_000_000}


def test_a_fee_of_coins_that_is_taken_in_money_is_money(bench: Bench) -> None:
    fee = (activity(1, "CFEE", "-1.25", symbol="AAPL", qty="-0.01"),)
    for _ in range(2):
        read(bench, "998.75", activities=fee)
        assert bench.codes() == []
    assert moved(bench) == [("CFEE", -1_250_000_000)]


def test_three_symbols_that_nothing_explains_close_the_account(bench: Bench) -> None:
    shown = tuple(VenuePosition(symbol=s, qty="5", avg_entry_price="1") for s in ("AAPL", "MSFT", "SPY"))
    read(bench, positions=shown[:2])
    read(bench, positions=shown[:2])
    assert sorted(kills(bench)) == ["instrument:1", "instrument:2"]
    read(bench, positions=shown)
    read(bench, positions=shown)
    assert sorted(kills(bench)) == ["account", "instrument:3"]


def test_activities_that_are_not_told_prove_nothing_of_the_cash(bench: Bench) -> None:
    """A page failed: what moved the cash may stand on it. When it is told, it is judged."""
    for codes in ([], [], ["NO_ACTIVITIES"], []):
        read(bench, "998.75", activities=None)
        assert bench.codes() == codes
    assert kills(bench) == []
    read(bench, "998.75", activities=(activity(1),))
    read(bench, "998.75", activities=(activity(1),))
    assert moved(bench) == [("FEE", -1_250_000_000)]
    assert bench.codes() == []


def test_fees_that_are_off_the_cash_before_their_activity_are_told_by_the_account(bench: Bench) -> None:
    """A sale's fees leave the balances at once and are posted after the day's end: until then the account names their sum."""

    def look(cash: str, accrued: str, *told: VenueActivity) -> list[str]:
        bench.t += 10 * SECOND
        bench.fire("execution.snapshot" if "execution.snapshot" in bench.timers else "execution.reconcile")
        bench.snapshot(account=msgspec.structs.replace(ACCOUNT, cash=cash, accrued=accrued), activities=told)
        return bench.codes()

    fee = activity(1, "FEE", "-0.05")
    assert [look("999.95", "0.05"), look("999.95", "0.05")] == [[], []]
    assert [look("999.95", "0", fee), look("999.95", "", fee)] == [[], []]  # posted: off the cash already
    assert [look("999.95", "0.03", fee), look("999.95", "0.03", fee)] == [[], []]  # another venue takes them off later
    assert moved(bench) == [("FEE", -50_000_000)]
    assert [look("999.9", "0.03", fee), look("999.9", "0.03", fee)] == [[], ["CASH_BREAK"]]


def test_a_new_journal_that_was_not_told_of_them_takes_them_for_older() -> None:
    bench = Bench()
    bench.start(activities=None)
    read(bench, activities=(activity(1, "CSD", "1000"),))
    read(bench, activities=(activity(1, "CSD", "1000"),))
    assert kills(bench) == []
    assert bench.codes() == []
