"""A copy of a session's state that can be put back: taken while the session runs, checked, and there whole or not at all.

    DEST/manifest.json   what it is: journal, last record, chain hash, and length and sha256 of every file
    DEST/state/          journal/ (its segments and snapshots), recording/, reports/, KILL and KILL.* where they wait

Records are only ever appended, so what a survey of the journal found whole may be copied afterwards without asking anybody to stop.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from pyrt.errors import ConfigError, JournalDamaged, JournalError
from pyrt.journal import inspect, segments
from pyrt.journal.head import Head, head_of
from pyrt.journal.journal import Journal
from pyrt.model import Intended, Restored
from pyrt.ports import Sync

MANIFEST, STATE = "manifest.json", "state"
BESIDE = ("recording", "reports")  # folders of the state directory that are kept, file by file
REQUESTS = re.compile(r"KILL(\.[0-9a-f]{16})?")  # halts that no session has acted upon
CHUNK = 1 << 20
TRIES = 3  # a journal that is being written may look torn in the middle of a write
SMALLEST = 1 << 16  # bytes of the segment that says that the journal was put back
_ORDERS_A_SECOND = 6  # bits: numbers that a journal may use for each second until it is put back once more
OTHER = "use another backup"
_LONGEST = 64 << 20  # bytes of a manifest


class Kept(msgspec.Struct, frozen=True):
    """One file of a backup; `name` is its place in the state directory."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds."""

    version: int = 1
    pyrt: str
    made: int  # s since 1970
    state: str  # the directory it was made of
    head: Head
    files: list[Kept]


def backup(state: Path, target: Path, *, made: int, pyrt: str) -> Manifest:
    """Copy what survives of a state directory, whether a session runs on it or not; the copy is verified and synced.

    Raises ConfigError where the target exists, JournalDamaged, JournalError, OSError.
    """
    if target.exists() or target.is_symlink():
        raise ConfigError("is there already", where=str(target), mend="name a directory that is not there yet")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _unfinished(target) as unfinished:
        copy = unfinished / STATE
        copy.mkdir(mode=0o700)
        _copy_journal(state / "journal", copy / "journal")
        for name in BESIDE:
            _copy_folder(state / name, copy / name)
        for path in sorted(state.iterdir()):
            if REQUESTS.fullmatch(path.name):
                with suppress(FileNotFoundError):
                    _copy_file(path, copy / path.name)
        _check(copy / "journal")
        head = head_of(copy / "journal")
        manifest = Manifest(pyrt=pyrt, made=made, state=str(state.absolute()), head=head, files=list(_listed(copy)))
        _write(unfinished / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        _sync_tree(unfinished)
        unfinished.rename(target)
        segments.sync_directory(target.parent)
    return manifest


def read_manifest(source: Path) -> Manifest:
    """What a backup says of itself. Raises ConfigError."""
    try:
        with (source / MANIFEST).open("rb") as file:
            manifest = msgspec.json.decode(file.read(_LONGEST), type=Manifest)
    except (OSError, msgspec.DecodeError, RecursionError):
        raise ConfigError("is no backup", where=str(source), mend="name a directory that `pyrt backup` made") from None
    if manifest.version != Manifest.__struct_defaults__[0]:
        raise ConfigError(f"a backup of format {manifest.version}", where=str(source), mend="use the program that made it")
    return manifest


def check(source: Path) -> Manifest:
    """Hold every file of a backup against its manifest, and verify its journal. Raises ConfigError, JournalError."""
    manifest = read_manifest(source)
    found = {kept.name: kept for kept in _listed(source / STATE)}
    for kept in manifest.files:
        if found.pop(kept.name, None) != kept:
            raise JournalDamaged("is not what the manifest names", where=str(source / STATE / kept.name), mend=OTHER)
    if found:
        raise JournalDamaged("the manifest does not name it", where=str(source / STATE / min(found)), mend=OTHER)
    _check(source / STATE / "journal")
    if head_of(source / STATE / "journal") != manifest.head:
        raise JournalDamaged("the journal does not end where the manifest says", where=str(source), mend=OTHER)
    return manifest


def restore(source: Path, state: Path, *, now: int) -> Manifest:
    """Put a backup where no state is. `now`: s since 1970.

    Orders made after the backup carry numbers that its journal does not know. The journal goes on far above them, so that no number
    is ever two orders, not even where one of them reaches the venue only later; recovery reads the others from the venue.
    Raises ConfigError where there is a state, JournalDamaged, JournalError, OSError.
    """
    if state.is_symlink() or (state.exists() and (not state.is_dir() or any(state.iterdir()))):
        raise ConfigError("is not empty", where=str(state), mend="move it away, or name another directory with --state")
    manifest = check(source)
    state.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _unfinished(state) as unfinished:
        for kept in manifest.files:
            place = unfinished / kept.name
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _copy_file(source / STATE / kept.name, place)
        if list(_listed(unfinished)) != manifest.files:  # a copy that failed without a word
            raise JournalError("the copy is not what was copied", where=str(unfinished), mend="look at the disk")
        _pass_numbers(unfinished / "journal", manifest.head.ts, now)
        (unfinished / "journal" / "lock").unlink(missing_ok=True)
        _sync_tree(unfinished)
        if state.exists():
            state.rmdir()
        unfinished.rename(state)
        segments.sync_directory(state.parent)
    return manifest


def _pass_numbers(journal: Path, ts: int, now: int) -> None:
    last = max((fact.number for _, _, fact in inspect.show(journal) if isinstance(fact, Intended)), default=0)
    number = max(last + (1 << 20), now << _ORDERS_A_SECOND)
    with Journal.open(journal, segment_size=SMALLEST) as opened:
        opened.append(Restored(number=number, ts=ts), Sync.BEFORE_ACT, ts)
        opened.sync()
    if opened.failed is not None:
        raise opened.failed
    for left in journal.glob("prepar*.tmp"):  # of the small size
        left.unlink()


def _check(journal: Path) -> None:
    verdict = inspect.verify(journal)
    if verdict.exit:
        raise JournalDamaged(verdict.text, where=str(journal), mend="nothing was changed")


# ---- copies
def _copy_journal(journal: Path, copy: Path) -> None:
    copy.mkdir(mode=0o700)
    for n in range(TRIES):
        try:
            ends, last = segments.survey(journal)
            break
        except JournalDamaged:
            if n == TRIES - 1:
                raise
    if last is None:
        raise ConfigError("there is no journal in it", where=str(journal.parent), mend="name the state of a session")
    for number in range(1, len(ends) + 1):
        path = segments.segment_path(journal, number)
        try:
            _copy_file(path, copy / path.name, until=last.end if number == len(ends) else None)
        except FileNotFoundError:  # archived, perhaps this moment
            packed = segments.archive_path(copy, number)
            packed.parent.mkdir(mode=0o700, exist_ok=True)
            _copy_file(segments.archive_path(journal, number), packed)
    for path in sorted(journal.glob("snapshot-*.bin")):
        name = path.stem.removeprefix("snapshot-")
        if name.isdigit() and int(name) <= ends[-1]:
            with suppress(FileNotFoundError):  # a newer one took its place meanwhile
                _copy_file(path, copy / path.name)


def _copy_folder(folder: Path, copy: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.suffix != ".tmp":
            place = copy / path.relative_to(folder)
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # the oldest part of a recording goes when there is no room
                _copy_file(path, place)


def _copy_file(path: Path, copy: Path, *, until: int | None = None) -> None:
    """As long as the file is now; bytes from `until` on are zeros. What is zeros takes no room."""
    with path.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        end = size if until is None else min(until, size)
        fd = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as target:
            at = 0
            while at < end and (data := source.read(min(CHUNK, end - at))):
                if data.count(0) == len(data):
                    target.seek(len(data), os.SEEK_CUR)
                else:
                    target.write(data)
                at += len(data)
            target.truncate(size)
            target.flush()
            os.fsync(fd)


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A directory beside the target, to be renamed to it; it is removed where that did not happen."""
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    unfinished.mkdir(mode=0o700)
    try:
        yield unfinished
    finally:
        if unfinished.exists():
            shutil.rmtree(unfinished, ignore_errors=True)


def _listed(directory: Path) -> Iterator[Kept]:
    for path in sorted(directory.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise JournalDamaged("is no plain file", where=str(path), mend=OTHER)
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            yield Kept(path.relative_to(directory).as_posix(), path.stat().st_size, digest)


def _write(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)


def _sync_tree(directory: Path) -> None:
    for path in (directory, *directory.rglob("*")):
        if path.is_dir():
            segments.sync_directory(path)
