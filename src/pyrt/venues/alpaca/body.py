"""An answer's body as objects; a list's rows one by one, because a page of them as objects is ten times its text."""

from collections.abc import Iterator
from typing import Any

import msgspec

from pyrt.errors import Misbehaved

# Floats stay text, so a number never passes through binary floating point.
_json = msgspec.json.Decoder(float_hook=str)
_json_rows = msgspec.json.Decoder(list[msgspec.Raw])
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Rows:
    """A JSON array: as many as its rows are, each of them an object while its turn lasts. Raises Misbehaved for what is none."""

    __slots__ = ("_raw",)

    def __init__(self, body: bytes) -> None:
        try:
            self._raw = _json_rows.decode(body)
        except _UNREADABLE as error:
            raise Misbehaved(f"not JSON: {error}") from None
        if not body.isascii() or b"\\" in body:  # texts are looked at only when they are read: a page is good or bad as a whole
            for _ in self:
                pass

    def __len__(self) -> int:
        return len(self._raw)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from map(_json.decode, self._raw)
        except _UNREADABLE as error:
            raise Misbehaved(f"not JSON: {error}") from None


def decode(body: bytes) -> Any:
    """JSON as dicts, lists, text and ints; a float is its text. Raises Misbehaved."""
    try:
        return _json.decode(body)
    except _UNREADABLE as error:
        raise Misbehaved(f"not JSON: {error}") from None


def read_page(body: bytes) -> Any:
    """The same of a whole answer, but a list as Rows. Raises Misbehaved."""
    return Rows(body) if body.lstrip(b" \t\r\n").startswith(b"[") else decode(body)
