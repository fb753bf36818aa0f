"""Trades told while a session starts: what of the venue's history is news, within a bound."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from pyrt._core.types import RecordType, market_dtype, quote_dtype, trade_dtype
from pyrt.market import told as module
from pyrt.market.sequencer import Records
from pyrt.market.told import Told

pytestmark = pytest.mark.row("S021")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 8)


def trades(rows: list[tuple[int, int, int]]) -> Records:
    """(instrument, id, ts) each."""
    out = np.zeros(len(rows), trade_dtype)
    out["type"] = RecordType.TRADE
    out["instrument"], out["trade_id"], out["ts_event"] = np.array(rows).T if rows else ([], [], [])
    return out


def keys(records: Records) -> list[tuple[int, int, int]]:
    return [(int(r["instrument"]), int(r["trade_id"]), int(r["ts_event"])) for r in records]


def mixed(rows: list[tuple[int, int, int]]) -> Records:
    """The trades between quotes, as the stream tells them."""
    quotes = np.zeros(len(rows), quote_dtype)
    quotes["type"], quotes["instrument"] = RecordType.QUOTE, 1
    return np.stack([quotes.view(market_dtype), trades(rows).view(market_dtype)], axis=1).reshape(-1)


def test_what_was_told_is_no_news_and_the_rest_is() -> None:
    rng = np.random.default_rng(3)
    told, seen = Told(), set()
    for size in rng.integers(0, 30, 60).tolist():
        rows = [tuple(row) for row in rng.integers(1, 12, (size, 3)).tolist()]
        told.add(mixed(rows))
        seen |= set(rows)
    asked = [tuple(row) for row in rng.integers(1, 15, (500, 3)).tolist()]
    news = keys(told.untold(trades(asked)))
    assert news == [key for key in asked if key not in seen]
    assert 0 < len(news) < len(asked)
    assert told.dropped == 0


def test_nothing_told_makes_everything_news() -> None:
    told = Told()
    told.add(mixed([]))
    assert keys(told.untold(trades([(1, 1, 1)]))) == [(1, 1, 1)]


def test_a_start_that_lasts_keeps_no_more_than_the_bound_and_says_what_it_forgot() -> None:
    told, most = Told(most=40), 0
    for at in range(1, 1001):
        told.add(mixed([(1, at, at)]))
        most = max(most, len(told.keys))
    assert most <= 40 + module._BLOCK
    assert told.dropped == 1000 - len(told.keys) > 900
    assert told.dropped_to == told.dropped  # ids are times here
    first = told.dropped_to + 1
    history: list[Any] = [(1, at, at) for at in range(1, 1011)] + [(2, 5, 5), (2, 5, first)]
    # of the time of which nothing is known nothing is fed: it may have been told
    assert keys(told.untold(trades(history))) == [(1, at, at) for at in range(1001, 1011)] + [(2, 5, first)]


_LOOK_UP = """
import sys
import numpy as np
from pyrt._core.types import trade_dtype
from pyrt.market.told import Keys, columns_of, untold

trades = np.zeros(20_000, trade_dtype)
trades["trade_id"] = np.arange(20_000) * 10**12
keys = Keys()
keys.add(columns_of(trades[:15_000]), 1)
before = set(sys.modules)
assert len(untold(trades[10_000:], keys)) == 5000
print(*sys.modules.keys() - before)
"""


def test_a_long_look_up_loads_no_module() -> None:
    """What is loaded while orders wait is time of the loop, and memory for the rest of the session."""
    done = subprocess.run([sys.executable, "-c", _LOOK_UP], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []
