"""A start that lasts: what the stream told meanwhile is bounded, and a bar that cannot be made whole says so."""

import asyncio
from typing import Any

import numpy as np
import pytest
from tests.live.test_shell import Buyer, Live, on_loop

from pyrt._core.types import Flag, RecordType, bar_dtype, market_dtype, trade_dtype
from pyrt.clock import SECOND, VenueClock
from pyrt.live.warm_up import warm_up
from pyrt.market.told import Told
from pyrt.model import Alarmed
from pyrt.ports import StreamState


class Archive:
    """Has one trade of each second of its life, numbered by it, and no bars."""

    def __init__(self, first: int) -> None:
        self.first = first

    def warm_up(self, *arguments: Any) -> np.ndarray[Any, Any]:
        return np.empty(0, bar_dtype)

    def trades(self, instrument: Any, start: int, end: int) -> np.ndarray[Any, Any]:
        times = [t for t in range(self.first, end + 1, SECOND) if t >= start]
        found = np.zeros(len(times), trade_dtype)
        found["type"], found["instrument"], found["ts_event"] = RecordType.TRADE, instrument.id, times
        found["px"], found["qty"], found["trade_id"] = 10**9, 10**9, [t // SECOND for t in times]
        return found


class Hours(Buyer):
    interval = "1h"
    warmup = 1

    def on_bar(self, bar: Any) -> None:
        self.log.append((bar.trades, bool(bar.flags & Flag.GAP)))


@pytest.mark.row("S021")
@pytest.mark.parametrize(("most", "seen"), [(1_000_000, [(61, False)]), (0, [(16 + 15, True)])])
def test_the_bar_of_a_start_is_whole_or_says_that_it_is_not(
    most: int, seen: list[tuple[int, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The venue had 61 trades since the hour began; of 16 that the stream told, eight are forgotten."""
    monkeypatch.setattr("pyrt.market.told._BLOCK", 8)

    async def body() -> None:
        strategy = Hours()
        live = Live(strategy)
        live.shell.trades = Told(most)
        alarms: list[str] = []
        live.shell.listeners.append(lambda m: alarms.append(m.code) if isinstance(m, Alarmed) else None)
        hour = 3600 * SECOND
        now = live.shell.now()
        first = now.venue // hour * hour + hour
        live.shell.clock = VenueClock(epoch=first + 60 * SECOND, origin=now.mono)
        archive = Archive(first)
        trades = archive.trades(live.session.instruments["AAPL"], first, first + 59 * SECOND)
        live.shell.handle_feed(trades[30:46].view(market_dtype), np.empty(0, bar_dtype))
        live.shell.handle(StreamState(stream="data", up=True))
        await warm_up(live.session, live.shell, archive, asyncio.Event())
        assert live.shell.trades is None
        live.start()
        live.shell.close_bars(first + 2 * hour)
        assert strategy.log == seen
        assert ("BAR_INCOMPLETE" in alarms) == seen[0][1]

    on_loop(body)
