"""Targets with a fault in them: what a hunt must find."""

import ctypes
from collections.abc import Hashable
from pathlib import Path
from typing import ClassVar


class Planted:
    """Sees nothing wrong."""

    words: ClassVar[bytes] = b"!x"

    def __init__(self, home: Path) -> None:
        pass

    def seed(self, data: bytes) -> bytes:
        return data

    def __call__(self, data: memoryview) -> Hashable:
        return len(data)


class Raises(Planted):
    def __call__(self, data: memoryview) -> Hashable:
        assert b"!!" not in bytes(data), "two of them"
        return bytes(data).count(b"!")


class Beyond(Planted):
    """Reads the byte behind an input that has a mark."""

    def __call__(self, data: memoryview) -> Hashable:
        if len(data) and data[0] == ord("!"):
            ctypes.string_at(ctypes.addressof(ctypes.c_char.from_buffer(data)), len(data) + 1)
        return 0


class Before(Planted):
    """Reads the byte before it."""

    def __call__(self, data: memoryview) -> Hashable:
        if len(data) and data[0] == ord("!"):
            ctypes.string_at(ctypes.addressof(ctypes.c_char.from_buffer(data)) - 1, 1)
        return 0


class Hangs(Planted):
    def __call__(self, data: memoryview) -> Hashable:
        while len(data) and data[0] == ord("!"):
            pass
        return 0
