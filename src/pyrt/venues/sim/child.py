"""The venue as a child process: it saves its state and ends when we do, however we end."""

import contextlib
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from pyrt.config import Veiled
from pyrt.errors import ConfigError, NotConnected
from pyrt.process import bare_environment

_PATIENCE = 120.0  # s until the venue must have said where it listens; one that ends is heard at once


class Address(Veiled, frozen=True):
    """What the venue prints when it listens."""

    url: str
    key: str
    secret: str


class SimProcess:
    """Starts `python -m pyrt sim` and holds its control pipe; closing the pipe, or dying, ends the venue with its state saved.

    It leads a session of its own, so that Ctrl-C in the terminal reaches us and not it: orders can still be cancelled.
    Raises ConfigError with what the venue said where it does not start.
    """

    def __init__(
        self,
        *,
        state: Path,
        seed: int = 0,
        speed: str = "1",
        market: str = "generated",
        rate_limit: int = 200,
        calendar: bool = False,
    ) -> None:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._log = state / "sim.log"
        read, self._control = os.pipe()
        argv = [sys.executable, "-m", "pyrt", "sim", "--port", "0", "--state", str(state), "--seed", str(seed), "--speed", speed]
        argv += ["--market", market, "--rate-limit", str(rate_limit), "--control-fd", str(read)]
        argv += ["--calendar"] if calendar else []
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    argv,
                    pass_fds=(read,),
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                    env=bare_environment(),
                )
        finally:
            os.close(read)
        with contextlib.suppress(BrokenPipeError):  # it has ended already: what it said is the error
            os.write(self._control, b"{}\n")
        self.address = self._listening()

    def _listening(self) -> Address:
        out = self._process.stdout
        assert out is not None
        line = b""
        give_up = time.monotonic() + _PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            while not line.endswith(b"\n") and time.monotonic() < give_up:
                if selector.select(timeout=0.5):
                    part = os.read(out.fileno(), 65536)
                    line += part
                    if not part:
                        break
        try:
            return msgspec.json.decode(line.splitlines()[0], type=Address)
        except (IndexError, msgspec.DecodeError):
            self.close()
            lines = self._log.read_text(errors="replace").strip().splitlines()
            raise ConfigError(lines[-1] if lines else "the simulated venue did not start", where="pyrt sim") from None

    def check(self) -> None:
        """Raise NotConnected where the venue has ended by itself."""
        if (status := self._process.poll()) is not None:
            raise NotConnected(f"the simulated venue ended with status {status}", where="pyrt sim")

    def close(self) -> None:
        """Let the venue save and end; kill it where it does not."""
        if self._control >= 0:  # once: the number may be somebody else's by now
            os.close(self._control)
            self._control = -1
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
