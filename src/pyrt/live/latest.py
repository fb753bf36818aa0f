"""The last numbers of a series, in memory that is there from the start."""

from array import array


class Latest:
    """At most `most` whole numbers of 64 bits, the oldest go first. Where two threads add at once, one of two may be lost."""

    __slots__ = ("_count", "_kept", "_most")

    def __init__(self, most: int) -> None:
        self._kept = array("q", bytes(8 * most))
        self._most = most
        self._count = 0

    def append(self, number: int) -> None:
        """Keep a number, the oldest goes where there is no room."""
        self._kept[self._count % self._most] = number
        self._count += 1

    def copy(self) -> list[int]:
        """All that are kept, in no order that means anything."""
        return self._kept[: self._count].tolist()
