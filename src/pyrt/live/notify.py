"""What the service manager hears (sd_notify): ready when recovery has ended, a sign of life from the loop, what it does, its end.

One datagram of NAME=value lines to the socket that NOTIFY_SOCKET names: a path, or an abstract name after an @.
"""

import asyncio
import contextlib
import logging
import os
import socket

from pyrt.live.plan import Live

log = logging.getLogger("pyrt")
PERIOD = 5.0  # s between two signs of life, unless the manager wants them more often
LONGEST = 200  # characters of a status


class Notifier:
    """A companion of a session: give it to Plan.companions. Nothing it does fails the session."""

    def __init__(self, address: str, *, watchdog_usec: int = 0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._period = min(PERIOD, watchdog_usec / 4e6) if watchdog_usec else PERIOD
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self.failed = 0  # datagrams that did not go

    def tell(self, *lines: str) -> None:
        """Send lines; a manager that does not listen is logged once."""
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError as e:
            self.failed += 1
            if self.failed == 1:
                log.warning("the service manager was not told: %s", e.strerror or e)

    async def __call__(self, live: Live) -> None:
        runner = live.runner
        try:
            ready = False
            while not runner.stopping.is_set():
                begun = runner.recovered.is_set()
                news = ["READY=1"] if begun and not ready else []
                ready = begun
                self.tell(*news, "WATCHDOG=1", f"STATUS={status(live)}"[:LONGEST])
                with contextlib.suppress(TimeoutError):  # recovery's end is told at once, later ones of the loop in time
                    await asyncio.wait_for((runner.stopping if ready else runner.recovered).wait(), self._period)
        finally:
            self.tell("STOPPING=1", f"STATUS=ending: {runner.reason}"[:LONGEST].replace("\n", " "))
            self._socket.close()


def status(live: Live) -> str:
    """One line: recovering or trading, the closed latches, the open orders."""
    session = live.session
    if not live.runner.recovered.is_set():
        return "recovering" + (f": {live.shell.query}" if live.shell.query else "")
    latches = ", ".join(f"{scope} {fact.level}" for scope, fact in session.risk.latches.items())
    orders = len(session.execution.open_orders())
    return f"{latches or 'trading'}; {orders} open orders, {session.execution.unresolved} unknown".replace("\n", " ")


def notifier() -> Notifier | None:
    """The one that the environment asks for; taken out of it, so that no child speaks for us."""
    address = os.environ.pop("NOTIFY_SOCKET", "")
    period, pid = os.environ.pop("WATCHDOG_USEC", ""), os.environ.pop("WATCHDOG_PID", "")
    if not address.startswith(("/", "@")) or len(address) < 2:
        return None
    usec = 0
    if pid in ("", str(os.getpid())):
        with contextlib.suppress(ValueError):
            usec = max(0, int(period or 0))
    return Notifier(address, watchdog_usec=usec)
