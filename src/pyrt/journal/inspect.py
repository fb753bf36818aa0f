"""A journal looked at from outside: is it whole, and what does it say? Nothing is changed, no lock is taken."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from pyrt._core.log import ANCHOR, USER, Record
from pyrt.errors import JournalDamaged, JournalError
from pyrt.journal import codec, segments
from pyrt.journal.snapshots import Anchor, anchor_of
from pyrt.model import Fact

WHOLE, DAMAGED, UNREADABLE = 0, 1, 2
TRIES = 3  # a journal that is being written may look torn in the middle of a write


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found; `exit` is 0 whole, 1 damaged, 2 not a journal, or one that this program cannot read."""

    exit: int
    text: str
    journal: str = ""
    facts: int = 0
    segments: int = 0
    last_seq: int = 0
    torn: bool = False
    closed: bool = False


def verify(directory: Path | str) -> Verdict:
    """Check every checksum, every chain hash, the order, and that every fact decodes."""
    directory = Path(directory)
    if not list(directory.glob("*.journal")):
        return Verdict(exit=UNREADABLE, text=f"{directory}: there is no journal here")
    for n in range(TRIES):
        try:
            return _verify(directory)
        except JournalDamaged as e:
            if n == TRIES - 1:
                return Verdict(exit=DAMAGED, text=str(e))
        except (JournalError, OSError) as e:
            return Verdict(exit=UNREADABLE, text=str(e))
    raise AssertionError("unreachable")


def _verify(directory: Path) -> Verdict:
    ends, last = segments.survey(directory)
    assert last is not None
    facts = sum(1 for _ in show(directory))
    text = f"{directory}: journal {last.header.journal}, {facts} facts in {len(ends)} segments, whole up to record {ends[-1]}"
    if last.torn:
        text += "; the last write was cut short and is not part of it"
    elif not last.closed:
        text += "; not closed"
    return Verdict(
        exit=WHOLE,
        text=text,
        journal=last.header.journal,
        facts=facts,
        segments=len(ends),
        last_seq=ends[-1],
        torn=last.torn,
        closed=last.closed,
    )


def ended(directory: Path | str) -> bool:
    """Whether the journal was closed in order: nothing that was appended is missing. Raises JournalDamaged."""
    _, last = segments.survey(Path(directory))
    return last is not None and last.closed and not last.torn


def journal_id(directory: Path | str) -> str:
    """Whose facts they are. Raises JournalError, JournalDamaged."""
    _, last = segments.survey(Path(directory))
    if last is None:
        raise JournalError("there is no journal here", where=str(directory), mend="name the directory of a run")
    return str(last.header.journal)


def show(directory: Path | str, after: int = 0, *, journal: str = "") -> Iterator[tuple[int, int, Fact]]:
    """(seq, venue ns, fact) of every valid record above `after`. Raises JournalDamaged, JournalError."""
    for record in _records(Path(directory), after, journal):
        if record.type >= USER:
            yield record.seq, record.ts, codec.decode(record.type, record.flags, record.payload)


def anchors(directory: Path | str, after: int = 0) -> Iterator[tuple[int, Anchor]]:
    """(seq, anchor) of every anchor above `after`. Raises JournalDamaged."""
    for record in _records(Path(directory), after):
        if record.type == ANCHOR:
            yield record.seq, anchor_of(record.payload)


def _records(directory: Path, after: int, journal: str = "") -> Iterator[Record]:
    ends, last = segments.survey(directory)
    if journal and (last is None or last.header.journal != journal):
        raise JournalError(f"the journal {journal} is not there", where=str(directory), mend="was it moved?")
    for number, end in enumerate(ends, 1):
        if end > after:
            with segments.reading(segments.segment_path(directory, number), end) as reader:
                yield from reader.records(after)


def export(directory: Path | str, after: int = 0) -> Iterator[bytes]:
    """The facts as JSON, one a line: {"seq", "ts", "fact"}."""
    for seq, ts, fact in show(directory, after):
        yield line(seq, ts, fact)


def line(seq: int, ts: int, fact: Fact) -> bytes:
    """One fact as `export` writes it."""
    return msgspec.json.encode({"seq": seq, "ts": ts, "fact": fact}) + b"\n"
