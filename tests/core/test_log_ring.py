"""The ring between an appender and its writer is there from the start: an order that first reaches a page of it waits for none."""

import subprocess
import sys
from pathlib import Path

import pytest

from pyrt._core import log

MIB = 1 << 20
ROOM = 64 * MIB

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is resident is read from /proc")

# In a process of its own: a session that ran in this one has the C library keep what is freed, and a ring may be made of that.
PROGRAM = """
import os, sys
from pathlib import Path
from pyrt._core import log

def resident():
    \"\"\"Bytes of this process's own memory that the system has given it.\"\"\"
    kept = [row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("RssAnon")]
    return int(kept[0].split()[1]) * 1024

segment, bell = os.open(sys.argv[1], os.O_RDWR), os.eventfd(0, os.EFD_NONBLOCK)
before = resident()
appender = log.Appender(lambda last_seq, chain: (segment, 8192), 0, bytes(16), bell, bell, capacity=int(sys.argv[2]))
taken = resident() - before
del appender
print(taken, resident() - before)
"""


def sanitized() -> bool:
    """Under the address sanitizer, which keeps what was freed for a while, to see who still uses it."""
    return "libasan" in Path("/proc/self/maps").read_text()


def test_all_pages_of_the_ring_are_there_before_the_first_record(tmp_path: Path) -> None:
    header = log.SegmentHeader("abcdefgh", bytes(16), 1, 1, 0, bytes(16), 8192)
    path = tmp_path / "1.segment"
    path.write_bytes(log.pack_header(header) + bytes(8192 - log.PAGE))
    argv = [sys.executable, "-c", PROGRAM, str(path), str(ROOM)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    taken, left = map(int, done.stdout.split())
    assert taken > ROOM - 8 * MIB
    if not sanitized():
        assert left < ROOM // 2
