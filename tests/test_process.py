"""What the allocator keeps of threads that are gone, and of large buffers that are over."""

import json
import subprocess
import sys
from typing import Any

import pytest

_PROGRAM = """
import ctypes, json, re, sys, threading
from pathlib import Path

from pyrt.process import steady_memory

steady = steady_memory() if sys.argv[1] == "steady" else None
libc = ctypes.CDLL(None)
for name in ("open_memstream", "malloc"):
    getattr(libc, name).restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = libc.free.argtypes = [ctypes.c_void_p]


def heaps():
    text, size = ctypes.c_void_p(), ctypes.c_size_t()
    stream = libc.open_memstream(ctypes.byref(text), ctypes.byref(size))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    told = ctypes.string_at(text, size.value).decode()
    libc.free(text)
    return told.count("<heap nr=")


def resident():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])


def work(together):
    together.wait()  # what the interpreter has of each thread lies below all of this
    small = [libc.malloc(100_000) for _ in range(40)]  # each below every threshold: of a heap
    together.wait()
    for block in small:
        libc.free(block)
    together.wait()  # else what is kept may lie above what the others have not freed yet
    libc.free(libc.malloc(4_000_000))  # from now on glibc itself would take blocks of this size from a heap
    held = libc.malloc(3_000_000)
    ctypes.memset(held, 1, 3_000_000)
    kept = libc.malloc(1000)  # lies behind it in the heap, and lives on
    libc.free(held)


before = resident()
together = threading.Barrier(4)
threads = [threading.Thread(target=work, args=(together,)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({"steady": steady, "heaps": heaps(), "left": resident() - before}))
"""


def told(how: str) -> dict[str, Any]:
    """What a process with four threads that came and went still holds."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM, how], capture_output=True, text=True, timeout=60, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_threads_that_come_and_go_leave_no_heaps_behind() -> None:
    steady = told("steady")
    if not steady["steady"]:
        pytest.skip("the C library is not glibc")
    assert steady["heaps"] == 1
    assert steady["left"] < 2048  # KiB
    assert told("not")["heaps"] > 1  # what a process has that does not ask for it


_STORM = """
import json
from pathlib import Path

from pyrt.process import FreeMemory, steady_memory

steady = steady_memory()


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def storm():
    waits = []
    for turn in range(5000):
        waits.append(bytes(3200))
        if not turn % 3:
            kept.append(bytes(600))


kept = []
free = FreeMemory()
calm = free.give_back()
before = resident()
storm()
after = resident() - before
given = free.give_back()
left = resident() - before
print(json.dumps([steady, calm, given, after, left, free.give_back()]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_what_a_storm_left_free_between_what_lives_on_is_given_back_once() -> None:
    done = subprocess.run([sys.executable, "-c", _STORM], capture_output=True, text=True, timeout=60, check=True)
    steady, calm, given, after, left, again = json.loads(done.stdout)
    if not steady:
        pytest.skip("the C library is not glibc")
    assert (calm, given, again) == (False, True, False)
    assert after > 12 << 10  # KiB
    assert left < after - (6 << 10)
