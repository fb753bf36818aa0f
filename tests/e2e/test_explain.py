"""Shares that come by a transfer: found, latched, explained by a human through the command line, traded, and never found again."""

import asyncio
import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.cli.processes import call
from tests.e2e.adapter import Day, trade
from tests.e2e.test_activities import QUIET, exchanges, facts_of, happen, read_anew

from pyrt.cli import app
from pyrt.errors import PyrtError
from pyrt.live.control_socket import NAME, ControlSocket
from pyrt.live.recovery import check
from pyrt.model import EXTERNAL, CashMoved, Latched, PositionAdjusted
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.library import simulated_venue
from pyrt.venues.sim.market.market import DEFAULT_START

__all__ = ["exchanges"]
pytestmark = pytest.mark.row("X03", "S122")
Said = tuple[int, str]


class Desk:
    """A person at a terminal beside a running session."""

    def __init__(self, day: Day, tmp_path: Path) -> None:
        self._day, self._tmp_path = day, tmp_path
        self._ear = asyncio.create_task(ControlSocket(tmp_path / "home")(SimpleNamespace(session=day.session, shell=day.shell)))  # type: ignore[arg-type]

    async def __aenter__(self) -> "Desk":
        await self._day.until(lambda: (self._tmp_path / "home" / NAME).exists(), "the control socket")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ear.cancel()
        await asyncio.gather(self._ear, return_exceptions=True)

    async def type(self, *words: str) -> Said:
        return await asyncio.to_thread(_run, [*words, "--state", str(self._tmp_path / "home")])


def _run(words: list[str]) -> Said:
    """A verb of the command line, on another thread than the session: its exit status and what it wrote."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        try:
            app(words, print_error=False, exit_on_error=False)
        except PyrtError as e:
            return e.status, str(e)
        except SystemExit as e:
            return int(e.code or 0), said.getvalue()
    return 0, said.getvalue()


def transfer(qty: str, **more: Any) -> Callable[[Exchange, int], Any]:
    return lambda exchange, now: exchange.transfer("AAPL", qty, now, **more)


def test_a_transfer_that_the_venue_tells_needs_nobody(tmp_path: Path, exchanges: list[Exchange]) -> None:
    async def story(day: Day) -> None:
        await day.filled(day.take("AAPL", 3))
        await read_anew(day)
        before = day.session.risk.pnl()
        number = day.session.instruments["AAPL"].id
        await happen(day, exchanges[0], transfer("5"))
        await day.until(lambda: day.session.risk.account(number).qty == 8 * 10**9, "the shares that came")
        assert abs(day.session.risk.pnl().unrealised - before.unrealised) < 8 * 10 * 10**18  # not the 5 * 190 that they are worth
        await read_anew(day)
        await happen(day, exchanges[0], transfer("-6", kind="ACATS"))
        await day.until(lambda: day.session.risk.account(number).qty == 2 * 10**9, "the shares that went")
        await read_anew(day)
        assert day.session.risk.position(1, number).qty == 2 * 10**9
        await day.filled(day.take("AAPL", 1))

    alarms = trade(tmp_path, story, adjusted=True)
    assert not QUIET & set(alarms)
    booked = [(f.strategy, f.qty // 10**9, f.reason.split()[0]) for f in facts_of(tmp_path, PositionAdjusted)]
    assert booked == [(EXTERNAL, 5, "JNLS"), (EXTERNAL, -5, "ACATS"), (1, -1, "ACATS")]
    checked = check(tmp_path / "home" / "journal")
    assert (bool(checked.anchors), checked.faults) == (True, [])


def test_shares_of_a_transfer_are_explained_and_trade_again(tmp_path: Path, exchanges: list[Exchange]) -> None:
    async def first(day: Day) -> None:
        await day.filled(day.take("AAPL", 3))
        await read_anew(day)
        number = day.session.instruments["AAPL"].id
        cash = day.session.execution._orders.cash_flow
        before = day.session.risk.pnl()
        await happen(day, exchanges[0], transfer("5", told=False))
        await day.until(lambda: "POSITION_BREAK" in day.alarms, "the break that two readings show")
        assert day.take("AAPL").breaches == ("KILLED", "NOT_RECONCILED")  # by its latch, and by itself
        async with Desk(day, tmp_path) as desk:
            code, said = await desk.type("explain", "AAPL", "--why", "from my other broker", "--who", "anna")
            assert (code, "the venue has 8, the journal 3: a difference of 5" in said) == (1, True)
            assert "ask again with --quantity=5" in said
            code, said = await desk.type("explain", "aapl", "--why", "a guess", "--quantity", "4")
            assert (code, "differs by 5, not by 4" in said) == (1, True)
            code, said = await desk.type("explain", "AAPL", "--why", "a transfer", "--quantity", "5", "--to", "Nobody")
            assert (code, "no strategy 'Nobody'; there are EXTERNAL, Hand" in said) == (1, True)
            assert day.session.execution.unexplained == {number: 5 * 10**9}
            code, said = await desk.type("explain", "AAPL", "--why", "from my other broker", "--who", "anna", "--quantity", "5")
            assert code == 0, said
            assert " booked to EXTERNAL (by the running session)" in said
            assert "still latched: pyrt resume --scope AAPL" in said
            assert day.session.risk.account(number).qty == 8 * 10**9
            assert day.session.execution._orders.cash_flow == cash
            moved = day.session.risk.pnl()
            assert abs(moved.unrealised - before.unrealised) < 8 * 10 * 10**18  # not the 5 * 190 that the shares are worth
            assert day.take("AAPL").breaches == ("KILLED",)
            code, said = await desk.type("explain", "AAPL", "--why", "again", "--quantity", "5")
            assert (code, "nothing to explain" in said) == (1, True)
            code, said = await desk.type("resume", "--who", "anna", "--why", "explained", "--scope", "AAPL")
            assert code == 0, said
        await read_anew(day)
        await day.filled(day.take("AAPL", 2))
        await read_anew(day)
        assert not day.session.execution.unexplained

    async def second(day: Day) -> None:
        assert not day.session.risk.latches
        assert day.session.risk.position(EXTERNAL, day.session.instruments["AAPL"].id).qty == 5 * 10**9
        await read_anew(day)
        await day.filled(day.take("AAPL", 1))
        await day.filled(day.take("MSFT", 1))

    with simulated_venue(seed=5, start=DEFAULT_START, calendar=False) as venue:
        alarms = trade(tmp_path, first, adjusted=True, outside=venue)
        assert [code for code in alarms if code in ("POSITION_BREAK", "EXPLAIN_REFUSED", "EXPLAINED", "CASH_BREAK")] == [
            "POSITION_BREAK", "EXPLAIN_REFUSED", "EXPLAINED", "EXPLAIN_REFUSED",
        ]  # fmt: skip
        alarms = trade(tmp_path, second, adjusted=True, outside=venue)
        assert not {"POSITION_BREAK", "UNEXPLAINED", "CASH_BREAK"} & set(alarms)

    [fact] = facts_of(tmp_path, PositionAdjusted)
    assert (fact.strategy, fact.qty, fact.reason) == (EXTERNAL, 5 * 10**9, "EXPLAINED by anna: from my other broker")
    assert fact.cost > 0
    assert [(f.level, f.who) for f in facts_of(tmp_path, Latched)] == [("REDUCING", "execution"), ("ACTIVE", "anna")]
    assert not [f for f in facts_of(tmp_path, CashMoved) if f.type == "UNEXPLAINED"]
    checked = check(tmp_path / "home" / "journal")
    assert (bool(checked.anchors), checked.faults) == (True, [])
    done = call(tmp_path, "journal", "verify", str(tmp_path / "home"))
    assert done.returncode == 0, done.stdout + done.stderr
