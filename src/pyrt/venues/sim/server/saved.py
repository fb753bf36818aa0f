"""The venue's state in a directory: one file, replaced as a whole, and the changes since; owned by one process."""

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from pyrt.errors import ConfigError, DataError
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.state import decode, encode
from pyrt.venues.sim.server.changes import Changes, file_of, replay

FORMAT = 1
NAME = "venue.msgpack"


class Saved(msgspec.Struct, kw_only=True):
    """All that a venue needs to go on where it stopped."""

    format: int = FORMAT
    market: str  # how the market was made
    seed: int
    market_epoch: int  # venue ns at which the market began
    venue_ns: int  # the venue's clock when this was written
    resume_ns: int  # at which it goes on: later, where nothing was written at the end, than anything a client can have seen
    exchange: bytes
    generation: int = 0  # of the changes that came after it


class StateDirectory:
    """A locked directory that holds at most one saved venue."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise ConfigError(
                f"cannot use the state directory: {e.strerror}", where=str(path), mend="give another --state"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise ConfigError(
                "another venue uses this state directory", where=str(path), mend="stop it or give another --state"
            ) from None

    def load(self) -> Saved | None:
        """What was saved last, changes included, or None. Raises DataError where the file is not one of ours."""
        try:
            data = (self.path / NAME).read_bytes()
        except FileNotFoundError:
            return None
        try:
            saved = msgspec.msgpack.decode(data, type=Saved)
        except msgspec.DecodeError as e:
            raise DataError(f"the saved venue cannot be read: {e}", where=str(self.path / NAME), mend="move it away") from None
        if saved.format != FORMAT:
            raise DataError(
                f"the saved venue has format {saved.format}, not {FORMAT}", where=str(self.path / NAME), mend="move it away"
            )
        # A save that was under way when the process died had begun the next file.
        files = [file for n in (0, 1) if (file := file_of(self.path, saved.generation + n)).exists()]
        if files:
            state = decode(saved.exchange)
            for file in files:
                state = replay(file, state)
            saved.exchange = encode(state)
            saved.resume_ns = max(saved.resume_ns, state.now)
        return saved

    def begin(self, generation: int, exchange: Exchange) -> Changes:
        """The file for the changes after the save of that generation, which comes next."""
        return Changes(self.path, generation, exchange)

    def tidy(self, generation: int) -> None:
        """Remove the changes of all other generations."""
        for file in self.path.glob("changes.*"):
            if file != file_of(self.path, generation):
                file.unlink(missing_ok=True)

    def save(self, saved: Saved) -> None:
        """Replace what is saved: new file, fsync, rename, fsync of the directory; a crash leaves the old or the new one."""
        fresh = self.path / (NAME + ".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb", closefd=False) as file:
                file.write(msgspec.msgpack.encode(saved))
            os.fsync(fd)
        finally:
            os.close(fd)
        fresh.replace(self.path / NAME)
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def close(self) -> None:
        """Give the directory to the next process."""
        with contextlib.suppress(OSError):
            os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
