"""The catalog keeps what was downloaded, and knows what is missing."""

import random

import numpy as np
import pytest

from pyrt._core.types import RecordType, bar_dtype
from pyrt.clock import MINUTE
from pyrt.errors import DataError
from pyrt.history import Catalog


def bars(first, n, close=0):
    out = np.zeros(n, bar_dtype)
    out["type"], out["interval"] = RecordType.BAR, MINUTE
    out["start"] = (first + np.arange(n)) * MINUTE
    out["ts_event"] = out["start"] + MINUTE
    out["close_px"] = close
    return out


def minutes(found):
    return (found["start"] // MINUTE).tolist()


def test_bars_come_back(tmp_path):
    catalog = Catalog(tmp_path / "data")
    assert len(catalog.bars("BTC/USD", MINUTE)) == 0
    assert catalog.symbols() == catalog.coverage("BTC/USD", MINUTE) == []
    catalog.add_bars("BTC/USD", MINUTE, bars(10, 5, close=7))
    again = Catalog(tmp_path / "data")
    assert again.symbols() == ["BTC/USD"]
    assert again.bars("BTC/USD", MINUTE).tolist() == bars(10, 5, close=7).tolist()
    assert minutes(again.bars("BTC/USD", MINUTE, 11 * MINUTE, 13 * MINUTE)) == [11, 12]
    assert len(again.bars("BTC/USD", 5 * MINUTE)) == 0
    again.add_bars("BTC/USD", MINUTE, bars(14, 2, close=8))
    assert again.bars("BTC/USD", MINUTE)["close_px"].tolist() == [7, 7, 7, 7, 8, 8]


@pytest.mark.parametrize("seed", range(5))
def test_coverage_says_what_is_missing(tmp_path, seed):
    rng, catalog, have = random.Random(seed), Catalog(tmp_path), set()
    for _ in range(25):
        first, n = rng.randrange(200), rng.randrange(1, 12)
        catalog.add_bars("A", MINUTE, bars(first, n)[:: rng.choice((1, 2))], covers=(first * MINUTE, (first + n) * MINUTE))
        have |= set(range(first, first + n))
        missing = catalog.missing("A", MINUTE, 20 * MINUTE, 180 * MINUTE)
        assert [m for a, b in missing for m in range(a // MINUTE, b // MINUTE)] == sorted(set(range(20, 180)) - have)
    kept = minutes(catalog.bars("A", MINUTE))
    assert kept == sorted(set(kept))


def test_a_range_without_bars_is_covered_too(tmp_path):
    catalog = Catalog(tmp_path)
    catalog.add_bars("A", MINUTE, bars(0, 0), covers=(0, 50 * MINUTE))
    assert catalog.missing("A", MINUTE, 0, 60 * MINUTE) == [(50 * MINUTE, 60 * MINUTE)]
    catalog.add_bars("A", MINUTE, bars(0, 0))
    assert catalog.coverage("A", MINUTE) == [(0, 50 * MINUTE)]


def test_a_crash_between_the_two_files_loses_nothing(tmp_path, monkeypatch):
    catalog = Catalog(tmp_path)
    catalog.add_bars("A", MINUTE, bars(0, 5))

    def fail(*_):
        raise OSError("power")

    monkeypatch.setattr(catalog, "_write_bytes", fail)
    with pytest.raises(OSError, match="power"):
        catalog.add_bars("A", MINUTE, bars(5, 5))
    again = Catalog(tmp_path)
    assert minutes(again.bars("A", MINUTE)) == list(range(10))
    assert again.missing("A", MINUTE, 0, 10 * MINUTE) == [(5 * MINUTE, 10 * MINUTE)]
    again.add_bars("A", MINUTE, bars(5, 5))
    assert minutes(again.bars("A", MINUTE)) == list(range(10))


def test_what_cannot_be_kept(tmp_path):
    catalog = Catalog(tmp_path)
    with pytest.raises(DataError, match="another interval"):
        catalog.add_bars("A", 2 * MINUTE, bars(0, 5))
    with pytest.raises(DataError, match="out of order"):
        catalog.add_bars("A", MINUTE, bars(0, 5)[::-1])
    catalog.add_bars("A", MINUTE, bars(0, 5))
    for path in (tmp_path / "A").iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"bars-60s\.npy"):
        catalog.bars("A", MINUTE)
    with pytest.raises(DataError, match=r"bars-60s\.json"):
        catalog.coverage("A", MINUTE)
