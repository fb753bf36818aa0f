"""The watchdog as its parent makes it, without a session."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pyrt import watchdog
from pyrt._core.types import Side
from pyrt.errors import JournalDamaged
from pyrt.execution.cid import cid
from pyrt.journal import Journal
from pyrt.model import Intended, Intent, OrderType, TimeInForce
from pyrt.monitor import RiskPage
from pyrt.ports import Sync
from pyrt.venues.alpaca.session import Answer, Broken
from pyrt.watchdog import Watchdog, WatchOrder

KEEPS = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"  # what it is told, once nobody can say more


class Killed(BaseException):
    """The session, in the instant after the child was born."""


def test_a_session_that_dies_at_its_birth_leaves_it_with_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = WatchOrder(directory=str(tmp_path), journal="j", epoch=1, url="http://127.0.0.1:9", key="k", secret="s")
    children = []
    born = subprocess.Popen

    def dies(_argv: list[str], **settings: Any) -> None:
        children.append(born([sys.executable, "-c", KEEPS, str(tmp_path / "told")], **settings))
        if children[0].stdin is not None:
            children[0].stdin.close()  # as the system does with all that a dead process held
        raise Killed

    monkeypatch.setattr("pyrt.watchdog.subprocess.Popen", dies)
    with pytest.raises(Killed):
        Watchdog(order)
    children[0].wait(60)
    assert msgspec.json.decode((tmp_path / "told").read_bytes(), type=WatchOrder) == order


class Ended:
    """A child that is there no more."""

    def __init__(self, *_: Any, **settings: Any) -> None: ...

    def poll(self) -> int:
        return 1

    def wait(self, _patience: float) -> int:
        return 1


def test_one_that_cannot_be_started_again_costs_nobody_else_a_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = WatchOrder(directory=str(tmp_path), journal="j", epoch=1, url="http://127.0.0.1:9", key="k", secret="s")

    def no_more(*_: Any, **settings: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("pyrt.watchdog.subprocess.Popen", Ended)
    watchdog = Watchdog(order)
    monkeypatch.setattr("pyrt.watchdog.subprocess.Popen", no_more)
    with pytest.raises(BlockingIOError):
        watchdog.restart()
    others = [os.open(tmp_path, os.O_RDONLY) for _ in range(4)]  # the first free numbers: what the pipe had is among them
    try:
        with pytest.raises(BlockingIOError):
            watchdog.restart()
        watchdog.farewell()
        assert [os.fstat(fd).st_ino for fd in others] == [tmp_path.stat().st_ino] * 4
    finally:
        for fd in others:
            with suppress(OSError):
                os.close(fd)


# ---------------------------------------------------------------------------------------------------- its sweep
def order_of(journal: str, number: int) -> dict[str, Any]:
    at = "2026-03-02T15:00:00Z"
    told = {"id": f"v{number}", "client_order_id": cid(journal, number), "symbol": "AAPL", "side": "buy", "type": "limit"}
    return {**told, "time_in_force": "gtc", "qty": "1", "filled_qty": "0", "status": "new", "created_at": at, "updated_at": at}


class OneBreaks:
    """A venue whose connection breaks whenever the cancel of its first order is asked for."""

    def __init__(self) -> None:
        self.open: dict[int, dict[str, Any]] = {}
        self.asked = 0

    def exchange(self, attempt: Any, method: str, path: str, body: Any, timeout: float) -> Answer:
        if method == "GET":
            return Answer(200, {}, msgspec.json.encode(list(self.open.values())))
        number = int(path.rpartition("v")[2])
        if number == 1:
            self.asked += 1
            if self.asked < 3:
                raise Broken("reset")
        del self.open[number]
        return Answer(204, {}, b"")

    def close(self) -> None: ...


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch) -> OneBreaks:
    there = OneBreaks()
    monkeypatch.setattr(watchdog, "venue_session", lambda *_: there)
    monkeypatch.setattr(watchdog, "GAP", 0.01)
    return there


def sweep_of(directory: Path, venue: OneBreaks, journal: str = "k3v9q2xa") -> watchdog.Sweep:
    venue.open = {n: order_of(journal, n) for n in (1, 2, 3)}
    order = WatchOrder(directory=str(directory), journal=journal, epoch=1, url="u", key="k", secret="s", landing=0.0, give_up=20.0)
    return watchdog.Sweep(order)


def test_an_order_whose_cancel_breaks_keeps_no_other_one_working(
    tmp_path: Path, venue: OneBreaks, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[set[int]] = []
    monkeypatch.setattr(watchdog.time, "sleep", lambda _: left.append(set(venue.open)))
    assert sweep_of(tmp_path, venue, write(tmp_path)).run()
    assert left[0] == {1}
    assert left[-1] == set()


def test_an_order_that_is_not_understood_keeps_no_other_one_working(tmp_path: Path, venue: OneBreaks) -> None:
    """A stranger's without a side that anybody knows, one that is no object, and one of ours with a number that is none."""
    sweep = sweep_of(tmp_path, venue, write(tmp_path))
    odd: list[Any] = [{**order_of("k3v9q2xa", 7), "client_order_id": "human", "side": "sideways"}, 5, {"id": None}]
    venue.open[2] |= {"limit_price": "a lot"}
    shown = venue.exchange

    def exchange(attempt: Any, method: str, *rest: Any) -> Answer:
        answer = shown(attempt, method, *rest)
        if method != "GET":
            return answer
        return Answer(200, {}, msgspec.json.encode([*odd, *msgspec.json.decode(answer.body)]))

    venue.exchange = exchange  # type: ignore[method-assign]
    assert sweep.run()
    assert venue.open == {}


@pytest.mark.parametrize("there", ["nothing", "another"])
def test_a_journal_that_was_moved_away_leaves_no_order(tmp_path: Path, venue: OneBreaks, there: str) -> None:
    if there == "another":
        write(tmp_path, reduce_only=True)
    assert sweep_of(tmp_path, venue).run()
    assert venue.open == {}


def write(directory: Path, *, reduce_only: bool = False) -> str:
    """A journal with the three intents; its name."""
    with Journal.open(directory / "journal", segment_size=1 << 20) as journal:
        for n in (1, 2, 3):
            journal.append(intended(n, reduce_only=reduce_only), Sync.SOON, 1)
        return journal.id


def test_a_journal_that_looked_torn_in_the_middle_of_a_write_keeps_its_exits(
    tmp_path: Path, venue: OneBreaks, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def written_meanwhile(_: Path, **which: str) -> Iterator[tuple[int, int, Intended]]:
        looks.append(1)
        yield 1, 1, intended(1)
        if len(looks) < 3:
            raise JournalDamaged("record 2 does not read")
        yield 2, 1, intended(2, reduce_only=True)
        yield 3, 1, intended(3)

    monkeypatch.setattr(watchdog, "show", written_meanwhile)
    assert sweep_of(tmp_path, venue).run()
    assert set(venue.open) == {2}


def intended(number: int, *, reduce_only: bool = False) -> Intended:
    wanted = Intent(
        strategy=1,
        source=number,
        instrument=1,
        side=Side.BUY,
        type=OrderType.LIMIT,
        tif=TimeInForce.GTC,
        qty=1,
        limit_px=1,
        reduce_only=reduce_only,
    )
    return Intended(number=number, epoch=1, intent=wanted, approval=1, limits_version=1, ref_px=1, ts=1)


# ---------------------------------------------------------------------------------------------------- its word
@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What a human heard."""
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(watchdog.Word, "say", lambda _, code, text: told.append((code, text)))
    return told


def one(directory: Path, journal: str) -> WatchOrder:
    return WatchOrder(directory=str(directory), journal=journal, epoch=1, url="u", key="k", secret="s", landing=0.0, alerts="ways")


def test_a_dead_session_is_told_whatever_it_had_at_work(tmp_path: Path, venue: OneBreaks, said: list[tuple[str, str]]) -> None:
    journal = write(tmp_path)
    watchdog._sweep(one(tmp_path, journal), "it died")
    assert [code for code, _ in said] == ["WATCHDOG_SWEEP"]
    assert f"it died: the watchdog cancels the entries of journal {journal}; see {tmp_path}" in said[0][1]


@pytest.mark.parametrize("works", [True, False])
def test_a_session_that_lives_tells_the_rest_itself(
    tmp_path: Path, venue: OneBreaks, said: list[tuple[str, str]], works: bool
) -> None:
    journal = write(tmp_path)
    venue.open = {2: order_of(journal, 2)} if works else {}
    watchdog._sweep(one(tmp_path, journal), "no data", quiet=True)
    assert [code for code, _ in said] == ["WATCHDOG_SWEEP"] * works
    assert venue.open == {}


def test_exits_that_are_cancelled_for_want_of_a_journal_are_told(
    tmp_path: Path, venue: OneBreaks, said: list[tuple[str, str]]
) -> None:
    watchdog._sweep(one(tmp_path, "k3v9q2xa"), "it died")
    assert [code for code, _ in said] == ["WATCHDOG_SWEEP", "WATCHDOG_EXITS"]


def test_each_trouble_is_swept_for_and_only_the_want_of_data_is_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = RiskPage.create(tmp_path)
    page.data(False)
    swept: list[tuple[str, bool]] = []
    monkeypatch.setattr(watchdog, "_sweep", lambda _, why, *, quiet=False: swept.append((why, quiet)))
    looks = iter([(None, 0.0), (None, 0.0), (None, 100.0), (None, 100.0), (b"", 0.0)])  # what the pipe says, and the silence
    silent = 0.0

    def listen(_: int) -> bytes | None:
        nonlocal silent
        said, silent = next(looks)
        return said

    monkeypatch.setattr(watchdog, "_listen", listen)
    monkeypatch.setattr(RiskPage, "silence", property(lambda _: silent))
    order = WatchOrder(directory=str(tmp_path), journal="j", epoch=1, url="u", key="k", secret="s", stale=0.0)
    watchdog.watch(order, 0)
    page.close()
    assert swept == [
        ("no market data for 0 s", True),
        ("no sign of life for 5 s", False),
        ("the session ended without a word", False),
    ]


# ---------------------------------------------------------------------------------------------------- its birth
def test_what_lies_in_the_working_directory_is_not_taken_for_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("msgspec.py", "selectors.py", "calendar.py"):  # such as a strategy of somebody's is called
        (tmp_path / name).write_text("raise SystemExit(7)")
    monkeypatch.setenv("PYTHONPATH", "src")  # as from a checkout: of another directory by now
    monkeypatch.chdir(tmp_path)
    child = Watchdog(
        WatchOrder(directory=str(tmp_path), journal="j", epoch=1, url="http://127.0.0.1:9", key="key", secret="secret")
    )
    child.farewell(60)
    assert (child.ended, (tmp_path / watchdog.LOG).read_text()) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone places processes")
def test_one_that_is_born_on_the_loops_processor_goes_where_it_may(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    one = min(allowed)
    order = WatchOrder(directory=str(tmp_path), journal="j", epoch=1, url="http://127.0.0.1:9", key="key", secret="secret")
    os.sched_setaffinity(0, {one})  # as the thread of a pinned loop, which starts it in place of another
    try:
        child = Watchdog(msgspec.structs.replace(order, cpus=tuple(allowed)))
        give_up = time.monotonic() + 60
        while os.sched_getaffinity(child._process.pid) != allowed:
            assert time.monotonic() < give_up
            assert child.ended is None
            time.sleep(0.01)
    finally:
        os.sched_setaffinity(0, allowed)
        child.farewell(60)
