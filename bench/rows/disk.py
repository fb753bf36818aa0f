"""An intent to disk, one at a time: append, wait until it is durable; beside a bare pwrite and fdatasync. Wall time, medians."""

import ctypes
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np

from bench.disk import intended
from bench.limits import limit
from bench.material import T0
from bench.rows import Contender, Row, Took
from pyrt.journal import Journal
from pyrt.ports import Sync

N = 50


def rows() -> Iterator[Row]:
    """$PYRT_BENCH_DIR says which disk."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("PYRT_BENCH_DIR")) as folder, Journal.open(Path(folder) / "j") as journal:
        fd = os.open(Path(folder) / "bare", os.O_RDWR | os.O_CREAT, 0o600)
        database = sqlite3.connect(Path(folder) / "peer.sqlite", isolation_level=None, check_same_thread=False)
        try:
            yield Row(
                "disk.intent",
                "an intent to disk: append to durable, one at a time",
                "us",
                N,
                (durable(journal), bare(fd), sqlite(database)),
                bound=1.3,
            )
        finally:
            os.close(fd)
            database.close()


def took(each: list[int]) -> Took:
    """The median of the round, as if all had taken it: one flush of the disk's own cache says nothing of the journal."""
    return Took(median(each) * len(each) / 1e9, len(each))


def durable(journal: Journal) -> Contender:
    reached, moved, fact = [0], threading.Event(), intended(1)

    def told(seq: int, error: BaseException | None) -> None:
        if error is not None:
            raise error
        reached[0] = seq
        moved.set()

    journal.on_durable(told)

    def run() -> Took:
        each = []
        for _ in range(N):
            moved.clear()
            begun = time.perf_counter_ns()
            seq = journal.append(fact, Sync.BEFORE_ACT, T0)
            while reached[0] < seq:
                moved.wait(1.0)
                moved.clear()
            each.append(time.perf_counter_ns() - begun)
        return took(each)

    return Contender("Journal.append", "ours", run, clock="own")


def bare(fd: int) -> Contender:
    c, each = limit("disk"), np.zeros(N, np.int64)
    os.pwrite(fd, bytes(4096 * N), 0)
    os.fsync(fd)

    def run() -> Took:
        if not c.bare_syncs(fd, ctypes.c_int64(N), each.ctypes):
            raise OSError("the disk refused a page")
        return took(each.tolist())

    return Contender("pwrite + fdatasync", "limit", run, clock="own")


def sqlite(database: sqlite3.Connection) -> Contender:
    database.executescript("pragma journal_mode = wal; pragma synchronous = full; create table facts (fact blob)")
    fact = bytes(200)

    def run() -> Took:
        each = []
        for _ in range(N):
            begun = time.perf_counter_ns()
            database.execute("insert into facts values (?)", (fact,))
            each.append(time.perf_counter_ns() - begun)
        return Took(took(each).seconds, None)

    return Contender("sqlite3, WAL, FULL", "peer", run, clock="own")
