"""The journal's format: what is read back is a prefix of what was written, or it is reported as damaged."""

import errno
import hashlib
import os
import random
import struct
from pathlib import Path

import pytest

from pyrt._core import log

HEAD = struct.Struct("<IIQQqHHI")
RUN = bytes(range(16))


class Store:
    """An appender over files of a directory, its groups committed by hand."""

    def __init__(self, directory: Path, *, size: int = 8192, capacity: int = 1 << 16, sync: bool = True) -> None:
        self.directory, self.size = directory, size
        self.paths: list[Path] = []
        self.fds: list[int] = []
        self.bell = os.pipe()
        for fd in self.bell:
            os.set_blocking(fd, False)
        self.log = log.Appender(self.next_segment, 0, bytes(16), *self.bell, capacity=capacity, sync=sync)

    def next_segment(self, last_seq: int, chain: bytes) -> tuple[int, int]:
        path = self.directory / f"{len(self.paths) + 1}.segment"
        header = log.SegmentHeader("abcdefgh", RUN, len(self.paths) + 1, last_seq + 1, last_seq, chain, self.size)
        path.write_bytes(log.pack_header(header) + bytes(self.size - log.PAGE))
        self.paths.append(path)
        self.fds.append(os.open(path, os.O_RDWR))
        return self.fds[-1], self.size

    def group(self, payloads: list[bytes]) -> None:
        for n, payload in enumerate(payloads):
            self.log.append(log.USER + n % 5, payload, 1_000 + n, flags=n)
        assert self.log.commit(0)

    def segment(self, number: int = 0) -> bytes:
        return self.paths[number].read_bytes()

    def close(self) -> None:
        for fd in {*self.bell, *self.fds}:
            os.close(fd)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    yield store
    store.close()


def payloads(seed: int, groups: int, of: int) -> list[list[bytes]]:
    rng = random.Random(seed)
    return [[rng.randbytes(rng.randrange(0, 90)) for _ in range(of)] for _ in range(groups)]


def read(data: bytes) -> list[bytes]:
    return [r.payload for r in log.Reader(data)]


def spoil(data: bytes, at: int, n: int = 1) -> bytes:
    return data[:at] + bytes(n) + data[at + n :]


def offsets(data: bytes) -> list[int]:
    """Where the records begin, by a walk of our own."""
    found, at = [], log.PAGE
    while at + 4 <= len(data) and (n := int.from_bytes(data[at : at + 4], "little")):
        found.append(at)
        at += -(-n // 8) * 8
    return found


def test_checksums_are_the_published_ones():
    assert log.crc32c_of(b"123456789") == 0xE3069283  # the check value of CRC-32C
    rng = random.Random(1)
    for n in [*range(300), 4096, 65_537]:
        data = rng.randbytes(n)
        assert log.crc32c_of(data) == log.crc32c_of(data, hardware=False)
        assert log.chain_of(data) == hashlib.blake2b(data, digest_size=16).digest()


def test_the_bytes_are_those_of_the_specification(store):
    store.group([b"one", b"twotwo"])
    store.group([b"three"])
    data = store.segment()
    seen = []
    for at in offsets(data):
        n, crc, seq, durable, ts, type_, flags, term = HEAD.unpack_from(data, at)
        end = at + -(-n // 8) * 8
        assert crc == log.crc32c_of(data[at : at + 4] + data[at + 8 : end], hardware=False)
        assert not any(data[at + n : end])
        seen.append((seq, durable, ts, type_, flags, term, data[at + HEAD.size : at + n]))
    assert seen == [
        (1, 0, 1000, 16, 0, 0, b"one"),
        (2, 0, 1001, 17, 1, 0, b"twotwo"),
        (3, 2, 1000, 16, 0, 0, b"three"),  # the second group knows that the first one is durable
    ]
    reader = log.Reader(data)
    assert (reader.end_seq, reader.durable, reader.torn, reader.closed) == (3, 2, False, False)
    assert [tuple(r) for r in reader] == seen
    assert [r.seq for r in reader.records(2)] == [3]


def check_every_flip(data: bytes, written: list[bytes], durable: int) -> int:
    """Flip each bit: the reader gives a prefix with all of the first `durable` records, or Damaged. How many said Damaged."""
    damaged = 0
    changed = bytearray(data)
    for at in range(len(data)):
        for bit in range(8):
            changed[at] ^= 1 << bit
            try:
                reader = log.Reader(changed)
            except log.Damaged:
                damaged += 1
            else:
                got = [r.payload for r in reader]
                assert got == written[: len(got)], (at, bit)
                assert len(got) >= durable, (at, bit)
            changed[at] ^= 1 << bit
    return damaged


@pytest.mark.timeout(600)
def test_every_bit_flip_of_a_closed_segment(store):
    groups = payloads(2, 4, 5)
    for group in groups:
        store.group(group)
    store.log.append(log.CLOSED, b"", 0)
    store.log.commit(0)
    written = [p for group in groups for p in group]
    data = store.segment()
    assert read(data) == [*written, b""]
    used = offsets(data)[-1] - log.PAGE
    # Each bit of the header page, and of every record that the last one calls durable, is damage; the zeros behind are free.
    assert check_every_flip(data, [*written, b""], len(written)) == (log.PAGE + used) * 8


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_every_bit_flip_and_cut_of_64_kib(tmp_path):
    store = Store(tmp_path, size=1 << 16)
    groups = payloads(3, 60, 10)
    for group in groups:
        store.group(group)
    store.log.append(log.CLOSED, b"", 0)
    store.log.commit(0)
    written = [p for group in groups for p in group]
    check_every_flip(store.segment(), [*written, b""], len(written))
    check_every_cut(store.segment())
    store.close()


def test_a_flip_in_the_last_group_of_a_crash_costs_that_group_at_most(store):
    groups = payloads(4, 3, 4)
    for group in groups:
        store.group(group)
    data = store.segment()
    written = [p for group in groups for p in group]
    begin = offsets(data)[8]
    for at in range(begin, begin + 200):
        changed = bytearray(data)
        changed[at] ^= 0x10
        got = read(changed)
        assert got == written[: len(got)]
        assert len(got) >= 8


def check_every_cut(data: bytes) -> None:
    for n in range(len(data)):
        with pytest.raises(log.Damaged):
            log.Reader(data[:n])


def test_every_cut_is_damage_because_a_segment_never_changes_its_size(store):
    store.group([b"x" * 20] * 5)
    check_every_cut(store.segment())
    with pytest.raises(log.Damaged):
        log.Reader(store.segment() + b"\0")


def test_a_torn_group_is_legal_and_an_older_hole_is_damage(store):
    groups = payloads(5, 3, 6)
    for group in groups:
        store.group(group)
    data = store.segment()
    at = offsets(data)
    written = [p for group in groups for p in group]
    for first in range(12, 17):  # the pages of these never came to the disk, those after them did
        torn = data
        for k in range(first, 17):
            torn = spoil(torn, at[k], at[k + 1] - at[k])
            assert read(torn) == written[:first]
            assert log.Reader(torn).torn
    for k in range(12):  # the third group says that these were durable
        with pytest.raises(log.Damaged, match=f"record {k + 1} at byte {at[k]}.*(6|12) was durable"):
            log.Reader(spoil(data, at[k], at[k + 1] - at[k]))


def reseal(data: bytes, at: int) -> bytes:
    n = int.from_bytes(data[at : at + 4], "little")
    end = at + -(-n // 8) * 8
    crc = log.crc32c_of(data[at : at + 4] + data[at + 8 : end])
    return data[: at + 4] + crc.to_bytes(4, "little") + data[at + 8 :]


def test_the_chain_sees_a_change_that_mends_its_checksum(tmp_path):
    store = Store(tmp_path, size=1 << 18, capacity=1 << 18)
    store.group([b"p" * 8] * 1500)
    data = store.segment()
    reader = log.Reader(data)
    chains = [r for r in reader if r.type == log.CHAIN]
    assert [r.seq for r in chains] == [log.BLOCK]
    at = offsets(data)
    block = data[at[0] : at[log.BLOCK - 1]]
    assert chains[0].payload == hashlib.blake2b(bytes(16) + block, digest_size=16).digest()
    assert reader.chain == hashlib.blake2b(chains[0].payload + data[at[log.BLOCK - 1] : reader.end], digest_size=16).digest()
    assert reader.chain == store.log.chain
    forged = reseal(data[: at[7] + 41] + b"q" + data[at[7] + 42 :], at[7])
    with pytest.raises(log.Damaged, match="chain hash"):
        log.Reader(forged)
    store.close()


def test_a_stale_record_behind_the_end_is_not_read(store):
    store.group([b"a", b"b"])
    data = store.segment()
    first, second = offsets(data)
    again = data[:second] + data[first:second] + data[second + second - first :]  # record 1 once more where 2 was
    assert read(again) == [b"a"]


def test_segments_follow_one_another(tmp_path):
    store = Store(tmp_path, size=8192, capacity=1 << 14)
    rng = random.Random(6)
    written = []
    while len(written) < 3000:
        group = [rng.randbytes(rng.randrange(0, 200)) for _ in range(rng.randrange(1, 30))]
        store.group(group)
        written += group
    assert len(store.paths) > 50
    after, got = None, []
    for number in reversed(range(len(store.paths))):
        reader = log.Reader(store.segment(number), after.last_seq if after else None)
        if after:
            assert after.chain == reader.chain
        got = list(reader) + got
        after = reader.header
    assert [r.seq for r in got] == list(range(1, store.log.seq + 1))
    assert [r.payload for r in got if r.type >= log.USER] == written
    assert {r.seq for r in got if r.type == log.CHAIN} == set(range(1024, store.log.seq + 1, 1024))
    assert store.log.durable == store.log.seq
    store.close()


def test_a_hole_below_what_the_next_segment_names_is_damage_and_what_follows_is_dead(store):
    store.group([b"a", b"b", b"c"])
    data = store.segment()
    assert [r.payload for r in log.Reader(data, 2)] == [b"a", b"b"]
    with pytest.raises(log.Damaged, match="next segment says"):
        log.Reader(data, 4)
    with pytest.raises(log.Damaged, match="next segment says"):
        log.Reader(spoil(data, offsets(data)[2], 8), 3)


def append_for_ever(appender: log.Appender, payload: bytes) -> None:
    while True:
        appender.append(log.USER, payload, 0)


def test_the_ring_never_blocks_and_says_when_it_is_full(store):
    payload = b"z" * 500
    while store.log.pending < (1 << 16) - 2000:
        store.log.append(log.USER, payload, 0)
    with pytest.raises(log.Full):
        append_for_ever(store.log, payload)
    assert store.log.seq > 10
    with pytest.raises(ValueError, match="does not fit"):
        store.log.append(log.USER, bytes(5000), 0)


def test_linger_waits_for_company_only_where_nobody_waits(store):
    store.log.append(log.USER, b"soon", 0, urgent=False)
    assert store.log.durable == 0
    assert store.log.commit(0, flush=True)
    assert store.log.durable == 1
    assert not store.log.commit(0)


@pytest.mark.parametrize(("device", "error"), [("/dev/full", errno.ENOSPC), ("/dev/null", errno.EINVAL)])
def test_a_failed_write_or_sync_is_final(store, device, error):
    """/dev/full refuses the write; /dev/null takes it and refuses the sync."""
    store.group([b"good"])
    store.log.append(log.USER, b"lost", 0)
    fd = os.open(device, os.O_RDWR)
    kept = os.dup(store.log.segment_fd)
    os.dup2(fd, store.log.segment_fd)
    with pytest.raises(OSError) as raised:
        store.log.commit(0)
    assert raised.value.errno == error
    assert store.log.durable == 1
    os.dup2(kept, store.log.segment_fd)  # the disk is well again: too late
    os.close(kept)
    os.close(fd)
    for _ in range(2):
        with pytest.raises(OSError):
            store.log.commit(0)
        with pytest.raises(OSError):
            store.log.append(log.USER, b"later", 0)
    assert store.log.failed[0] == error
    assert read(store.segment()) == [b"good"]


def test_a_newer_format_is_refused(store):
    page = bytearray(log.pack_header(log.SegmentHeader("abcdefgh", RUN, 1, 1, 0, bytes(16), 8192)) + bytes(4096))
    page[8] = 2
    at = 92
    crc = log.crc32c_of(page[:at] + page[at + 4 : log.PAGE])
    page[at : at + 4] = crc.to_bytes(4, "little")
    with pytest.raises(log.Damaged, match="version 2"):
        log.Reader(page)


@pytest.mark.parametrize("sync", [True, False])
def test_any_mix_of_old_and_new_sectors_after_a_cut_is_a_prefix_and_no_damage(tmp_path, sync):
    """What a disk may hold after a power cut: each sector that was not yet synced, as before or as written."""
    rng = random.Random(7)
    store = Store(tmp_path, size=1 << 15, sync=sync)
    groups = payloads(8, 12, 9)
    states = [store.segment()]
    for group in groups:
        store.group(group)
        states.append(store.segment())
    written = [p for group in groups for p in group]
    for _ in range(600):
        done = rng.randrange(len(groups))
        new = states[done + 1 if sync else rng.randrange(done + 1, len(states))]
        old = states[done if sync else 0]
        sector = rng.choice([8, 64, 512, 4096])
        mixed = b"".join(rng.choice((old, new))[at : at + sector] for at in range(0, len(old), sector))
        got = read(mixed)
        assert got == written[: len(got)]
        if sync:
            assert len(got) >= done * 9
    store.close()


def test_any_damage_to_many_bytes_gives_a_prefix_or_is_reported(store):
    rng = random.Random(9)
    groups = payloads(10, 5, 6)
    for group in groups:
        store.group(group)
    written = [p for group in groups for p in group]
    data = store.segment()
    outcomes = set()
    for _ in range(3000):
        changed = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            at, n = rng.randrange(log.PAGE, len(data)), rng.randrange(1, 400)
            source = rng.randrange(log.PAGE, len(data) - n)
            fill = rng.choice((bytes(n), rng.randbytes(n), data[source : source + n]))
            changed[at : at + n] = fill[: len(data) - at]
        try:
            got = read(changed)
        except log.Damaged:
            outcomes.add("damaged")
        else:
            outcomes.add("prefix")
            assert got == written[: len(got)]
    assert outcomes == {"damaged", "prefix"}
