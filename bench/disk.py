"""The journal: what an append costs, how long until it is durable, how many a second one disk takes, beside the bare sync."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from bench.material import T0
from pyrt._core.types import Side
from pyrt.journal import Journal
from pyrt.model import Intended, Intent, OrderType, TimeInForce
from pyrt.ports import Sync


class Disk(msgspec.Struct):
    """ns, and facts a second."""

    append: int  # CPU of one append, the best of the rounds
    durable: list[int]  # append to durable, one fact at a time
    bare: list[int]  # pwrite of 4 KiB in an allocated file and fdatasync
    grouped: float  # facts a second, all BEFORE_ACT, as fast as one thread appends
    syncs: int  # how many syncs those took
    facts: int


def intended(number: int) -> Intended:
    """The fact that has to be durable before an order leaves."""
    side, kind, tif = Side.BUY, OrderType.LIMIT, TimeInForce.DAY
    intent = Intent(strategy=1, source=number, instrument=1, side=side, type=kind, tif=tif, qty=10**10, limit_px=190 * 10**9)
    return Intended(number=number, intent=intent, epoch=1, approval=number, limits_version=1, ref_px=190 * 10**9, ts=T0)


def bare_syncs(directory: Path, n: int) -> list[int]:
    """What the disk itself takes for a page."""
    fd = os.open(directory / "bare", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(fd, bytes(4096 * n), 0)
        os.fsync(fd)
        took, page = [], os.urandom(4096)
        sync: Any = getattr(os, "fdatasync", os.fsync)
        for k in range(n):
            begun = time.perf_counter_ns()
            os.pwrite(fd, page, 4096 * k)
            sync(fd)
            took.append(time.perf_counter_ns() - begun)
        return took
    finally:
        os.close(fd)


def measure(directory: Path, n: int = 500, grouped: int = 20_000) -> Disk:
    bare = bare_syncs(directory, n)
    reached, moved = [0], threading.Event()

    def durable(seq: int, error: BaseException | None) -> None:
        if error is not None:
            raise error
        reached[0] = seq
        moved.set()

    with Journal.open(directory / "journal") as journal:
        journal.on_durable(durable)
        facts = [intended(k) for k in range(1, grouped + 1)]
        took = []
        for fact in facts[:n]:
            moved.clear()
            begun = time.perf_counter_ns()
            seq = journal.append(fact, Sync.BEFORE_ACT, T0)
            while reached[0] < seq:
                moved.wait(1.0)
                moved.clear()
            took.append(time.perf_counter_ns() - begun)
        best = 10**9
        before = journal.sync_latency["syncs"]
        begun = time.perf_counter_ns()
        for at in range(0, grouped, 1000):
            cpu = time.thread_time_ns()
            for fact in facts[at : at + 1000]:
                journal.append(fact, Sync.BEFORE_ACT, T0)
            best = min(best, (time.thread_time_ns() - cpu) // 1000)
        journal.sync()
        rate = grouped / ((time.perf_counter_ns() - begun) / 1e9)
        syncs = journal.sync_latency["syncs"] - before
    return Disk(append=best, durable=took, bare=bare, grouped=rate, syncs=syncs, facts=grouped)
