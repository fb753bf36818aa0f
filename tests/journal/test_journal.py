"""The journal over real files: order, durability, recovery, failure."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.journal.facts import defined, fill, intended, order

from pyrt.errors import ConfigError, JournalBusy, JournalDamaged, JournalError
from pyrt.journal import Journal, segments
from pyrt.model import Alarmed, Intended, OrderStatus
from pyrt.ports import Sync

SIZE = 1 << 16
ROOT = Path(__file__).parents[2]


def opened(directory, **options):
    return Journal.open(directory, segment_size=SIZE, **options)


def content(journal):
    return [fact for _, fact in journal.facts()]


def test_what_was_appended_is_replayed_in_order_over_many_runs_and_segments(tmp_path):
    written, ids, runs = [], set(), set()
    for run in range(6):
        with opened(tmp_path / "j") as journal:
            ids.add(journal.id)
            runs.add(journal.run)
            assert journal.clean
            assert not journal.torn
            assert content(journal) == written
            facts = [defined(run + 1, f"S{run}")] + [intended(n, run) for n in range(1, 500)]
            facts += [order(1, OrderStatus.ACCEPTED), fill(1, 5, 5), Alarmed(severity="info", code="X", text="t" * 3000, ts=run)]
            seqs = [journal.append(f, Sync.BEFORE_ACT if n % 50 == 0 else Sync.SOON, n) for n, f in enumerate(facts)]
            assert seqs == sorted(seqs)
            assert journal.sync() == journal.seq == journal.durable
            written += facts
            assert content(journal) == written
            middle = seqs[len(seqs) // 2]
            assert [s for s, _ in journal.facts(middle)] == [s for s in seqs if s > middle]
    assert len(ids) == 1
    assert len(runs) == 6
    assert len(list((tmp_path / "j").glob("*.journal"))) >= 12
    assert len(ids.pop()) == 8


def test_directory_and_files_are_ours_alone(tmp_path):
    with opened(tmp_path / "a" / "j") as journal:
        journal.append(intended(1), Sync.BEFORE_ACT, 0)
        journal.sync()
        assert journal.directory.stat().st_mode & 0o777 == 0o700
        journal.append(intended(2), Sync.BEFORE_ACT, 0)
    # Closed: while it is open a prepared segment may be renamed between the listing and the look.
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "a" / "j").iterdir()} == {0o600}


def test_two_processes_on_one_directory(tmp_path):
    with opened(tmp_path):
        with pytest.raises(JournalBusy, match=f"process {os.getpid()} owns"):
            opened(tmp_path)
        code = f"from pyrt.journal import Journal; Journal.open({str(tmp_path)!r}, segment_size={SIZE})"
        child = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
        assert "JournalBusy" in child.stderr
    opened(tmp_path).close()


def test_listeners_hear_of_each_sync_on_the_journals_thread(tmp_path):
    heard, threads = [], set()
    with opened(tmp_path) as journal:

        def listen(durable, error):
            heard.append((durable, error))
            threads.add(threading.current_thread().name)

        def broken(durable, error):
            raise RuntimeError("a listener's mistake")

        journal.on_durable(broken)
        journal.on_durable(listen)
        for n in range(1, 20):
            seq = journal.append(intended(n), Sync.BEFORE_ACT, 0)
            journal.sync(60)
            assert heard[-1] == (seq, None)
            assert journal.durable == seq
        soon = journal.append(intended(20), Sync.SOON, 0)
        journal.sync(60)
        assert heard[-1] == (soon, None)
    assert threads == {"journal"}
    assert journal.sync_latency["records"] == 21  # with the one that says closed
    assert 0 < journal.sync_latency["p50"] <= journal.sync_latency["p99"] <= journal.sync_latency["max"]


@pytest.mark.parametrize("durability", ["sync", "group:20", "os"])
def test_each_durability_keeps_everything_over_a_close(tmp_path, durability):
    with opened(tmp_path, durability=durability) as journal:
        assert bool(journal.warning) == (durability == "os")
        for n in range(1, 300):
            journal.append(intended(n), Sync.BEFORE_ACT, 0)
        assert journal.sync(60) == journal.seq
    with opened(tmp_path) as journal:
        assert content(journal) == [intended(n) for n in range(1, 300)]


@pytest.mark.parametrize("durability", ["fast", "group:", "group:0", "group:-5", "group:9999"])
def test_a_durability_that_is_none(tmp_path, durability):
    with pytest.raises(ConfigError, match="use 'sync'"):
        opened(tmp_path, durability=durability)


def test_a_journal_that_was_not_closed_is_read_in_full(tmp_path):
    child = appending_child(tmp_path, groups=40)
    child.communicate()
    with opened(tmp_path) as journal:
        assert not journal.clean
        numbers = [f.number for f in content(journal)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= 40


def environment():
    """For a child: it finds our test modules, and the same pyrt as we do, installed or not."""
    inherited = [str(Path(path).absolute()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *inherited])}


CHILD = """
import os, sys
from pyrt.journal import Journal
from pyrt.ports import Sync
from tests.journal.facts import intended
directory, durability = sys.argv[1:3]
size, groups, limit = map(int, sys.argv[3:])
journal = Journal.open(directory, segment_size=size, durability=durability)
journal.on_durable(lambda seq, error: os.write(1, b"FAILED\\n" if error else b"%d\\n" % seq))
if limit:
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
number = sum(1 for _ in journal.facts())
while groups:
    groups -= 1
    for _ in range(number % 5 + 1):
        number += 1
        journal.append(intended(number), Sync.BEFORE_ACT, 0)
    journal.sync()
os._exit(3)
"""


def appending_child(directory, *, groups=-1, size=SIZE, limit=0, durability="sync"):
    arguments = [sys.executable, "-c", CHILD, str(directory), durability, str(size), str(groups), str(limit)]
    return subprocess.Popen(arguments, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def kill_and_check(directory, rounds, size):
    before = 0
    for n in range(rounds):
        child = appending_child(directory, size=size)
        acknowledged = 0
        for _ in range(1 + n * 7 % 60):
            acknowledged = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        rest = child.communicate()[0].split(b"\n")[:-1]  # a line cut short was not told
        acknowledged = max([acknowledged, *map(int, rest)])
        with opened(directory) as journal:
            facts = list(journal.facts())
            assert journal.replayed >= acknowledged
            assert [f.number for _, f in facts] == list(range(1, len(facts) + 1))
            assert sum(1 for seq, _ in facts if seq <= acknowledged) >= before
            before = len(facts)
    assert before > rounds


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path):
    kill_and_check(tmp_path, 6, 1 << 14)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_kill_9_two_hundred_times(tmp_path):
    kill_and_check(tmp_path, 200, 1 << 14)


def test_a_write_cut_short_by_the_system_is_a_latched_failure(tmp_path):
    """A file size limit inside the segment: the write that crosses it is a short one, the next is refused."""
    child = appending_child(tmp_path, limit=3 << 12, size=1 << 14)
    out, err = child.communicate()
    lines = out.split()
    assert lines[-1] == b"FAILED", err
    assert lines.count(b"FAILED") == 1
    assert b"JournalError" in err
    assert b"free disk space" in err
    acknowledged = max(int(x) for x in lines[:-1])
    with opened(tmp_path) as journal:
        assert journal.replayed >= acknowledged


def test_no_room_for_the_next_segment_is_a_latched_failure(tmp_path, monkeypatch):
    journal = opened(tmp_path)
    journal.append(Alarmed(severity="info", code="", text="", ts=0), Sync.BEFORE_ACT, 0)
    while not (tmp_path / "prepared.tmp").exists():
        time.sleep(0.01)
    (tmp_path / "prepared.tmp").unlink()

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(segments, "prepare", refuse)
    number = acknowledged = 0
    while journal.failed is None:
        number += 1
        with suppress(JournalError):
            journal.append(intended(number), Sync.BEFORE_ACT, 0)
            journal.sync(60)
            acknowledged = number
    assert "No space left" in str(journal.failed)
    assert "free disk space" in str(journal.failed)
    assert acknowledged > 100
    journal.close()
    monkeypatch.undo()
    with opened(tmp_path) as journal:
        numbers = [f.number for f in content(journal) if isinstance(f, Intended)]
        assert numbers == list(range(1, acknowledged + 1))


@pytest.mark.parametrize(("device", "number"), [("/dev/full", errno.ENOSPC), ("/dev/null", errno.EINVAL)])
def test_after_a_failed_write_or_sync_nothing_is_acknowledged(tmp_path, device, number):
    heard, told = [], threading.Event()
    journal = opened(tmp_path)
    journal.append(intended(1), Sync.BEFORE_ACT, 0)
    journal.sync(60)
    good = journal.durable

    def listen(durable, error):
        heard.append((durable, error))
        if error:
            told.set()

    journal.on_durable(listen)
    broken = os.open(device, os.O_RDWR)
    os.dup2(broken, journal._fd)
    os.close(broken)
    journal.append(intended(2), Sync.BEFORE_ACT, 0)
    assert told.wait(60)
    durable, error = heard[-1]
    assert durable == good
    assert os.strerror(number) in str(error)
    assert journal.failed is error
    for n in range(3, 6):
        with pytest.raises(JournalError, match="has failed"):
            journal.append(intended(n), Sync.BEFORE_ACT, 0)
    with pytest.raises(JournalError):
        journal.sync(1)
    journal.close()
    assert len([e for _, e in heard if e]) == 1
    with opened(tmp_path) as journal:
        assert content(journal)[:1] == [intended(1)]


def test_a_disk_too_slow_for_the_ring_is_a_failure_not_a_wait(tmp_path):
    with opened(tmp_path, capacity=1 << 14, durability="group:1000") as journal:
        with suppress(JournalError):
            for n in range(1, 2000):
                journal.append(intended(n), Sync.BEFORE_ACT, 0)
        assert "wait for the disk" in str(journal.failed)
        with pytest.raises(JournalError):
            journal.append(intended(1), Sync.SOON, 0)
        appended = journal.seq
    with opened(tmp_path) as journal:
        assert len(content(journal)) == appended  # what was taken in is written all the same


def test_lazy_facts_are_dropped_and_counted_before_the_ring_is_full(tmp_path):
    with opened(tmp_path, capacity=1 << 14, durability="group:1000") as journal:
        seqs = [journal.append(intended(n), Sync.LAZY, 0) for n in range(1, 200)]
        kept = [n for n, (before, seq) in enumerate(zip([0, *seqs[:-1]], seqs, strict=True), 1) if seq > before]
        assert journal.lazy_dropped == len(seqs) - len(kept) > 0
        journal.append(intended(500), Sync.BEFORE_ACT, 0)
    with opened(tmp_path) as journal:
        assert [f.number for f in content(journal)] == [*kept, 500]


def spoil(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


def listing(directory):
    return {p.name: p.read_bytes() for p in directory.iterdir() if p.name != "lock"}


@pytest.mark.parametrize("at", [50, 4096 + 60, 4096 + 168 * 7 + 100])
def test_damage_is_named_and_nothing_is_touched(tmp_path, at):
    for _ in range(2):
        with opened(tmp_path) as journal:
            for n in range(1, 20):
                journal.append(intended(n), Sync.BEFORE_ACT, 0)
    spoil(tmp_path / "00000001.journal", at)
    before = listing(tmp_path)
    with pytest.raises(JournalDamaged) as raised:
        opened(tmp_path)
    assert "00000001.journal" in raised.value.where
    assert "nothing was changed" in raised.value.mend
    assert listing(tmp_path) == before
    with pytest.raises(JournalDamaged):  # and the lock was let go
        opened(tmp_path)


def test_a_missing_or_swapped_segment_is_damage(tmp_path):
    for n in range(1, 4):
        with opened(tmp_path) as journal:
            journal.append(intended(n), Sync.BEFORE_ACT, 0)
    one, two = tmp_path / "00000001.journal", tmp_path / "00000002.journal"
    two.rename(tmp_path / "away")
    with pytest.raises(JournalDamaged, match="segment 2 of 3 is missing"):
        opened(tmp_path)
    one.rename(two)
    (tmp_path / "away").rename(one)
    with pytest.raises(JournalDamaged):
        opened(tmp_path)


def test_a_stale_prepared_file_is_used_or_remade(tmp_path):
    (tmp_path / "prepared.tmp").write_bytes(b"x" * 100)  # another size: a value that was changed
    (tmp_path / "preparing.tmp").write_bytes(b"y" * 10)
    with opened(tmp_path) as journal:
        journal.append(intended(1), Sync.BEFORE_ACT, 0)
        journal.sync(60)
        assert content(journal) == [intended(1)]


def test_recovery_twice_changes_nothing(tmp_path):
    child = appending_child(tmp_path, groups=30)
    child.communicate()
    with opened(tmp_path) as journal:
        first = list(journal.facts())
    with opened(tmp_path) as journal:
        assert list(journal.facts()) == first


def test_snapshots_count_once_they_are_anchored(tmp_path):
    with opened(tmp_path) as journal:
        assert journal.latest_snapshot() is None
        for n in range(1, 4):
            seq = journal.append(intended(n), Sync.BEFORE_ACT, 0)
            anchor = journal.snapshot(seq, b"state %d" % n, bytes([n]) * 16)
            assert anchor > seq
        assert journal.latest_snapshot().state == b"state 3"
    assert len(list(tmp_path.glob("snapshot-*.bin"))) == 2
    newest = max(tmp_path.glob("snapshot-*.bin"))
    spoil(newest, 30)
    with opened(tmp_path) as journal:
        snapshot = journal.latest_snapshot()
        assert snapshot.state == b"state 2"
        assert [f for _, f in journal.facts(snapshot.seq)] == [intended(3)]
    newest.unlink()
    (tmp_path / "snapshot-0000000000000099.bin").write_bytes(min(tmp_path.glob("snapshot-*.bin")).read_bytes())
    with opened(tmp_path) as journal:
        assert journal.latest_snapshot().state == b"state 2"


def test_the_tail_of_an_old_segment_gives_its_space_back(tmp_path):
    with Journal.open(tmp_path, segment_size=1 << 20) as journal:
        journal.append(intended(1), Sync.BEFORE_ACT, 0)
    with Journal.open(tmp_path, segment_size=1 << 20) as journal:
        assert content(journal) == [intended(1)]
        old = (tmp_path / "00000001.journal").stat()
        assert old.st_size == 1 << 20
        if sys.platform == "linux":
            assert old.st_blocks * 512 < 1 << 16


def test_descriptors_and_threads_are_given_back(tmp_path):
    def used():
        return len(list(Path("/proc/self/fd").glob("*"))), threading.active_count()

    opened(tmp_path).close()
    before = used()
    for _ in range(5):
        with opened(tmp_path) as journal:
            journal.append(intended(1), Sync.BEFORE_ACT, 0)
    assert used() == before
