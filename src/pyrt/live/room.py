"""Tells that the disk is filling up while there is time: a journal that cannot grow ends the session."""

import asyncio
import logging
import os
from pathlib import Path

from pyrt.live.shell import LiveShell
from pyrt.model import Alarmed

log = logging.getLogger("pyrt")
LOOK = 60.0  # s
LOW, SCARCE = 4 << 30, 1 << 30  # bytes; a recorder at full speed takes 4 GiB in 20 minutes, a journal days


def free_bytes(directory: Path) -> int:
    """What an ordinary user may still write there. Raises OSError."""
    told = os.statvfs(directory)
    return told.f_bavail * told.f_frsize


class Room:
    """Looks at the free room each minute; alarms when it becomes low, and again when it becomes scarce.

    The alarm is told and logged, and is no fact: it is no output of the session, and a full journal could not hold it.
    """

    def __init__(self, shell: LiveShell, directory: Path) -> None:
        self._shell = shell
        self._directory = directory
        self._told = 0  # 1 = that it is low, 2 = that it is scarce

    async def run(self, _: object = None) -> None:
        """Look until cancelled."""
        while True:
            try:
                self.look(await asyncio.to_thread(free_bytes, self._directory))
            except OSError as e:
                log.warning("the room on the disk of %s is not known: %s", self._directory, e.strerror)
            await asyncio.sleep(LOOK)

    def look(self, free: int) -> None:
        """Judge so many free bytes; more than half again of a bound ends its alarm."""
        level = 2 if free < SCARCE else 1 if free < LOW else 0
        if level > self._told:
            severity = "critical" if level == 2 else "warning"
            text = (
                f"{free / 2**30:.1f} GiB are left on the disk of {self._directory}: the session ends when the journal finds no room"
            )
            log.warning("DISK_LOW: %s", text)
            self._shell.tell(Alarmed(severity=severity, code="DISK_LOW", text=text, ts=self._shell.now().venue))
            self._told = level
        elif (self._told == 2 and free > SCARCE * 3 // 2) or (self._told == 1 and free > LOW * 3 // 2):
            self._told = level
