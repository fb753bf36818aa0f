"""The ring as its users meet it: what is read, what is lost, who may open what, and what becomes of it when processes die."""

import os
import signal
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt import RingBuffer
from pyrt._core.ring import RingBusy, RingError, RingReader, RingWriter
from pyrt._core.types import bar_dtype, market_dtype, quote_dtype, trade_dtype

pytestmark = [pytest.mark.row("S014"), pytest.mark.skipif(sys.platform != "linux", reason="rings need Linux")]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory for rings, of this test only."""
    place = tmp_path / "rings"
    place.mkdir(mode=0o700)
    return place


def numbered(first: int, n: int, dtype: np.dtype[np.void] = market_dtype) -> np.ndarray[Any, np.dtype[np.void]]:
    """Records whose every 8 bytes say which record they belong to."""
    words = dtype.itemsize // 8
    cells = np.repeat(np.arange(first, first + n, dtype="<u8"), words).reshape(n, words)
    return ((cells << np.uint64(8)) | np.arange(words, dtype="<u8")).reshape(-1).view(dtype)


def numbers(records: np.ndarray[Any, np.dtype[np.void]]) -> list[int]:
    """Which records these are; fails where one of them is not whole."""
    cells = np.frombuffer(records.tobytes(), "<u8").reshape(len(records), records.itemsize // 8)
    assert ((cells & np.uint64(255)) == np.arange(cells.shape[1], dtype="<u8")).all()
    first = cells[:, 0] >> np.uint64(8)
    assert ((cells >> np.uint64(8)) == first[:, None]).all()
    return [int(x) for x in first]


def child(script: str, *args: object) -> subprocess.Popen[str]:
    """Another process that runs a script; it says a line when it is ready."""
    source = str(Path(sys.modules["pyrt"].__file__ or "").parents[1])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", script, *map(str, args)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that end with the test."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("dtype", [market_dtype, bar_dtype], ids=["64 bytes", "128 bytes"])
def test_what_is_published_is_read_by_everybody(home: Path, dtype: np.dtype[np.void]) -> None:
    with RingBuffer.create("quotes", dtype, capacity=64, directory=home) as writer:
        readers = [RingBuffer.open("quotes", dtype, directory=home) for _ in range(2)]
        writer.publish(numbered(0, 10, dtype))
        writer.publish(numbered(10, 1, dtype)[0])
        for reader in readers:
            assert reader.lag == 11
            records = reader.read()
            assert records.dtype == dtype
            assert numbers(records) == list(range(11))
            assert len(reader.read()) == 0
            assert (reader.lag, reader.lost, reader.cursor, reader.head) == (0, 0, 11, 11)
            reader.close()


def test_single_and_batched_publishing_give_the_same(home: Path) -> None:
    records = numbered(0, 48)
    seen = []
    for name, every in (("one", 1), ("some", 5), ("all", 0)):
        with RingBuffer.create(name, capacity=64, directory=home) as writer, RingBuffer.open(name, directory=home) as reader:
            writer.publish(records, every=every)
            seen.append(reader.read().tobytes())
    assert seen == [records.tobytes()] * 3


def test_records_of_any_dtype_of_the_size_go_through_and_come_back(home: Path) -> None:
    trades = np.zeros(3, trade_dtype)
    trades["px"] = [1, 2, 3]
    with RingBuffer.create("mixed", directory=home) as writer, RingBuffer.open("mixed", directory=home) as reader:
        writer.publish(trades)
        writer.publish(trades.tobytes())
        assert reader.read().view(trade_dtype)["px"].tolist() == [1, 2, 3, 1, 2, 3]


def test_reading_into_the_callers_array(home: Path) -> None:
    with RingBuffer.create("into", capacity=64, directory=home) as writer, RingBuffer.open("into", directory=home) as reader:
        out = np.zeros(5, market_dtype)
        assert reader.read_into(out) == 0
        writer.publish(numbered(0, 12))
        assert [reader.read_into(out), numbers(out)] == [5, [0, 1, 2, 3, 4]]
        assert [reader.read_into(out), numbers(out)] == [5, [5, 6, 7, 8, 9]]
        assert [reader.read_into(out), numbers(out[:2])] == [2, [10, 11]]
        assert len(reader.read(0)) == 0
        frozen = np.zeros(5, market_dtype)
        frozen.flags.writeable = False
        with pytest.raises((BufferError, ValueError)):
            reader.read_into(frozen)
        with pytest.raises(ValueError, match="64 bytes each"):
            reader.read_into(np.zeros(5, bar_dtype))
        with pytest.raises(ValueError, match="64 bytes each"):
            writer.publish(b"x" * 65)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 80)), max_size=40), st.sampled_from([2, 4, 16, 64]))
def test_a_reader_gets_each_record_or_counts_it(tmp_path_factory: pytest.TempPathFactory, steps: list[Any], capacity: int) -> None:
    home = tmp_path_factory.mktemp("rings")
    home.chmod(0o700)
    with RingBuffer.create("r", capacity=capacity, directory=home) as writer, RingBuffer.open("r", directory=home) as reader:
        expected = published = lost = 0
        for publish, n in steps:
            if publish:
                writer.publish(numbered(published, n))
                published += n
                continue
            behind = published - expected
            records = numbers(reader.read(n))
            if n == 0 or behind == 0:
                assert records == []
                continue
            newly, lost = reader.lost - lost, reader.lost
            assert (newly > 0) == (behind > reader.window)
            expected += newly
            assert records == list(range(expected, expected + len(records)))
            assert len(records) >= min(n, 1)
            expected += len(records)
            assert expected == reader.cursor


def test_an_overrun_reader_goes_on_in_the_middle_of_what_is_there(home: Path) -> None:
    with RingBuffer.create("lap", capacity=64, directory=home) as writer, RingBuffer.open("lap", directory=home) as reader:
        assert (writer.capacity, writer.window) == (64, 48)
        writer.publish(numbered(0, 48))
        writer.publish(numbered(48, 1))
        records = numbers(reader.read())
        assert records == list(range(25, 49))
        assert (reader.lost, reader.gaps) == (25, 1)


def test_where_a_reader_starts(home: Path) -> None:
    with RingBuffer.create("start", capacity=64, directory=home) as writer:
        writer.publish(numbered(0, 100))

        def first(start: Any) -> tuple[list[int], int]:
            with RingBuffer.open("start", start=start, directory=home) as reader:
                return numbers(reader.read())[:1], reader.lost

        assert first("new") == ([], 0)
        assert first("oldest") == ([52], 0)
        assert first(60) == ([60], 0)
        assert first(10) == ([76], 66)
        for wrong in (101, -1):
            with pytest.raises(ValueError, match="beyond"):
                first(wrong)


def test_the_next_writer_goes_on_and_readers_know_where(home: Path) -> None:
    first = RingBuffer.create("lives", capacity=64, directory=home)
    reader = RingBuffer.open("lives", directory=home)
    first.publish(numbered(0, 5))
    assert (reader.state, reader.life, reader.pid) == ("live", 1, os.getpid())
    with pytest.raises(RingBusy):
        RingBuffer.create("lives", capacity=64, directory=home)
    first.close()
    assert reader.state == "closed"
    second = RingBuffer.create("lives", capacity=64, directory=home)
    assert (second.head, second.life, reader.state) == (5, 2, "live")
    second.publish(numbered(5, 3))
    assert [numbers(reader.read()), reader.restarts] == [[0, 1, 2, 3, 4], 0]
    assert [numbers(reader.read()), reader.restarts] == [[5, 6, 7], 1]
    del second
    assert reader.state == "dead"
    for _ in range(12):
        RingBuffer.create("lives", capacity=64, directory=home).close()
    with RingBuffer.create("lives", capacity=64, directory=home) as last:
        last.publish(numbered(8, 1))
        assert numbers(reader.read()) == [8]
        assert (reader.restarts, reader.life, reader.lost) == (14, 15, 0)
    reader.close()


def test_what_is_closed_says_so(home: Path) -> None:
    writer = RingBuffer.create("closed", directory=home)
    reader = RingBuffer.open("closed", directory=home)
    for ring in (writer, reader):
        assert not ring.closed
        ring.close()
        ring.close()
        assert ring.closed
        assert "closed" in repr(ring)
        with pytest.raises(ValueError, match="closed"):
            ring.head  # noqa: B018
    with pytest.raises(ValueError, match="closed"):
        writer.publish(numbered(0, 1))
    for use in (reader.read, reader.wait, lambda: reader.state):
        with pytest.raises(ValueError, match="closed"):
            use()


@pytest.mark.parametrize("wakes", [False, True])
def test_waiting_ends_with_a_record_the_time_or_the_writer(home: Path, wakes: bool) -> None:
    writer = RingBuffer.create("wait", capacity=64, wakes=wakes, directory=home)
    reader = RingBuffer.open("wait", directory=home)
    assert not reader.wait(0)
    assert not reader.wait(0.01)
    assert not reader.wait(0.001, spin=1)
    seen: list[bool] = []
    waiting = threading.Thread(target=lambda: seen.append(reader.wait(60)))
    waiting.start()
    writer.publish(numbered(0, 1))
    waiting.join()
    assert seen == [True]
    assert reader.wait(0)
    assert reader.wait(5, spin=5)
    assert len(reader.read()) == 1
    writer.close()
    assert not reader.wait()  # nobody is left who could publish
    reader.close()


WAITER = """
import signal, sys
from pyrt import RingBuffer
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
reader = RingBuffer.open("{name}", directory=sys.argv[1])
print("ready", flush=True)
reader.wait()
"""


def test_a_waiting_process_hears_of_signals(home: Path, children: list[subprocess.Popen[str]]) -> None:
    with RingBuffer.create("signals", directory=home):
        process = child(WAITER.format(name="signals"), home)
        children.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0


WRITER = """
import sys, numpy as np
from pyrt import RingBuffer
sys.path.insert(0, sys.argv[2])
writer = RingBuffer.create("killed", capacity=256, directory=sys.argv[1])
words = np.arange(8, dtype="<u8")
print("ready", writer.head, flush=True)
while True:
    first = writer.head
    cells = np.repeat(np.arange(first, first + 100, dtype="<u8"), 8).reshape(100, 8)
    writer.publish(((cells << np.uint64(8)) | words).reshape(-1).view("V64"), every=7)
"""


def test_a_killed_writer_is_noticed_and_the_next_goes_on(home: Path, children: list[subprocess.Popen[str]]) -> None:
    RingBuffer.create("killed", capacity=256, directory=home).close()
    reader = RingBuffer.open("killed", directory=home)
    expected = 0
    for life in range(2, 5):
        process = child(WRITER, home, Path(__file__).parents[2])
        children.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["ready", str(expected)]
        assert reader.state == "live"
        read = 0
        while read < 5000:
            reader.wait(1)
            lost = reader.lost
            records = numbers(reader.read())
            expected += reader.lost - lost
            assert records == list(range(expected, expected + len(records)))
            expected += len(records)
            read += len(records)
        assert reader.restarts == life - 1
        process.kill()
        process.wait()
        assert reader.state == "dead"
        while len(rest := reader.read()):
            expected = numbers(rest)[-1] + 1
        assert not reader.wait(60)
        assert expected == reader.head
    reader.close()


def test_a_forked_child_neither_publishes_nor_keeps_the_lock(home: Path) -> None:
    script = """
import os, sys, time
from pyrt import RingBuffer
writer = RingBuffer.create("fork", directory=sys.argv[1])
go, gone = os.pipe()
if os.fork() == 0:
    os.close(gone)
    print("child", writer.closed, flush=True)
    os.read(go, 1)  # until the parent's end, and then until nobody holds the other side
    sys.stdin.read()
    os._exit(0)
sys.stdin.readline()
os._exit(0)
"""
    process = child(script, home)
    try:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "child True\n"
        with RingBuffer.open("fork", directory=home) as reader:
            assert reader.state == "live"
            process.stdin.write("\n")
            process.stdin.flush()
            process.wait(60)
            assert reader.state == "dead"  # although its child still lives
    finally:
        process.communicate()


def test_a_thread_in_the_ring_keeps_the_others_out(home: Path) -> None:
    with RingBuffer.create("busy", directory=home) as writer, RingBuffer.open("busy", directory=home) as reader:
        inside = threading.Thread(target=reader.wait, args=(60,))
        inside.start()
        refused = 0
        while not refused:
            try:
                reader.read_into(np.zeros(1, market_dtype))
            except RuntimeError:
                refused += 1
        with pytest.raises(RuntimeError, match="another thread"):
            reader.close()
        writer.publish(numbered(0, 1))
        inside.join()
        assert len(reader.read()) == 1


class TestSecurity:
    """What is not ours alone, or not a ring, is not touched."""

    def test_directory_and_files_are_the_users_alone(self, tmp_path: Path) -> None:
        home = tmp_path / "made"
        old = os.umask(0)
        try:
            with RingBuffer.create("modes", directory=home) as writer:
                assert home.stat().st_mode & 0o777 == 0o700
                assert Path(writer.path).stat().st_mode & 0o777 == 0o600
        finally:
            os.umask(old)

    def test_the_default_place(self) -> None:
        name = f"test-{os.getpid()}"
        with RingBuffer.create(name, capacity=2) as writer:
            assert writer.path == f"/dev/shm/pyrt-{os.geteuid()}/{name}.ring"
            with pytest.raises(RingBusy):
                RingBuffer.remove(name)
        assert RingBuffer.remove(name)
        assert not RingBuffer.remove(name)
        assert not Path(writer.path).exists()

    @pytest.mark.parametrize("mode", [0o755, 0o710, 0o702])
    def test_an_open_directory_is_refused(self, home: Path, mode: int) -> None:
        RingBuffer.create("x", directory=home).close()
        home.chmod(mode)
        for use in (RingBuffer.create, RingBuffer.open, RingBuffer.remove):
            with pytest.raises(RingError, match="0700"):
                use("x", directory=home)

    @pytest.mark.parametrize("mode", [0o644, 0o660, 0o400])
    def test_an_open_file_is_refused(self, home: Path, mode: int) -> None:
        with RingBuffer.create("x", directory=home) as writer:
            Path(writer.path).chmod(mode)
        for use in (RingBuffer.create, RingBuffer.open, RingBuffer.remove):
            with pytest.raises((RingError, PermissionError)):
                use("x", directory=home)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_somebody_elses_is_refused(self, home: Path) -> None:
        with RingBuffer.create("x", directory=home) as writer:
            os.chown(writer.path, 12345, 12345)
        for use in (RingBuffer.create, RingBuffer.open, RingBuffer.remove):
            with pytest.raises(RingError, match="belongs to this user"):
                use("x", directory=home)
        os.chown(home, 12345, 12345)
        with pytest.raises(RingError, match="belongs to this user"):
            RingBuffer.create("y", directory=home)

    def test_links_and_devices_are_not_followed(self, home: Path, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_bytes(b"keep")
        victim.chmod(0o600)
        (home / "link.ring").symlink_to(victim)
        (home / "dangling.ring").symlink_to(tmp_path / "nothing")
        (home / "folder.ring").mkdir()
        os.mkfifo(home / "pipe.ring", 0o600)
        (tmp_path / "other").symlink_to(home)
        for name in ("link", "dangling", "folder", "pipe"):
            for use in (RingBuffer.create, RingBuffer.open, RingBuffer.remove):
                with pytest.raises((OSError, RingError)):
                    use(name, directory=home)
        with pytest.raises(OSError):
            RingBuffer.create("x", directory=tmp_path / "other")
        assert victim.read_bytes() == b"keep"
        assert not (tmp_path / "nothing").exists()

    @pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", "a" * 65, "a b", "a\0b", "é", 3])
    def test_names_stay_in_the_directory(self, home: Path, name: Any) -> None:
        for use in (RingBuffer.create, RingBuffer.open, RingBuffer.remove):
            with pytest.raises(ValueError, match="name"):
                use(name, directory=home)

    def test_a_readers_pages_cannot_be_written(self, home: Path) -> None:
        with RingBuffer.create("maps", directory=home) as writer:
            with RingBuffer.open("maps", directory=home):
                maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(writer.path)]
                assert sorted(line[1] for line in maps) == ["r--s", "rw-s"]
            maps = [line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(writer.path)]
            assert len(maps) == 1

    def test_nothing_is_left_open(self, home: Path) -> None:
        RingBuffer.create("fds", directory=home).close()
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            with RingBuffer.create("fds", directory=home):
                RingBuffer.open("fds", directory=home).close()
            with pytest.raises(RingError):
                RingBuffer.open("fds", bar_dtype, directory=home)
            with pytest.raises(RingError):
                RingBuffer.create("fds", capacity=8, directory=home)
            with pytest.raises(FileNotFoundError):
                RingBuffer.open("none", directory=home)
        assert len(list(Path("/proc/self/fd").iterdir())) == before


AT = {"magic": 0, "version": 8, "record": 12, "capacity": 16, "batch": 24, "layout": 32, "boot": 40}


def spoil(path: str, field: str, value: bytes) -> None:
    with Path(path).open("r+b") as file:
        file.seek(AT[field])
        file.write(value)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("magic", b"somebody", "no ring"),
        ("version", struct.pack("<I", 2), "another version"),
        ("record", struct.pack("<I", 128), "contradicts"),
        ("record", struct.pack("<I", 63), "contradicts"),
        ("capacity", struct.pack("<Q", 128), "contradicts"),
        ("capacity", struct.pack("<Q", 65), "contradicts"),
        ("capacity", struct.pack("<Q", 0), "contradicts"),
        ("capacity", struct.pack("<Q", 1 << 63), "contradicts"),
        ("batch", struct.pack("<I", 0), "contradicts"),
        ("batch", struct.pack("<I", 33), "contradicts"),
        ("layout", struct.pack("<Q", 1), "other fields"),
        ("boot", b"\0" * 16, "before the machine started"),
    ],
)
def test_a_first_page_that_is_wrong_is_refused(home: Path, field: str, value: bytes, says: str) -> None:
    with RingBuffer.create("spoilt", capacity=64, directory=home) as writer:
        path = writer.path
    spoil(path, field, value)
    with pytest.raises(RingError, match=says):
        RingBuffer.open("spoilt", directory=home)
    if field == "boot":  # nobody can have it open: a new ring takes its place
        with RingBuffer.create("spoilt", capacity=64, directory=home) as writer:
            assert (writer.life, writer.head) == (1, 0)
    else:
        with pytest.raises(RingError, match=says):
            RingBuffer.create("spoilt", capacity=64, directory=home)
        assert RingBuffer.remove("spoilt", directory=home)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 4096 + 63 * 64, 4096 + 65 * 64])
def test_a_file_of_the_wrong_size_is_refused(home: Path, size: int) -> None:
    with RingBuffer.create("cut", capacity=64, directory=home) as writer:
        path = writer.path
    os.truncate(path, size)
    with pytest.raises((RingError, FileNotFoundError)):
        RingBuffer.open("cut", directory=home)


def test_a_ring_whose_first_writer_died_early_is_made_again(home: Path) -> None:
    for size in (0, 100, 4096 + 64 * 64):
        path = home / "early.ring"
        path.write_bytes(bytes(size))
        path.chmod(0o600)
        with pytest.raises(FileNotFoundError):
            RingBuffer.open("early", directory=home)
        with RingBuffer.create("early", capacity=64, directory=home) as writer:
            assert (writer.life, writer.head) == (1, 0)
        path.unlink()


def test_a_ring_finished_between_a_look_and_the_lock_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its maker came and went while another writer, which had seen it empty, was about to lock it."""
    with RingBuffer.create("made", capacity=64, directory=home) as writer:
        writer.publish(numbered(0, 3))
    path = home / "early.ring"
    path.touch(0o600)
    look, late = os.fstat, []

    def look_and_be_late(fd: int) -> os.stat_result:
        seen = look(fd)
        if stat.S_ISREG(seen.st_mode) and not late:
            late.append(True)
            path.write_bytes((home / "made.ring").read_bytes())
        return seen

    monkeypatch.setattr(os, "fstat", look_and_be_late)
    with RingBuffer.create("early", capacity=64, directory=home) as writer:
        assert (writer.life, writer.head) == (2, 3)


def test_another_shape_is_another_ring(home: Path) -> None:
    RingBuffer.create("shape", quote_dtype, capacity=64, directory=home).close()
    for options in ({"capacity": 32}, {"capacity": 64, "wakes": True}):
        with pytest.raises(RingError, match="was made with capacity=64"):
            RingWriter("shape", quote_dtype, directory=home, **options)
    for dtype in (trade_dtype, market_dtype, bar_dtype):
        with pytest.raises(RingError, match="its records have"):
            RingReader("shape", dtype, directory=home)
    for capacity in (0, 1, 3, 65537):
        with pytest.raises(ValueError, match="power of two"):
            RingBuffer.create("other", capacity=capacity, directory=home)
    with pytest.raises(ValueError, match="64 or 128 bytes"):
        RingBuffer.create("other", np.dtype("<u8"), directory=home)
    assert not (home / "other.ring").exists()


def test_a_head_that_falls_is_damage(home: Path) -> None:
    with RingBuffer.create("fall", capacity=64, directory=home) as writer:
        writer.publish(numbered(0, 10))
        with RingBuffer.open("fall", directory=home) as reader:
            with Path(writer.path).open("r+b") as file:
                file.seek(128)
                file.write(struct.pack("<Q", 4))
            with pytest.raises(RingError, match="fell"):
                reader.read_into(np.zeros(4, market_dtype))


def test_a_full_file_system_is_told_when_the_ring_is_made(home: Path) -> None:
    script = """
import os, resource, signal, sys
from pyrt import RingBuffer
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    RingBuffer.create("big", directory=sys.argv[1])
except OSError as e:
    print(os.listdir(sys.argv[1]), type(e).__name__)
"""
    process = child(script, home)
    assert process.communicate()[0] == "[] OSError\n"
