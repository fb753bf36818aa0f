"""A real power cut: the file system of the journal is shut down without flushing, and mounted again (Linux, root only)."""

import fcntl
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from tests.journal.test_journal import appending_child

from pyrt.journal import Journal, inspect

SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
WITHOUT_LOG_FLUSH = 2
SIZE = 1 << 14


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path):
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("NOT RUN: a power cut needs Linux and root")
    image, mount = tmp_path / "disk.img", tmp_path / "mnt"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(64 << 20)
    try:
        run("mkfs.ext4", "-q", "-F", str(image))
        run("mount", "-o", "loop", str(image), str(mount))
    except OSError as e:
        pytest.skip(f"NOT RUN: no loop mount here: {e}")
    yield image, mount
    run("umount", "-l", str(mount))


def cut_power(image: Path, mount: Path) -> None:
    fd = os.open(mount, os.O_RDONLY)
    fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", WITHOUT_LOG_FLUSH))
    os.close(fd)


def cuts(disk, rounds, durability="sync"):
    image, mount = disk
    lost = 0
    for n in range(rounds):
        directory = mount / "deep" / f"j{n // 5}"  # every fifth journal is new: its directories must be durable too
        child = appending_child(directory, size=SIZE, durability=durability)
        acknowledged = 0
        for _ in range(1 + n * 7 % 40):
            acknowledged = int(child.stdout.readline())
        cut_power(image, mount)
        out = child.communicate()[0].split()  # it fails by itself: every later write is refused
        acknowledged = max([acknowledged, *(int(x) for x in out if x != b"FAILED")])
        run("umount", str(mount))
        run("mount", "-o", "loop", str(image), str(mount))
        if not directory.exists():
            lost += acknowledged
            continue
        with Journal.open(directory, segment_size=SIZE) as journal:
            facts = list(journal.facts())
            assert [f.number for _, f in facts] == list(range(1, len(facts) + 1))
            lost += max(0, acknowledged - journal.replayed)
        assert inspect.verify(directory).exit == 0
    return lost


@pytest.mark.timeout(300)
def test_a_power_cut_takes_nothing_that_was_acknowledged(disk):
    assert cuts(disk, 4) == 0


@pytest.mark.timeout(300)
def test_the_same_without_syncs_loses_records_but_never_order(disk):
    """The check of the check: where nothing is synced, the cut must show."""
    assert cuts(disk, 3, durability="os") > 0


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_three_hundred_power_cuts(disk):
    assert cuts(disk, 300) == 0
