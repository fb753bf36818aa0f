"""Lines as the recorder of cryptofeed writes them: `[ADDRESS ->] RECEIVE_TIME: JSON`, gz or plain.

Lines with `<-` are what the client sent, lines with `<->` say that it connected.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from pyrt._core.types import to_units
from pyrt.errors import DataError
from pyrt.history.text import open_lines


def read_lines(path: Path) -> Iterator[tuple[str, str, int, Any]]:
    """(place, address or "", receive ns, message) of everything that was received. Raises DataError."""
    with open_lines(path) as lines:
        for number, line in enumerate(lines, 1):
            head, _, body = line.decode("latin-1").partition(": ")
            if "<-" in head or not body.strip():
                continue
            address, _, recv = head.rpartition("-> ")
            try:
                yield f"{path} line {number}", address.strip(), to_units(recv), msgspec.json.decode(body)
            except ValueError:
                raise DataError("not `time: JSON`", where=f"{path} line {number}", mend="the file is damaged") from None
