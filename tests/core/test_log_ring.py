"""The ring between an appender and its writer is there from the start: an order that first reaches a page of it waits for none."""

import ctypes
import os
import sys
from pathlib import Path

import pytest

from pyrt._core import log

MIB = 1 << 20
ROOM = 64 * MIB

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is resident is read from /proc")


def resident() -> int:
    """Bytes of this process's own memory that the system has given it."""
    kept = [row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("RssAnon")]
    return int(kept[0].split()[1]) * 1024


def give_back() -> None:
    """What this process freed before and its C library keeps: a ring that is made of it adds nothing to what is resident."""
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def sanitized() -> bool:
    """Under the address sanitizer, which keeps what was freed for a while, to see who still uses it."""
    return "libasan" in Path("/proc/self/maps").read_text()


def test_all_pages_of_the_ring_are_there_before_the_first_record(tmp_path: Path) -> None:
    header = log.SegmentHeader("abcdefgh", bytes(16), 1, 1, 0, bytes(16), 8192)
    path = tmp_path / "1.segment"
    path.write_bytes(log.pack_header(header) + bytes(8192 - log.PAGE))
    segment, bell = os.open(path, os.O_RDWR), os.eventfd(0, os.EFD_NONBLOCK)
    give_back()
    before = resident()
    appender = log.Appender(lambda last_seq, chain: (segment, 8192), 0, bytes(16), bell, bell, capacity=ROOM)
    taken = resident() - before
    assert taken > ROOM - 8 * MIB
    del appender
    if not sanitized():
        assert resident() - before < ROOM // 2
    os.close(segment)
    os.close(bell)
