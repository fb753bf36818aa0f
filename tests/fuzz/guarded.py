"""Memory that two processes see, with a page at either end that neither may touch: a step beyond an input is a crash, not luck."""

import ctypes
import mmap
import struct
from pathlib import Path

PAGE = mmap.PAGESIZE
ROOM = 16 * PAGE  # the longest input
_HEAD = struct.Struct("<QQQ")  # inputs begun, where the last one lies, its length
_SIZE = PAGE + PAGE + ROOM + PAGE  # head, guard, room, guard


class Guarded:
    """The inputs of one hunt. Whoever watches opens the same file, and finds the last input there when the hunter is gone."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(_SIZE)
            self._map = mmap.mmap(file.fileno(), _SIZE)
        self._begun = 0

    def guard(self) -> None:
        """From now on no step beyond the room: only in the process that hunts."""
        at = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        mprotect = ctypes.CDLL(None, use_errno=True).mprotect
        mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for page in (PAGE, PAGE + PAGE + ROOM):
            if mprotect(at + page, PAGE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")

    def put(self, data: bytes, *, first: bool = False) -> memoryview:
        """An input in its place: against the end of the room, or its beginning."""
        data = data[:ROOM]
        self._begun += 1
        at = 2 * PAGE + (0 if first else ROOM - len(data))
        self._map[at : at + len(data)] = data
        _HEAD.pack_into(self._map, 0, self._begun, at, len(data))
        return memoryview(self._map)[at : at + len(data)]

    @property
    def begun(self) -> int:
        """Inputs so far."""
        return int(_HEAD.unpack_from(self._map)[0])

    @property
    def last(self) -> bytes:
        """The last input."""
        _, at, length = _HEAD.unpack_from(self._map)
        return self._map[at : at + length]
