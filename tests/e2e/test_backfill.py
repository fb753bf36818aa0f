"""What the data stream lost is filled from the venue's history: every bar is the venue's own, and says that it was filled."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.e2e.adapter import Day, Hand, trade

from pyrt._core.bars import BarAggregator
from pyrt._core.types import Flag, RecordType, gap_dtype, market_dtype, trade_dtype
from pyrt.cli.recorded import recorded_runs
from pyrt.clock import SECOND
from pyrt.journal import inspect
from pyrt.journal.recorder import Kind
from pyrt.live.replay import Replay
from pyrt.model import OrderStatus
from pyrt.venues.alpaca import history

pytestmark = pytest.mark.row("X08", "S021")
MARKET = "generated:rate=40,symbols=AAPL+MSFT"
SYMBOLS = ("AAPL", "MSFT")
SHOWN = ("start", "open_px", "high_px", "low_px", "close_px", "volume", "notional_lo", "notional_hi", "trades")


class Seconds(Hand):
    """Rests an order at every third bar of a second, cancels it at the next; keeps every bar that it was given."""

    interval = "1s"

    def __init__(self) -> None:
        super().__init__()
        self.bars: list[tuple[str, int, int, int]] = []  # symbol, start, revision, flags

    def on_bar(self, bar: Any) -> None:
        self.bars.append((bar.symbol, bar.start, bar.revision, bar.flags))
        for order in self.open_orders(bar.symbol):
            if order.status is OrderStatus.ACCEPTED:
                self.cancel(order)
        if not bar.revision and bar.start // SECOND % 3 == 0:
            self.buy(bar.symbol, 1, limit=round(float(bar.close) * 0.9, 2))


class Check:
    """The session's bars and fillings against the venue's history."""

    def __init__(self, day: Day) -> None:
        self.day = day
        self.holes = day.backfill.holes
        self.first = day.shell.now().venue // SECOND * SECOND + SECOND  # every bar from here on is whole

    def bars(self, symbol: str, upto: int) -> np.ndarray[Any, Any]:
        bars = self.day.session.desk.bars(self.day.session.instruments[symbol], SECOND, 10_000)
        return bars[(bars["start"] >= self.first) & (bars["ts_event"] <= upto)]

    async def trades(self, symbol: str, upto: int) -> np.ndarray[Any, Any]:
        instrument = self.day.session.instruments[symbol]
        return await asyncio.to_thread(self.day.link.trades, instrument, self.first, upto - 1)

    async def filled(self) -> None:
        """Wait until every hole is filled and what it amended was published."""
        await self.day.until(lambda: not self.holes.open and not self.flagged(Flag.GAP), "a filled gap")

    def flagged(self, flag: Flag) -> set[tuple[str, int]]:
        upto = self.day.shell.now().venue
        return {(s, int(bar["start"])) for s in SYMBOLS for bar in self.bars(s, upto) if bar["flags"] & flag}

    async def equal(self, upto: int) -> set[tuple[str, int]]:
        """Every bar that ended by `upto` is the venue's; returns those in which the stream did not tell everything."""
        missed = set()
        told = set(self.day.link.told)
        for symbol in SYMBOLS:
            instrument = self.day.session.instruments[symbol]
            trades = await self.trades(symbol, upto)
            made = BarAggregator((SECOND,), instrument=instrument.id)
            made.apply(trades.view(market_dtype).data)
            made.close(upto)
            expected = made.take()
            assert len(expected) > 3
            np.testing.assert_array_equal(self.bars(symbol, upto)[list(SHOWN)], expected[list(SHOWN)])
            for row in trades:
                if (instrument.id, int(row["trade_id"]), int(row["ts_event"])) not in told:
                    missed.add((symbol, int(row["ts_event"]) // SECOND * SECOND))
        return missed

    async def over(self) -> int:
        """The end of a second that is over, and whose bar is out."""
        upto = self.day.shell.now().venue // SECOND * SECOND
        await self.day.until(lambda: self.day.shell.now().venue > upto + 2 * SECOND, "the end of the last bar")
        return upto


def replayed(home: Path) -> tuple[Any, list[np.ndarray[Any, Any]]]:
    """The outcome of playing the recording again, and its market records."""
    (run,) = recorded_runs(home)
    assert run.made_of is not None
    entries = list(run.entries())
    outcome = Replay(run.made_of, inspect.show(home / "journal"), [Seconds()], None).play(entries)
    records = [e.body for e in entries if e.kind not in (Kind.RUN, Kind.EVENT, Kind.COMMAND) and e.body.dtype == market_dtype]
    return outcome, records


def test_what_was_lost_is_filled_once_and_flagged(tmp_path: Path) -> None:
    seen: dict[str, int] = {}

    async def story(day: Day) -> None:
        check = Check(day)
        await check.over()
        assert not check.holes.filled
        assert not any("trades" in r["path"] for r in (await day.truth())["requests"])  # nothing was lost: nothing is asked
        for kind, settings in (
            ("drop_data", {"how": "rst", "seconds": 1.5}),  # 406 until then
            ("mute_data", {"seconds": 600, "present": True}),
            ("drop_data", {"how": "fin"}),
        ):
            before = check.holes.closed
            await day.fault(kind, **settings)
            await day.until(lambda before=before: check.holes.closed >= before + 2, f"the filling after {kind}")
            await day.calm()
        await check.filled()
        upto = await check.over()
        missed = await check.equal(upto)
        assert missed
        flagged = check.flagged(Flag.BACKFILLED)
        assert {key for key in flagged if key[1] < upto} == missed
        assert day.session.counts["backfilled"] == check.holes.filled >= len(missed)
        assert {key[:2] for key in day.hand.bars if key[3] & Flag.BACKFILLED} >= missed  # type: ignore[attr-defined]
        seen["filled"] = check.holes.filled

    trade(tmp_path, story, hand=Seconds(), record=True, market=MARKET)
    outcome, parts = replayed(tmp_path / "home")
    assert outcome.equal, outcome.differences
    assert outcome.facts > 3
    records = np.concatenate(parts)
    trades = records[records["type"] == RecordType.TRADE].view(trade_dtype)
    keys = list(zip(*(trades[name].tolist() for name in ("instrument", "trade_id", "ts_event")), strict=True))
    assert len(set(keys)) == len(keys)
    assert np.count_nonzero(trades["flags"] & Flag.BACKFILLED) == seen["filled"]
    for number in np.unique(trades["instrument"]):
        filled = trades[(trades["instrument"] == number) & (trades["flags"] & Flag.BACKFILLED > 0)]
        assert len(filled)
    gaps = records[records["type"] == RecordType.GAP].view(gap_dtype)
    assert np.count_nonzero(gaps["flags"] & Flag.BACKFILLED) > 0


def test_a_filling_that_fails_leaves_the_flag_until_it_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_TRIES", 1)

    async def story(day: Day) -> None:
        check = Check(day)
        await check.over()
        await day.fault("server_error", on="data", status=503)
        await day.fault("drop_data", how="rst", seconds=1.0)
        await day.until(lambda: day.backfill.failures, "a question without an answer")
        await day.calm()
        await day.fault("rate_limited", on="data", seconds=600)
        failures = day.backfill.failures
        await day.until(lambda: day.backfill.failures > failures, "a question in a storm")
        flagged = check.flagged(Flag.GAP)
        assert {symbol for symbol, _ in flagged} == set(SYMBOLS)
        assert check.holes.open == 2
        assert not check.holes.filled
        await day.calm()
        await check.filled()
        assert await check.equal(await check.over())
        assert check.holes.filled

    trade(tmp_path, story, hand=Seconds(), market=MARKET)
