"""Requests to stop, whatever else goes on: several at a time, one that cannot be verified, a watchdog that does not start."""

import asyncio
import errno
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.live import test_runner
from tests.live.test_runner import Rests, play
from tests.reference.room import LOOSE, SECOND

from pyrt.cli.flatten import Flattener
from pyrt.execution import Settings
from pyrt.journal import inspect
from pyrt.live import Live, Plan, Runner, Summary, control, runner
from pyrt.live.control import REQUEST, KillRequest, ask, report
from pyrt.model import Latched
from pyrt.monitor import Level, RiskPage

venue = test_runner.venue  # the fixture: a venue in this process


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def during(tmp_path: Path, body: Callable[[Live], Awaitable[None]], **options: Any) -> None:
    """Run a session, and beside it what the test wants once an entry rests; whatever it says, the session ends."""
    said: list[BaseException] = []

    async def beside(live: Live) -> None:
        try:
            await asyncio.wait_for(until(live.session.execution.open_orders), 20)
            await asyncio.wait_for(body(live), 20)
        except BaseException as e:
            said.append(e)
        test_runner.link.deaf = False
        live.runner.stop("enough")

    play(tmp_path, companions=[beside], **options)
    if said:
        raise said[0]


def latches(directory: Path) -> set[tuple[str, str]]:
    return {(f.scope, f.level) for _, _, f in inspect.show(directory / "journal") if isinstance(f, Latched)}


def test_a_kill_does_not_wait_for_the_proof_of_another(tmp_path: Path) -> None:
    async def body(live: Live) -> None:
        test_runner.link.deaf = True  # the venue takes the cancel, and never says that the order is gone
        ask(tmp_path, KillRequest(level="REDUCING", scope="AAPL", who="a", why="news", id="1"))
        await until(lambda: "instrument:1" in live.session.risk.latches)
        await until(lambda: not (tmp_path / REQUEST).exists())
        ask(tmp_path, KillRequest(level="HALTED", scope="strategy:Rests", who="b", why="wrong", id="2"))
        await until(lambda: "strategy:1" in live.session.risk.latches)
        ask(tmp_path, KillRequest(who="c", why="all of it", id="3"))
        await until(lambda: "system" in live.session.risk.latches)
        await until(lambda: not control.waiting(tmp_path))
        for id, scope in (("1", "AAPL"), ("2", "strategy:Rests"), ("3", "system")):
            answer = report(tmp_path, id)
            assert answer is not None
            assert (answer.scope, answer.durable, answer.verified, answer.open) == (scope, True, False, 1)

    during(tmp_path, body)
    assert latches(tmp_path) == {("instrument:1", "REDUCING"), ("strategy:1", "HALTED"), ("system", "KILLED")}


def test_requests_that_nobody_has_read_stand_beside_each_other(tmp_path: Path) -> None:
    ask(tmp_path, KillRequest(level="HALTED", scope="AAPL", who="a", why="news", id="1"))
    ask(tmp_path, KillRequest(level="REDUCING", scope="strategy:Rests", who="b", why="odd", id="2"))
    ask(tmp_path, KillRequest(level="REDUCING", scope="account", who="c", why="margin", id="3"))
    assert play(tmp_path, duration=0.5).orders == 0
    assert latches(tmp_path) == {("instrument:1", "HALTED"), ("strategy:1", "REDUCING"), ("account", "REDUCING")}
    assert [path.name for path in tmp_path.glob("KILL*")] == ["KILL.spare"]


def test_a_request_is_found_after_a_loss_of_power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(control, "sync_directory", synced.append)
    ask(tmp_path, KillRequest(why="no session runs"))
    assert synced == [tmp_path]


def test_a_watchdog_that_does_not_start_keeps_no_kill_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        ended, tries = 1, 0

        def restart(self) -> None:
            self.tries += 1
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

        def farewell(self) -> None: ...

    gone = Gone()

    async def body(live: Live) -> None:
        live.runner._control._watchdog = gone  # type: ignore[union-attr,assignment]
        await until(lambda: gone.tries)
        (tmp_path / REQUEST).touch()
        await until(lambda: "system" in live.session.risk.latches)
        assert gone.tries == 1  # the next try has its time: each one is an alarm
        monkeypatch.setattr(control, "REBIRTH", 0.0)
        await until(lambda: gone.tries > 2)

    during(tmp_path, body)
    said = [f.text for _, _, f in inspect.show(tmp_path / "journal") if getattr(f, "code", "") == "WATCHDOG"]
    assert "cannot be started (Resource temporarily unavailable)" in said[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_root_stops_the_session_of_another_user(tmp_path: Path) -> None:
    page = RiskPage.create(tmp_path)
    try:
        for path in (tmp_path, tmp_path / "risk.page"):
            os.chown(path, 65_534, 65_534)
        ask(tmp_path, KillRequest(level="REDUCING", scope="AAPL", why="news"))
        assert page.level == Level.ACTIVE
        ask(tmp_path, KillRequest(why="sudo, at three in the morning"))
        assert page.level == Level.KILLED
        requests = control.waiting(tmp_path)
        assert len(requests) == 2
        assert {(path.stat().st_uid, path.stat().st_mode & 0o777) for path in requests} == {(65_534, 0o600)}  # it reads them
    finally:
        page.close()


def test_a_page_that_is_not_ours_keeps_no_request_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    RiskPage.create(tmp_path).close()
    (tmp_path / "risk.page").chmod(0o644)
    ask(tmp_path, KillRequest(why="now"))
    assert [path.name for path in control.waiting(tmp_path)] == [REQUEST]
    assert "the risk page was not closed" in caplog.text


@pytest.mark.parametrize("level", ["HALTED", "KILLED"])
def test_a_flatten_that_a_latch_forbids_says_so_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    flattener = Flattener(60.0)
    monkeypatch.setattr(Flattener, "_held", lambda self, live: [(1, live.session.instruments["AAPL"], 5)])
    ask(tmp_path, KillRequest(level=level, who="a", why="odd"))
    play(tmp_path, companions=[flattener])
    assert (flattener.done, flattener._asked) == (False, {})
    assert flattener.why == f"system is {level}, so no closing order leaves -- `pyrt resume`, then `pyrt flatten` again"


class Guard:
    """A watchdog that notes how the session took leave."""

    ended = None

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.meanwhile = meanwhile
        self.told: list[str] = []

    def farewell(self) -> None:
        self.meanwhile()
        self.told.append("done")

    def leave(self) -> None:
        self.told.append("")


async def guarded(tmp_path: Path, guard: Guard, does: Callable[[Runner], None] = lambda session: None) -> Summary:
    """A short session with a watchdog; `does` is called once an entry rests."""
    options = {"limits": LOOSE, "settings": Settings(snapshot_gap=SECOND // 20), "record": False, "durability": "os"}
    plan = Plan(link=test_runner.link, directory=tmp_path, strategies=[Rests()], **options)
    session = Runner(plan)
    session._watchdog = lambda *_: guard  # type: ignore[assignment,method-assign,return-value]
    test_runner.then = lambda strategy: (does(session), session.stop("enough"))  # type: ignore[assignment,return-value,func-returns-value]
    return await asyncio.wait_for(session.run(), 60)


def test_a_kill_in_the_last_moments_of_a_session_is_found_by_the_next(tmp_path: Path) -> None:
    async def body() -> None:
        loop, heard, sessions = asyncio.get_running_loop(), threading.Event(), list[Runner]()

        def signalled() -> None:  # SIGUSR1, while the session waits for a watchdog that still sweeps
            loop.call_soon_threadsafe(lambda: (sessions[0].kill(), heard.set()))
            heard.wait(20)

        await guarded(tmp_path, Guard(signalled), sessions.append)

    asyncio.run(body())
    test_runner.link = test_runner.Link()
    assert play(tmp_path, duration=0.3).orders == 0
    assert latches(tmp_path) == {("system", "KILLED")}


def test_an_end_that_the_venue_did_not_prove_leaves_the_watchdog_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runner, "STOP_PATIENCE", 0.3)
    guard = Guard()
    test_runner.link.deaf = True  # the venue takes the cancel, and never says that the order is gone
    summary = asyncio.run(guarded(tmp_path, guard))
    assert (summary.open_orders, guard.told) == (1, [""])
    assert "the watchdog goes on" in caplog.text
    test_runner.link = test_runner.Link()
    asyncio.run(guarded(tmp_path / "another", proved := Guard()))
    assert proved.told == ["done"]


def test_a_strategy_that_changes_the_working_directory_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    state = tmp_path / "state"

    async def body(live: Live) -> None:
        os.chdir("elsewhere")
        ask(state, KillRequest(why="now"))
        await until(lambda: "system" in live.session.risk.latches)
        await until(lambda: not control.waiting(state))

    during(Path("state"), body, segment_size=8192)
    assert latches(state) == {("system", "KILLED")}
    assert list((tmp_path / "elsewhere").iterdir()) == []
