"""What a LOBSTER day says, row by row, read the plain way."""

import csv
import io
import zipfile

NONE = 9_999_999_999


def rows(path, limit=None):
    """(message type, asks, bids) of each row; levels as (px units, qty units), best first."""
    with zipfile.ZipFile(path) as archive:
        names = {what: next(n for n in archive.namelist() if f"_{what}_" in n) for what in ("message", "orderbook")}
        with archive.open(names["message"]) as messages, archive.open(names["orderbook"]) as books:
            pairs = zip(*(csv.reader(io.TextIOWrapper(stream)) for stream in (messages, books)), strict=True)
            for k, (message, book) in enumerate(pairs):
                if k == limit:
                    return
                cells = [int(cell) for cell in book]
                yield int(message[1]), _levels(cells, 0), _levels(cells, 2)


def _levels(cells, first):
    return [(p * 100_000, q * 10**9) for p, q in zip(cells[first::4], cells[first + 1 :: 4], strict=True) if abs(p) != NONE]
