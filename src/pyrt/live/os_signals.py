"""The signals that end a session, and the one that kills."""

import asyncio
import logging
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrt.live.runner import Runner

log = logging.getLogger("pyrt")


class Signals:
    """Ctrl-C and SIGTERM end the session in order; the second one at once. SIGUSR1 is the kill switch."""

    def __init__(self, runner: "Runner") -> None:
        self._runner = runner
        self._loop = asyncio.get_running_loop()
        self._heard = False  # one of them

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, ValueError, RuntimeError):  # not in the main thread: a notebook, a test
                self._loop.add_signal_handler(number, self._hit, number)
        with suppress(NotImplementedError, ValueError, RuntimeError):
            self._loop.add_signal_handler(signal.SIGUSR1, self._runner.kill)

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            with suppress(NotImplementedError, ValueError, RuntimeError):
                self._loop.remove_signal_handler(number)

    def _hit(self, number: int) -> None:
        if self._heard:
            self._runner.aborting = True
            raise KeyboardInterrupt
        self._heard = True
        ends = "the session is ending" if self._runner.stopping.is_set() else "ending the session"
        log.info("%s: %s (again to end at once)", signal.Signals(number).name, ends)
        self._runner.stop(signal.Signals(number).name)
