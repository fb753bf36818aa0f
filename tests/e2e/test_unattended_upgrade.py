"""Another version of the program takes over while orders are open; an older one that cannot, touches nothing."""

import shutil
import signal
import struct
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.e2e.drill import Report, compare
from tests.e2e.processes import Run, Venue, wait_for
from tests.e2e.test_unattended_backup import all_orders, pyrt
from tests.journal.test_versions import record

from pyrt._core.log import SegmentHeader, crc32c_of, pack_header
from pyrt.journal import codec
from pyrt.journal.inspect import show, verify
from pyrt.journal.segments import survey
from pyrt.model import AccountSeen, CashMoved, Fact, Intended, Latched

Start = Callable[..., Run]
SIZE = 1 << 20


def old_payload(fact: Fact) -> tuple[int, bytes]:
    """A fact as the version before wrote it: without what later versions tell of an account."""
    kind, payload = codec.encode(fact)
    if isinstance(fact, AccountSeen):
        said = msgspec.msgpack.decode(payload)
        for name in ("settled", "shorting", "fractional", "crypto", "options_level"):
            said.pop(name, None)
        payload = msgspec.msgpack.encode(said)
    return kind, payload


def as_the_version_before(journal: Path) -> int:
    """Write a journal anew as version 1 would have written it; how many facts it has."""
    _, last = survey(journal)
    assert last is not None
    facts = [old_payload(fact) for _, _, fact in show(journal) if not isinstance(fact, CashMoved)]
    assert len(facts) < 1_000  # below the first record of the chain
    data = b"".join(record(seq, kind, payload, version=1) for seq, (kind, payload) in enumerate(facts, 1))
    shutil.rmtree(journal)
    journal.mkdir(mode=0o700)
    header = pack_header(SegmentHeader(last.header.journal, b"r" * 16, 1, 1, 0, bytes(16), SIZE))
    (journal / "00000001.journal").write_bytes((header.ljust(4096, b"\0") + data).ljust(SIZE, b"\0"))
    return len(facts)


def raise_the_version(segment: Path) -> None:
    """A segment in the format of a program to come."""
    data = bytearray(segment.read_bytes())
    struct.pack_into("<I", data, 8, struct.unpack_from("<I", data, 8)[0] + 1)
    struct.pack_into("<I", data, 92, crc32c_of(bytes(data[:92]) + bytes(data[96:4096])))
    segment.write_bytes(data)


def content(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file() and p.name != "lock"}


def intended(home: Path) -> int:
    return sum(isinstance(fact, Intended) for _, _, fact in show(home / "journal"))


def nothing_wrong(venue: Venue, home: Path) -> None:
    report = Report()
    compare(venue, home / "journal", report)
    assert not report.faults, "\n".join(report.faults)


@pytest.mark.row("S122")
def test_an_upgrade_and_the_way_back_with_open_orders(venue: Venue, start: Start, busy: list[str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    run = start(*busy, "--no-watchdog").until("trading:")
    wait_for(lambda: venue.truth()["orders"] and venue.open_orders(), "orders")
    run.kill()
    assert as_the_version_before(home / "journal")
    assert verify(home / "journal").exit == 0
    before = intended(home)
    run = start(*busy, "--no-watchdog").until("trading:")
    wait_for(lambda: intended(home) > before and venue.open_orders(), "new orders")
    run.kill()

    pyrt("backup", str(tmp_path / "kept"), "--state", str(home))  # as before each upgrade
    newest = max((home / "journal").glob("*.journal"))
    raise_the_version(newest)  # the new program ran, and somebody starts the old one
    was, orders = content(home), len(all_orders(venue))
    run = start(*busy, "--no-watchdog")
    run.end()
    assert run.process.returncode == 2, run.log
    assert "Traceback" not in run.log
    [line] = [line for line in run.lines if line.startswith("pyrt: ")]
    assert "newer" in line
    assert str(newest) in line
    assert content(home) == was
    assert len(all_orders(venue)) == orders

    home.rename(tmp_path / "newer")
    pyrt("restore", str(tmp_path / "kept"))
    run = start(*busy, "--no-watchdog").until("trading:")
    back = intended(home)
    wait_for(lambda: intended(home) > back, "new orders")
    assert "unknown orders: 0   unexplained shares: 0" in run.end(signal.SIGINT)
    assert run.process.returncode == 0, run.log
    assert not [fact for _, _, fact in show(home / "journal") if isinstance(fact, Latched) and fact.level == "HALTED"]
    nothing_wrong(venue, home)
