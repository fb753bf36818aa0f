"""The loop that watches instead of sleeping does all that the other does; the pinned one leaves its processor to itself."""

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import time
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyrt._core.spin import spin
from pyrt.config import load_config
from pyrt.errors import ConfigError
from pyrt.live import loop
from pyrt.live.backfill import _in_thread
from pyrt.live.halt import HaltNote
from pyrt.live.loop import Pin, Settled
from pyrt.market.backfill import Hole
from pyrt.model import Instrument
from pyrt.monitor import RiskPage

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone watches")


def test_a_descriptor_is_watched_until_it_can_be_read() -> None:
    read, write = os.pipe()
    try:
        assert spin(read, 1_000_000) is False
        threading.Timer(0.05, os.write, (write, b"x")).start()
        assert spin(read, 60_000_000_000) is True  # and the timer's thread ran meanwhile
    finally:
        os.close(read)
        os.close(write)


async def everything() -> list[str]:
    """Timers, threads, sockets and signals."""
    running, seen = asyncio.get_running_loop(), []
    await asyncio.sleep(0.01)
    seen.append("timer")
    seen.append(await asyncio.to_thread(lambda: "thread"))
    mine, other = socket.socketpair()
    with mine, other:
        mine.setblocking(False)
        running.call_later(0.01, other.send, b"socket")
        seen.append((await running.sock_recv(mine, 10)).decode())
    told = asyncio.Event()
    running.add_signal_handler(signal.SIGUSR1, told.set)
    threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    await told.wait()
    running.remove_signal_handler(signal.SIGUSR1)
    return [*seen, "signal"]


@pytest.mark.parametrize("busy_poll", [False, pytest.param(True, marks=linux)])
def test_either_loop_serves_whatever_comes(busy_poll: bool) -> None:
    assert loop.run(everything(), busy_poll=busy_poll) == ["timer", "thread", "socket", "signal"]


@linux
def test_ctrl_c_ends_a_loop_that_watches() -> None:
    async def never() -> None:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        loop.run(never(), busy_poll=True)


@linux
def test_what_needs_linux_says_so_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigError, match="busy_poll needs Linux"):
        loop.run(everything(), busy_poll=True)
    with pytest.raises(ConfigError, match="there is no processor 0"):
        Pin(0)


class Lost:
    itself: Any = None


class Where(HaltNote):
    """A note whose thread says where it runs instead of writing."""

    def _write(self, reason: str) -> None:
        self.cpus = os.sched_getaffinity(0)


class Archive:
    """A venue's history that says where it is asked."""

    def trades(self, *_: Any) -> Any:
        return os.sched_getaffinity(0)


@linux
def test_the_loop_has_its_processor_and_the_other_threads_have_the_others(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    page = RiskPage.create(tmp_path)
    note = Where(tmp_path, page)
    mine = min(allowed)
    others = allowed - {mine} or allowed
    before: dict[str, Any] = {}
    ended = threading.Event()

    def beside() -> None:
        ended.wait(60)
        before["early"] = os.sched_getaffinity(0)

    async def session() -> None:
        early = threading.Thread(target=beside)
        early.start()
        live: Any = SimpleNamespace(runner=SimpleNamespace(recovered=asyncio.Event()))
        task = asyncio.create_task(Pin(mine)(live))
        await asyncio.sleep(0)
        assert os.sched_getaffinity(0) == allowed
        live.runner.recovered.set()
        give_up = time.monotonic() + 60
        while os.sched_getaffinity(0) != {mine}:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.001)
        before["pool"] = await asyncio.to_thread(os.sched_getaffinity, 0)
        before["backfill"] = await _in_thread(Archive(), Instrument(id=1, symbol="AAPL"), Hole(1, 0, 1))
        note.tell("no room")
        note.close()
        before["note"] = note.cpus
        timer = threading.Timer(0.0, lambda: before.update(timer=os.sched_getaffinity(0), profile=sys.getprofile()))
        timer.start()
        timer.join()
        ended.set()
        early.join()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(session())
    page.close()
    assert before.pop("profile") is None
    assert before == dict.fromkeys(("pool", "early", "backfill", "note", "timer"), others)
    assert os.sched_getaffinity(0) == allowed
    assert threading.getprofile() is None


def test_a_session_is_out_of_the_collectors_sight_from_its_recovery_to_its_end() -> None:
    async def session() -> None:
        live: Any = SimpleNamespace(runner=SimpleNamespace(recovered=asyncio.Event()))
        cycle: list[Any] = []
        cycle.append(cycle)
        gone = weakref.ref(lost := Lost())
        lost.itself = lost
        del lost
        before = gc.get_freeze_count()  # an interpreter may begin with some
        task = asyncio.create_task(Settled()(live))
        await asyncio.sleep(0)
        assert gc.get_freeze_count() == before
        live.runner.recovered.set()
        while gc.get_freeze_count() == before:
            await asyncio.sleep(0)
        assert gone() is None, "what was garbage by then is not kept"
        assert not any(known is cycle for known in gc.get_objects())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert gc.get_freeze_count() == 0
        assert any(known is cycle for known in gc.get_objects())

    asyncio.run(session())


def test_a_processor_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no processor 4095"):
        Pin(4095)


def test_both_are_off_unless_they_are_asked_for() -> None:
    execution = load_config((), {}).config.execution
    assert (execution.busy_poll, execution.cpu) == (False, -1)
