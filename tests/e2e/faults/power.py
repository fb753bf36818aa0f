"""Power cuts under a trading session: its ext4 file system is shut down without a flush, mounted again; the session restarts."""

import fcntl
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.e2e.faults.kills import ORDER_PATH, Tally, kind_of
from tests.e2e.faults.processes import Child, What, Zygote
from tests.e2e.faults.scenario import Life, life
from tests.journal.test_power import SHUTDOWN, WITHOUT_LOG_FLUSH


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


class Disk:
    """An ext4 image on a loop device; skips where there is none."""

    def __init__(self, directory: Path) -> None:
        if sys.platform != "linux" or os.geteuid() != 0:
            pytest.skip("NOT RUN: a power cut needs Linux and root")
        self.image, self.mount = directory / "disk.img", directory / "mnt"
        self.mount.mkdir(parents=True)
        with self.image.open("wb") as file:
            file.truncate(96 << 20)
        try:
            run("mkfs.ext4", "-q", "-F", str(self.image))
            run("mount", "-o", "loop", str(self.image), str(self.mount))
        except OSError as e:
            pytest.skip(f"NOT RUN: no loop mount here: {e}")

    def cut(self) -> None:
        fd = os.open(self.mount, os.O_RDONLY)
        fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", WITHOUT_LOG_FLUSH))
        os.close(fd)

    def again(self) -> None:
        """The power is back: the log is replayed, what was not on the disk is gone."""
        give_up = time.monotonic() + 30
        while True:
            try:
                run("umount", str(self.mount))
                break
            except OSError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.02)
        run("mount", "-o", "loop", str(self.image), str(self.mount))

    def close(self) -> None:
        run("umount", "-l", str(self.mount))


def cut_at(zygote: Zygote, disk: Disk, directory: Path, n: int, durability: str = "sync") -> Tally:
    """The power fails just before the n-th call of the order path."""
    directory /= f"call{n}"
    with life(zygote, directory, disk.mount / f"home{n}") as it:
        trace, it.durability = directory / "trace", durability
        session = it.start(arm=it.arm(What.CUT, n, only=ORDER_PATH, trace=trace))
        status = session.wait()
        lines = [line for line in trace.read_text().splitlines() if not line.startswith("0 ")]
        tally = Tally(points=1)
        if status == -9:
            tally.at[kind_of(lines[n - 1])] += 1
        elif len(lines) < n:
            tally.unharmed += 1
            disk.cut()
        else:
            tally.violations.append(f"cut at {n} did nothing: {status}")
        _restart(it, disk, tally, f"cut at {n} ({lines[-1]})", live=n % 3 == 0)
    _clear(directory, disk, tally)
    return tally


def cut_after(zygote: Zygote, disk: Disk, directory: Path, seed: int) -> Tally:
    """The power fails at a random moment of trading; the machine goes with it, or only the disk and the session must end."""
    rng = random.Random(seed)
    directory /= f"seed{seed}"
    with life(zygote, directory, disk.mount / f"random{seed}") as it:
        session = it.start(rounds=1000)
        session.until(lambda: it.truth()["orders"], "an order")
        time.sleep(rng.random() * 1.5)
        disk.cut()
        tally = Tally(points=1)
        if rng.random() < 0.25:
            tally.at["the disk alone"] += 1
            tally.violations += _alone(it, session)
        else:
            tally.at["the machine"] += 1
            session.kill()
        _restart(it, disk, tally, f"seed {seed}", live=seed % 3 == 0)
    _clear(directory, disk, tally)
    return tally


def _alone(it: Life, session: Child) -> list[str]:
    told = [] if session.wait() == 2 else [f"the session on a dead disk ended with {session.status}: {session.log[-1500:]}"]
    if "Traceback" in session.log:
        told.append(f"a traceback: {session.log[-2500:]}")
    if left := it.get("/v2/orders?status=open"):
        told.append(f"{len(left)} orders were left working: {session.log[-1500:]}")
    return told


def _restart(it: Life, disk: Disk, tally: Tally, where: str, live: bool) -> None:
    disk.again()
    tally.violations += [f"{where}: {fault}" for fault in it.recover(live=live, sweep=False)]


def _clear(directory: Path, disk: Disk, tally: Tally) -> None:
    if not tally.violations:
        shutil.rmtree(directory)
    for home in disk.mount.iterdir():
        if home.name != "lost+found":
            shutil.rmtree(home)


def many(trials: Iterable[Tally]) -> Tally:
    """All of them, with the time they took."""
    begun, total = time.monotonic(), Tally()
    for tally in trials:
        total.add(tally)
    total.seconds = time.monotonic() - begun
    return total
