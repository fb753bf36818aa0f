"""The thread that writes the journal looks for the next order before it sleeps."""

import contextlib
import os
import platform
import select
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrt._core import log

LONG = 60_000_000_000  # ns: longer than any of these tests
POLL = {"x86_64": "7", "aarch64": "73"}.get(platform.machine(), "")  # the system call that it sleeps in

pytestmark = pytest.mark.skipif(sys.platform != "linux" or not POLL, reason="an eventfd, and where a thread sleeps")


class Deaf:
    """An appender whose bell nobody hears but through `forward`; its commits run on a thread of their own."""

    def __init__(self, folder: Path, *, watch: int) -> None:
        path = folder / "1.segment"
        path.write_bytes(
            log.pack_header(log.SegmentHeader("abcdefgh", bytes(16), 1, 1, 0, bytes(16), 8192)) + bytes(8192 - log.PAGE)
        )
        self.segment = os.open(path, os.O_RDWR)
        self.bell, self.ringer = (os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2))
        self.log = log.Appender(lambda last_seq, chain: (self.segment, 8192), 0, bytes(16), self.bell, self.ringer, watch=watch)
        self.moved: list[bool] = []
        self.thread = threading.Thread()

    def commit(self) -> None:
        self.thread = threading.Thread(target=lambda: self.moved.append(self.log.commit()), daemon=True)
        self.thread.start()

    def group(self) -> None:
        """One record that somebody waits for, durable."""
        self.log.append(log.USER, b"first", 1)
        assert self.log.commit(0)

    def forward(self) -> None:
        """Wait until the bell was rung, and let it be heard."""
        assert select.select([self.ringer], [], [], 60)[0]
        os.eventfd_write(self.bell, os.eventfd_read(self.ringer))

    def rung(self) -> bool:
        return bool(select.select([self.ringer], [], [], 0)[0])

    def asleep(self) -> None:
        """Until the thread sleeps on its bell."""
        call = Path(f"/proc/self/task/{self.thread.native_id}/syscall")
        while call.read_text().split()[0] != POLL:
            os.sched_yield()

    def joined(self) -> list[bool]:
        self.thread.join(60)
        assert not self.thread.is_alive()
        return self.moved


@pytest.fixture
def deaf(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Deaf]:
    deaf = Deaf(tmp_path, watch=request.param)
    yield deaf
    with contextlib.suppress(OSError):  # whatever went wrong: no thread keeps waiting
        os.eventfd_write(deaf.bell, 1)
    for fd in (deaf.segment, deaf.bell, deaf.ringer):
        os.close(fd)


@pytest.mark.parametrize("deaf", [LONG], indirect=True)
def test_the_order_after_an_order_is_found_without_a_bell(deaf: Deaf) -> None:
    deaf.group()
    deaf.commit()
    deaf.log.append(log.USER, b"second", 2)
    assert deaf.joined() == [True]
    assert not deaf.rung()
    assert deaf.log.durable == 2


@pytest.mark.parametrize("deaf", [1, 0], indirect=True)
def test_where_no_order_follows_the_thread_sleeps_until_the_bell(deaf: Deaf) -> None:
    deaf.group()
    deaf.commit()
    deaf.asleep()
    assert deaf.moved == []
    deaf.log.append(log.USER, b"later", 2)
    deaf.forward()
    assert deaf.joined() == [True]


@pytest.mark.parametrize("deaf", [LONG], indirect=True)
def test_what_nobody_waits_for_neither_ends_the_look_nor_begins_one(deaf: Deaf) -> None:
    deaf.log.append(log.USER, b"nobody", 1, urgent=False)
    assert deaf.log.commit(0, flush=True)
    deaf.commit()
    deaf.asleep()  # with a minute to look for, it sleeps at once
    deaf.log.append(log.USER, b"somebody", 2)
    deaf.forward()
    assert deaf.joined() == [True]
