"""History joined to the live stream, on a real simulated venue: no bar missing, none twice, each as the venue has it."""

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.reference.room import LOOSE, SECOND

from pyrt._core.bars import BarAggregator
from pyrt._core.types import bar_dtype, market_dtype, trade_dtype
from pyrt.calendar import CLOSING_PRINTS, Calendar
from pyrt.clock import DAY
from pyrt.config import Secret
from pyrt.errors import ConfigError, DataError, NotAuthorized
from pyrt.execution import Settings
from pyrt.live import Plan, Runner
from pyrt.model import Instrument
from pyrt.strategies import Strategy
from pyrt.venues.alpaca.history import timeframe
from pyrt.venues.alpaca.keys import Keys
from pyrt.venues.alpaca.link import Addresses, AlpacaLink
from pyrt.venues.sim.actions import Action
from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.market.corrections import revise
from pyrt.venues.sim.market.market import open_market

MINUTE = 60 * SECOND


def link_to(venue: SimulatedVenue, secret: str = "") -> AlpacaLink:
    stream = "ws" + venue.url.removeprefix("http")
    addresses = Addresses(trading=venue.url, data=venue.url, stream=stream, updates=stream)
    return AlpacaLink("sim", addresses, Keys(Secret(venue.key), Secret(secret or venue.secret)))


class Watcher(Strategy):
    """Keeps every bar it is told, and what history held at the start."""

    symbols = ("SPY",)
    warmup = 30
    want = 4
    runner: Any = None

    def on_start(self) -> None:
        self.before = self.history(1000)
        self.told: dict[int, tuple[int, ...]] = {}
        self.first: list[int] = []

    def on_bar(self, bar: Any) -> None:
        if bar.revision == 0:
            self.first.append(bar.start)
        self.told[bar.start] = (bar.open_px, bar.high_px, bar.low_px, bar.close_px, bar.volume_qty)
        if len(self.first) >= self.want:
            self.runner.stop("enough")


def rows(bars: np.ndarray[Any, Any]) -> dict[int, tuple[int, ...]]:
    names = ("open_px", "high_px", "low_px", "close_px", "volume")
    return {int(b["start"]): tuple(int(b[n]) for n in names) for b in bars}


def watch(tmp_path: Path, interval: str, speed: float) -> tuple[Watcher, dict[int, tuple[int, ...]]]:
    strategy = Watcher(interval=interval)
    # A print before the first that was heard may be taken back unseen: none is here.
    with simulated_venue(speed=speed, market="generated:corrections=0") as venue:
        link = link_to(venue)
        plan = Plan(
            link=link,
            directory=tmp_path,
            strategies=[strategy],
            limits=LOOSE,
            settings=Settings(rate=link.clock.rate),
            record=False,
            watchdog=False,
            durability="os",
        )

        async def body() -> None:
            strategy.runner = Runner(plan)
            summary = await asyncio.wait_for(strategy.runner.run(), 100)
            assert summary.failed == ""

        asyncio.run(body())
        step = {"1s": SECOND, "1m": MINUTE}[interval]
        everything = [*strategy.before["start"].tolist(), *strategy.told]
        truth = BarAggregator((step,))
        truth.apply(
            link.trades(Instrument(id=1, symbol="SPY", lot=1), min(everything), max(everything) + step - 1).view(market_dtype)
        )
        truth.close(max(everything) + step)
        return strategy, rows(truth.take())


@pytest.mark.parametrize(("interval", "speed"), [("1s", 1.0), ("1m", 60.0)])
def test_history_ends_where_the_live_bars_begin(tmp_path: Path, interval: str, speed: float) -> None:
    strategy, truth = watch(tmp_path, interval, speed)
    step = {"1s": SECOND, "1m": MINUTE}[interval]
    before = strategy.before
    assert before.dtype == bar_dtype
    assert len(before) >= 20
    assert set(before["interval"].tolist()) == {step}
    assert set(before["instrument"].tolist()) == {1}
    starts = [*before["start"].tolist(), *strategy.first]
    assert starts == sorted(set(starts))  # none twice, none out of order
    assert starts == [s for s in truth if s <= starts[-1]]  # none missing
    held = rows(before) | strategy.told
    settled = starts[:-2]  # what came late to the last ones is not told any more
    assert {s: held[s] for s in settled} == {s: truth[s] for s in settled}
    assert strategy.first[0] in settled


def test_what_was_taken_back_is_no_trade() -> None:
    begin, market = 1_772_461_800_000_000_000, "generated:rate=40,corrections=0.01,symbols=SPY"
    with simulated_venue(market=market, start=begin + 3 * MINUTE) as venue:
        trades = link_to(venue).trades(Instrument(id=1, symbol="SPY", lot=1), begin, begin + MINUTE)
    past = open_market(market, 0, begin)
    told, late = past.history_trades("SPY", begin, begin + MINUTE), past.history_corrections("SPY", begin, begin + MINUTE)
    want = revise(told, late).view(trade_dtype)
    assert trades[["ts_event", "trade_id", "px"]].tolist() == want[["ts_event", "trade_id", "px"]].tolist()
    assert len(want) < len(told)


@pytest.mark.row("X12")
def test_bars_of_days_up_to_yesterday_under_the_times_of_their_sessions() -> None:
    """At the open of the Friday after Thanksgiving the last one is Wednesday's, not Tuesday's."""
    calendar = Calendar()
    start = calendar.sessions(date(2026, 11, 27), date(2026, 11, 27))[0].open
    with simulated_venue(market="generated:rate=20,symbols=SPY", start=start + MINUTE, calendar=True) as venue:
        bars = link_to(venue).warm_up(Instrument(id=1, symbol="SPY", lot=1), DAY, 3, start)
    days = calendar.sessions(date(2026, 11, 23), date(2026, 11, 25))
    assert bars["start"].tolist() == [day.open for day in days]
    assert bars["ts_event"].tolist() == [day.close + CLOSING_PRINTS for day in days]
    assert bars["interval"].tolist() == [DAY] * 3


@pytest.mark.parametrize("interval", [MINUTE, DAY])
def test_a_history_across_a_split_joins_the_prices_of_now(interval: int) -> None:
    """An average over it would be of two different shares."""
    split = Action(kind="forward_split", symbol="SPY", ex_date=date(2026, 3, 4), new_rate=4)
    with simulated_venue(market="generated:rate=4,symbols=SPY", start=split.ex + 3600 * SECOND, actions=(split,)) as venue:
        link = link_to(venue)
        bars = link.warm_up(Instrument(id=1, symbol="SPY", lot=1), interval, 80 if interval == MINUTE else 4, link.clock.at(0))
        recent = link.trades(Instrument(id=1, symbol="SPY", lot=1), split.ex, split.ex + MINUTE)
    assert bars["start"][0] < split.ex
    assert 0.5 < bars["close_px"].min() / bars["close_px"].max() <= bars["close_px"].max() / recent["px"].min() < 2


def test_what_a_link_refuses() -> None:
    with simulated_venue() as venue:
        with pytest.raises(NotAuthorized, match="refused the keys"):
            link_to(venue, secret="wrong")
        link = link_to(venue)
        with pytest.raises(ConfigError, match="no symbol 'NOSUCH'"):
            link.instruments(["NOSUCH"], 1)
        [spy] = link.instruments(["SPY"], 7)
        assert (spy.id, spy.symbol) == (7, "SPY")
        assert link.account_id
        assert link.measure().clock.rate == link.clock.rate
        assert len(link.trades(spy, 1, 2)) == 0
        now = link.clock.at(0) // MINUTE * MINUTE
        bars = link.warm_up(spy, MINUTE, 5, now + 10 * MINUTE)
        assert (np.diff(bars["start"]) > 0).all()
        assert len(bars) <= 5


@pytest.mark.parametrize(
    ("interval", "text"),
    [(MINUTE, "1Min"), (59 * MINUTE, "59Min"), (60 * MINUTE, "1Hour"), (23 * 60 * MINUTE, "23Hour"), (24 * 60 * MINUTE, "1Day")],
)
def test_timeframes(interval: int, text: str) -> None:
    assert timeframe(interval) == text


@pytest.mark.parametrize("interval", [0, SECOND, 90 * MINUTE, MINUTE + 1, 48 * 60 * MINUTE])
def test_no_timeframe(interval: int) -> None:
    with pytest.raises(DataError):
        timeframe(interval)
