"""A download that is interrupted, goes on, and never holds a bar twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrt.clock import DAY, MINUTE
from pyrt.errors import DataError, NotConnected
from pyrt.model import Instrument
from pyrt.research.csvbars import read_bars
from pyrt.research.download import download
from tests.research.conftest import START, walk

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
    bars = walk(6000)
    end = START + 6000 * MINUTE
    with pytest.raises(NotConnected):
        download(Source(bars, breaks_after=5), AAPL, MINUTE, START, end, tmp_path)
    before = read_bars(tmp_path / "AAPL.csv")["AAPL"]
    assert 0 < len(before) < 6000
    with (tmp_path / "AAPL.csv").open("a") as file:
        file.write("1772461")  # and the machine died within a row
    path, added = download(Source(bars), AAPL, MINUTE, START, end, tmp_path)
    whole = read_bars(path)["AAPL"]
    assert added == 6000 - len(before)
    for name in ("start", "open_px", "high_px", "low_px", "close_px", "volume"):
        assert (whole[name] == bars[name]).all()


def test_what_the_venue_did_not_have_yet_is_asked_again(tmp_path: Path) -> None:
    bars = walk(100)
    assert download(Source(bars[:40]), AAPL, MINUTE, START, START + 100 * MINUTE, tmp_path)[1] == 40
    assert download(Source(bars), AAPL, MINUTE, START, START + 100 * MINUTE, tmp_path)[1] == 60


def test_a_range_that_does_not_join_is_refused(tmp_path: Path) -> None:
    download(Source(walk(100)), AAPL, MINUTE, START, START + 100 * MINUTE, tmp_path)
    with pytest.raises(DataError, match="does not join"):
        download(Source(walk(100)), AAPL, MINUTE, START + 5 * DAY, START + 6 * DAY, tmp_path)
    with pytest.raises(DataError, match="another interval"):
        download(Source(walk(100)), AAPL, 5 * MINUTE, START, START + DAY, tmp_path)
