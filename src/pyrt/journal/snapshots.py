"""States kept beside the journal, so that a start need not replay all of it.

snapshot-<seq>.bin = magic, crc32c of the rest, seq, length of the hash, hash, state. It counts once the journal holds its anchor:
the record that names the same seq and hash, written after the file was durable under its name.
"""

import logging
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pyrt._core.log import crc32c_of
from pyrt.journal.segments import sync_directory

log = logging.getLogger(__name__)
_MAGIC = b"PYRTSNP1"
_HEAD = struct.Struct("<8sI")
_BODY = struct.Struct("<QI")


class Anchor(msgspec.Struct, frozen=True):
    """What an anchor record says: the state after record `seq` has this hash, and is kept."""

    seq: int
    state_hash: bytes


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The state after record `seq`, and the hash of it."""

    seq: int
    state: bytes
    state_hash: bytes


def anchor(seq: int, state_hash: bytes) -> bytes:
    """The payload of the anchor record."""
    return seq.to_bytes(8, "little") + state_hash


def anchor_of(payload: bytes) -> Anchor:
    """What the payload of an anchor record says."""
    return Anchor(int.from_bytes(payload[:8], "little"), payload[8:])


def write(directory: Path, snapshot: Snapshot) -> None:
    """Write, sync, rename, sync the directory. Raises OSError."""
    body = _BODY.pack(snapshot.seq, len(snapshot.state_hash)) + snapshot.state_hash + snapshot.state
    unfinished = directory / f"snapshot-{snapshot.seq:016d}.tmp"
    try:
        _write(unfinished, _HEAD.pack(_MAGIC, crc32c_of(body)) + body)
    except OSError:  # where the disk is full, what is left of it takes room from the journal
        unfinished.unlink(missing_ok=True)
        raise
    unfinished.rename(directory / f"snapshot-{snapshot.seq:016d}.bin")
    sync_directory(directory)


def _write(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:  # noqa: PTH123 -- the descriptor carries the mode
        file.write(content)
        file.flush()
        os.fsync(fd)


def oldest(directory: Path) -> int:
    """The least seq that a file's name tells; 0 where there is none."""
    return min((int(n) for p in directory.glob("snapshot-*.bin") if (n := p.stem.removeprefix("snapshot-")).isdigit()), default=0)


def newest_first(directory: Path) -> Iterator[Snapshot]:
    """The snapshots that read; a damaged one is passed over with a warning, since the journal has everything it held."""
    for path in sorted(directory.glob("snapshot-*.bin"), reverse=True):
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # pruned meanwhile
            continue
        except OSError as e:
            log.warning("%s cannot be read (%s): passed over", path, e.strerror)
            continue
        snapshot = _parse(data)
        if snapshot is None:
            log.warning("%s is damaged, or of another program: passed over", path)
        else:
            yield snapshot


def _parse(data: bytes) -> Snapshot | None:
    if len(data) < _HEAD.size + _BODY.size:
        return None
    magic, crc = _HEAD.unpack_from(data)
    body = memoryview(data)[_HEAD.size :]
    if magic != _MAGIC or crc != crc32c_of(body):
        return None
    seq, n = _BODY.unpack_from(body)
    return Snapshot(seq=seq, state_hash=bytes(body[_BODY.size : _BODY.size + n]), state=bytes(body[_BODY.size + n :]))


def prune(directory: Path, *, keep: int) -> None:
    """Remove all but the newest `keep`."""
    for path in sorted(directory.glob("snapshot-*.bin"), reverse=True)[keep:]:
        path.unlink(missing_ok=True)
    for path in directory.glob("snapshot*.tmp"):  # a crash left it
        path.unlink(missing_ok=True)
