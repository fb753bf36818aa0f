"""A disk that fills up is told in time, once for each bound."""

from pathlib import Path

from pyrt.clock import Now
from pyrt.live.room import LOW, SCARCE, Room, free_bytes
from pyrt.model import Alarmed, Message


class Listener:
    def __init__(self) -> None:
        self.told: list[Message] = []

    def tell(self, message: Message) -> None:
        self.told.append(message)

    def now(self) -> Now:
        return Now(1, 1)


def test_each_bound_is_told_once_and_again_after_there_was_room(tmp_path: Path) -> None:
    shell = Listener()
    room = Room(shell, tmp_path)  # type: ignore[arg-type]
    for free in (LOW * 2, LOW - 1, LOW - 2, LOW + 1, LOW - 1, SCARCE - 1, SCARCE - 2, SCARCE + 1, SCARCE - 1, LOW * 2, LOW - 1):
        room.look(free)
    alarms = [(m.severity, m.code) for m in shell.told if isinstance(m, Alarmed)]
    assert alarms == [("warning", "DISK_LOW"), ("critical", "DISK_LOW"), ("warning", "DISK_LOW")]
    assert free_bytes(tmp_path) > 0
