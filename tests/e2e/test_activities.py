"""What moves cash and shares beside fills, as the venue's activities tell it: booked once, explained, no loss of the day's."""

import asyncio
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.adapter import Day, trade

from pyrt.journal.inspect import show
from pyrt.live.recovery import check
from pyrt.model import CashMoved, Latched, PositionAdjusted
from pyrt.venues.sim.actions import Action
from pyrt.venues.sim.exchange import corporate
from pyrt.venues.sim.exchange.exchange import Exchange

pytestmark = pytest.mark.row("X08", "S021")


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> list[Exchange]:
    """The exchange within each simulated venue."""
    made: list[Exchange] = []
    was = Exchange.__init__

    def init(self: Exchange, *arguments: Any, **options: Any) -> None:
        was(self, *arguments, **options)
        made.append(self)

    monkeypatch.setattr(Exchange, "__init__", init)
    return made


async def happen(day: Day, exchange: Exchange, act: Callable[[Exchange, int], Any]) -> Any:
    """Let something happen at the venue, on its own loop."""

    async def there() -> Any:
        return act(exchange, exchange.state.now)

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there(), day.venue._loop))  # type: ignore[union-attr,arg-type]


async def read_anew(day: Day, times: int = 2) -> None:
    """So many snapshots that were begun after now."""
    reconciler = day.session.execution._reconciler
    for _ in range(times):
        synced = reconciler.synced_at
        await day.until(lambda synced=synced: reconciler.synced_at > synced, "another snapshot")


def cash_of(day: Day) -> tuple[int, int]:
    """The venue's cash, and what base and flows come to."""
    orders = day.session.execution._orders
    assert orders.account is not None
    assert orders.cash_base is not None
    return orders.account.cash, orders.cash_base + orders.cash_flow


def facts_of(tmp_path: Path, kind: type) -> list[Any]:
    return [fact for _, _, fact in show(tmp_path / "home" / "journal") if isinstance(fact, kind)]


QUIET = {"CASH_BREAK", "POSITION_BREAK", "BREAK", "KILLED", "DAILY_LOSS"}


def test_fees_and_interest_are_gains_or_losses_and_transfers_are_neither(tmp_path: Path, exchanges: list[Exchange]) -> None:
    async def story(day: Day) -> None:
        await read_anew(day)
        before = day.session.risk.pnl()
        for act in (
            lambda ex, now: ex.deposit("5000", now),
            lambda ex, now: ex.withdraw("20000", now),  # more than the day may lose
            lambda ex, now: ex.journal("FEE", "-1.25", now),
            lambda ex, now: ex.journal("INT", "0.75", now),
        ):
            await happen(day, exchanges[0], act)
        await day.until(lambda: len(day.session.execution._orders.activities) == 4, "the activities")
        await read_anew(day)
        after = day.session.risk.pnl()
        assert (after.fees - before.fees, after.realised - before.realised) == (125 * 10**16, 75 * 10**16)
        venue, ours = cash_of(day)
        assert venue == ours
        await day.filled(day.take("AAPL", 2))

    alarms = trade(tmp_path, story)
    assert not QUIET & set(alarms)
    moved = [(f.type, f.net) for f in facts_of(tmp_path, CashMoved) if f.type not in ("BASE",)]
    assert moved == [("CSD", 5000 * 10**9), ("CSW", -20000 * 10**9), ("FEE", -1_250_000_000), ("INT", 750_000_000)]
    checked = check(tmp_path / "home" / "journal")
    assert (bool(checked.anchors), checked.faults) == (True, [])


def test_a_split_is_explained_and_is_each_strategys_own(tmp_path: Path, exchanges: list[Exchange]) -> None:
    async def story(day: Day) -> None:
        await day.filled(day.take("AAPL", 3))
        await day.filled(day.take("MSFT", 2))
        await read_anew(day)

        def split(exchange: Exchange, now: int) -> None:
            action = Action(kind="forward_split", symbol="AAPL", ex_date=date(2020, 1, 2), new_rate=4)
            exchange.state.actions.append(action)
            corporate._due_split(exchange, action.id)

        number = day.session.instruments["AAPL"].id
        cost = day.session.risk.position(1, number).cost
        await happen(day, exchanges[0], split)
        await day.until(lambda: day.session.risk.position(1, number).qty == 12 * 10**9, "the shares after the split")
        assert day.session.risk.position(1, number).cost == cost  # more shares for the same money
        await read_anew(day)
        assert not day.session.execution.unexplained

    alarms = trade(tmp_path, story, adjusted=True)
    assert not QUIET & set(alarms)
    [adjusted] = facts_of(tmp_path, PositionAdjusted)
    assert (adjusted.strategy, adjusted.qty, adjusted.cost) == (1, 9 * 10**9, 0)
    assert adjusted.reason.startswith("SPLIT 2")


def test_cash_that_nothing_explains_lets_the_account_only_reduce(tmp_path: Path, exchanges: list[Exchange]) -> None:
    async def story(day: Day) -> None:
        await day.filled(day.take("AAPL", 2))
        await read_anew(day)

        def lose(exchange: Exchange, now: int) -> None:
            next(iter(exchange.state.accounts.values())).cash -= 7 * 10**18  # without any activity

        await happen(day, exchanges[0], lose)
        await day.until(lambda: "CASH_BREAK" in day.alarms, "the break that two readings show")
        await day.until(lambda: day.take("AAPL").breaches == ("KILLED",), "entries that are refused")
        await read_anew(day)
        venue, ours = cash_of(day)
        assert venue == ours  # who resumes starts from what the venue has

    alarms = trade(tmp_path, story)
    assert alarms.count("CASH_BREAK") == 1
    assert [(f.scope, f.level) for f in facts_of(tmp_path, Latched)] == [("account", "REDUCING")]
    assert [f.net for f in facts_of(tmp_path, CashMoved) if f.type == "UNEXPLAINED"] == [-7 * 10**9]
