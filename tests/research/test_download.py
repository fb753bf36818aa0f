"""A download that is interrupted, goes on, and never holds a bar twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.research.conftest import START, walk

from pyrt.clock import MINUTE
from pyrt.errors import NotConnected
from pyrt.history import Catalog
from pyrt.model import Instrument
from pyrt.research.download import download

AAPL = Instrument(id=1, symbol="AAPL")


class Source:
    def __init__(self, bars: Any, breaks_after: int = 1 << 30) -> None:
        self.stored, self.left, self.asked = bars, breaks_after, 0

    def bars(self, instrument: Instrument, interval: int, start: int, end: int) -> Iterator[Any]:
        self.asked += 1
        found = self.stored[(self.stored["start"] >= start) & (self.stored["start"] <= end)]
        for at in range(0, len(found), 500):
            self.left -= 1
            if self.left < 0:
                raise NotConnected("gone")
            yield found[at : at + 500]


def test_an_interrupted_download_goes_on(tmp_path: Path) -> None:
    bars, catalog, end = walk(6000), Catalog(tmp_path), START + 6000 * MINUTE
    with pytest.raises(NotConnected):
        download(Source(bars, breaks_after=5), catalog, AAPL, MINUTE, START, end)
    before = len(catalog.bars("AAPL", MINUTE))
    assert 0 < before < 6000
    told: list[tuple[int, int]] = []
    assert download(Source(bars), catalog, AAPL, MINUTE, START, end, lambda done, of: told.append((done, of))) == 6000 - before
    assert told[-1] == (end - START, end - START)
    assert (catalog.bars("AAPL", MINUTE) == bars).all()
    again = Source(bars)
    assert download(again, catalog, AAPL, MINUTE, START, end) == 0
    assert again.asked == 0


def test_what_the_venue_did_not_have_yet_is_asked_again(tmp_path: Path) -> None:
    bars, catalog = walk(100), Catalog(tmp_path)
    assert download(Source(bars[:40]), catalog, AAPL, MINUTE, START, START + 100 * MINUTE) == 40
    assert download(Source(bars), catalog, AAPL, MINUTE, START, START + 100 * MINUTE) == 60
