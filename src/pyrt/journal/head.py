"""The head of a journal: one line that stands for everything in it, to be kept elsewhere.

The chain hash covers every record from the first. Who kept a head can show later that the journal still begins with exactly those
records; without one, somebody who can write the files could have written all of them anew, chain included.
"""

from pathlib import Path

import msgspec

from pyrt.errors import ConfigError, JournalDamaged
from pyrt.journal import segments

_LARGEST = 4096


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a journal, and the chain hash (BLAKE2b-128, hex) over everything up to it."""

    journal: str
    seq: int
    chain: str
    segment: int
    ts: int = 0  # venue ns of the last record that has a time


def head_of(directory: Path | str, seq: int | None = None) -> Head:
    """The head at record `seq`, or at the end. Raises JournalDamaged; ConfigError for a place that is not there."""
    directory = Path(directory)
    ends, last = segments.survey(directory)
    if last is None:
        raise ConfigError("there is no journal here", where=str(directory), mend="name the directory of a run")
    seq = ends[-1] if seq is None else seq
    if not 0 < seq <= ends[-1]:
        raise ConfigError(f"record {seq} is not there: the journal ends at {ends[-1]}", where=str(directory))
    number = next(number for number, end in enumerate(ends, 1) if seq <= end)
    with segments.reading(segments.segment_path(directory, number), seq) as reader:
        ts = 0
        for record in reader.records():
            ts = record.ts or ts
        return Head(journal=reader.header.journal, seq=seq, chain=reader.chain.hex(), segment=number, ts=ts)


def read_head(file: Path) -> Head:
    """A head as `pyrt journal head` printed it. Raises ConfigError."""
    try:
        with file.open("rb") as source:
            return msgspec.json.decode(source.read(_LARGEST), type=Head)
    except OSError as e:
        raise ConfigError(f"cannot be read: {e.strerror}", where=str(file), mend="give what `pyrt journal head` printed") from None
    except (msgspec.DecodeError, RecursionError):
        raise ConfigError("is no head of a journal", where=str(file), mend="give what `pyrt journal head` printed") from None


def check_head(directory: Path | str, kept: Head) -> None:
    """Raise JournalDamaged unless the journal begins with exactly the records that the head stands for."""
    now: Head | None
    try:
        now = head_of(directory, kept.seq)
    except ConfigError:
        now = None
    if now is None or (now.journal, now.chain) != (kept.journal, kept.chain):
        what = f"this is not the journal whose record {kept.seq} had the chain hash {kept.chain}"
        raise JournalDamaged(
            what, where=str(directory), mend="it was cut or written anew since that head was kept: compare with a copy"
        )
