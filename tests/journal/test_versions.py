"""A journal of the version before is read, and goes on in this one; of a version to come one line says so.

What version 1 wrote is written here again, from its description alone: no code of the product makes these bytes.
"""

import struct
from pathlib import Path

import msgspec
import pytest
from tests.cli.processes import call

from pyrt._core.log import crc32c_of
from pyrt._core.types import Side
from pyrt.errors import JournalError
from pyrt.journal import Journal, codec, inspect
from pyrt.live.recovery import bare
from pyrt.model import (
    CancelWanted,
    Defined,
    EpochOpened,
    Filled,
    Instrument,
    Intended,
    Intent,
    OrderChanged,
    OrderStatus,
    OrderType,
    TimeInForce,
)
from pyrt.ports import Sync

SIZE = 1 << 14
HEADER = "<HHIQqq"
VENUE_ID = "61e69015-8549-4bfd-b9c3-01e75843f47d"
EXECUTION = "0f4d1b2e-0000-4000-8000-00000000002a"


def segment(*, version: int = 1) -> bytes:
    """The first page of segment 1."""
    page = bytearray(4096)
    struct.pack_into(
        "<8sII8s16sQQQ16sQI", page, 0, b"PYRTLOG\0", version, 4096, b"k3v9q2xa", b"r" * 16, 1, 1, 0, bytes(16), SIZE, 0
    )
    struct.pack_into("<I", page, 92, 0)
    crc = crc32c_of(bytes(page[:92]) + bytes(page[96:]))
    struct.pack_into("<I", page, 92, crc)
    return bytes(page)


def record(seq: int, kind: int, payload: bytes, *, version: int = 1, durable: int = 0) -> bytes:
    """One record: head, payload, padding to 8."""
    n = 40 + len(payload)
    pad = bytes(-n % 8)
    tail = struct.pack("<QQqHHI", seq, durable, 1000 + seq, kind, version, 0) + payload + pad
    length = struct.pack("<I", n)
    return length + struct.pack("<I", crc32c_of(length + tail)) + tail


def uuid(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


def written(directory: Path, *, version: int = 1, header: int = 1) -> None:
    """A journal as version 1 wrote it: every kind of record."""
    name = struct.pack(HEADER + "32s8sqqqqBBB21x", 21, 0, 1, 0, 0, 0, b"AAPL", b"USD", 10**7, 10**5, 10**9, 1, 9, 1, 1)
    epoch = msgspec.msgpack.encode({"kind": "EpochOpened", "epoch": 1, "ts": 5})
    numbers = (1, 1, 10**10, 190 * 10**9, 0, 77, 1, 189 * 10**9, 0, 1)
    intended = struct.pack(HEADER + "QQqqqqQqQQIIIBBBB", 32, 0, 1, 0, 6, 0, *numbers, 1, 1, 1, 1, 2, 1, 2)
    order = struct.pack(
        HEADER + "Qqq16sIBBBx48s", 33, 0, 0, 0, 7, 0, 1, 0, 0, uuid(VENUE_ID), 1, OrderStatus.ACCEPTED, 1, 3, b"why"
    )
    fill = struct.pack(
        HEADER + "Qqqqq16sQ16sIBBBx8x", 34, 0, 1, 0, 8, 0, 1, 190 * 10**9, 10**10, 10**10, 0, uuid(VENUE_ID), 0, uuid(EXECUTION),
        1, 1, 1, 3,
    )  # fmt: skip
    payloads = ((21, name), (64, epoch), (32, intended), (33, order), (34, fill))
    data = b"".join(record(seq, kind, payload, version=version) for seq, (kind, payload) in enumerate(payloads, 1))
    directory.mkdir(parents=True)
    directory.chmod(0o700)
    (directory / "00000001.journal").write_bytes((segment(version=header) + data).ljust(SIZE, b"\0"))


FACTS = [
    Defined(instrument=Instrument(id=1, symbol="AAPL")),
    EpochOpened(epoch=1, ts=5),
    Intended(
        number=1,
        intent=Intent(
            strategy=1,
            source=1,
            instrument=1,
            side=Side.BUY,
            type=OrderType.LIMIT,
            tif=TimeInForce.DAY,
            qty=10**10,
            limit_px=190 * 10**9,
            extended_hours=True,
            valid_until=77,
        ),
        epoch=1,
        approval=1,
        limits_version=1,
        ref_px=189 * 10**9,
        root=1,
        ts=6,
    ),
    OrderChanged(number=1, status=OrderStatus.ACCEPTED, venue_order_id=VENUE_ID, reason="why", ts=7, tries=1),
    Filled(
        number=1,
        strategy=1,
        instrument=1,
        side=Side.BUY,
        px=190 * 10**9,
        qty=10**10,
        cum_qty=10**10,
        venue_order_id=VENUE_ID,
        execution_id=EXECUTION,
        source="stream",
        ts=8,
    ),
]


@pytest.mark.row("S122")
def test_the_version_before_is_read_and_goes_on_in_this_one(tmp_path: Path) -> None:
    written(tmp_path / "j")
    assert [fact for _, _, fact in inspect.show(tmp_path / "j")] == FACTS
    with Journal.open(tmp_path / "j", segment_size=SIZE, durability="os") as journal:
        assert [fact for _, fact in journal.facts()] == FACTS
        journal.append(CancelWanted(number=1, ts=9), Sync.SOON, 9)
        journal.append(OrderChanged(number=1, status=OrderStatus.FILLED, venue_order_id=VENUE_ID, ts=9), Sync.SOON, 9)
    verdict = inspect.verify(tmp_path / "j")
    assert (verdict.exit, verdict.facts) == (0, 7)
    session = bare("k3v9q2xa")
    assert session.replay(fact for _, _, fact in inspect.show(tmp_path / "j")) == 7
    assert session.execution.positions == {1: 10**10}
    assert session.risk.position(1, 1).qty == 10**10


def test_what_is_written_now_is_what_its_description_says() -> None:
    """A record of version 2 that says no more than version 1 could has the same bytes, but for the version."""
    assert codec.READS == (1, 2)
    for fact in FACTS:
        kind, payload = codec.encode(fact)
        assert codec.decode(kind, 1, payload) == codec.decode(kind, 2, payload) == fact


@pytest.mark.parametrize(
    ("what", "said"), [("version", "a record of version 3; this program reads 1 to 2"), ("header", "format version 2")]
)
def test_a_version_to_come_is_one_line_and_exit_2(tmp_path: Path, what: str, said: str) -> None:
    written(tmp_path / "state" / "journal", **{what: 3 if what == "version" else 2})
    verdict = inspect.verify(tmp_path / "state" / "journal")
    assert verdict.exit == 2
    assert said in verdict.text
    with pytest.raises(JournalError, match=said), Journal.open(tmp_path / "state" / "journal", segment_size=SIZE) as journal:
        list(journal.facts())
    done = call(tmp_path, "journal", "show", str(tmp_path / "state"))
    assert done.returncode == 2
    assert said in done.stderr
    assert "newer" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
