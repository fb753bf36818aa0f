"""The generated market: the same bytes however it is asked, and a market that could be one."""

import random

import numpy as np
import pytest

from pyrt._core.bars import BarAggregator
from pyrt._core.types import Flag, RecordType, market_dtype, quote_dtype, trade_dtype
from pyrt.errors import ConfigError
from pyrt.model import Instrument
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.market.corrections import revise
from pyrt.venues.sim.market.market import DEFAULT_START, bars_of, merge_bars, open_market

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY = 1440 * MINUTE
S = DEFAULT_START


def kind(rows, which, dtype):
    return rows[rows["type"] == int(which)].view(dtype)


@pytest.fixture(scope="module")
def minutes():
    """Five minutes after the opening."""
    rows = open_market("generated:corrections=0.001", 1).advance(S + 5 * MINUTE - 1)
    rows.setflags(write=False)
    return rows


@pytest.fixture(scope="module")
def shares(minutes):
    """The quotes and first prints of shares in them."""
    return minutes[(minutes["instrument"] < 100) & (minutes["type"] <= 2) & (minutes["flags"] & int(Flag.CORRECTED) == 0)]


def test_slices_seeds_and_restarts():
    whole = open_market("generated:rate=5", 7).advance(S + 3 * MINUTE)
    rng, sliced, at = random.Random(1), open_market("generated:rate=5", 7), S
    parts = []
    while at < S + 3 * MINUTE:
        at = min(at + rng.choice([1, 1000, SECOND, 7 * SECOND, 61 * SECOND]), S + 3 * MINUTE)
        due = sliced.next_event
        part = sliced.advance(at)
        assert (due <= at) == bool(len(part))
        assert not len(part) or part["ts_event"][0] == due
        parts.append(part)
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    later = open_market("generated:rate=5", 7, S + 90 * SECOND).advance(S + 3 * MINUTE)
    assert later.tobytes() == whole[whole["ts_event"] >= S + 90 * SECOND].tobytes()
    assert open_market("generated:rate=5", 8).advance(S + MINUTE).tobytes() != whole[whole["ts_event"] <= S + MINUTE].tobytes()
    alone = open_market("generated:rate=5,symbols=TSLA", 7).advance(S + 3 * MINUTE)
    assert alone.tobytes() == whole[whole["instrument"] == 6].tobytes()


def test_what_is_due_at_an_instant_comes_at_it():
    market = open_market("generated:rate=5", 7)
    for _ in range(50):
        due = market.next_event
        assert market.advance(due)["ts_event"].tolist()[-1] == due < market.next_event
        assert len(market.advance(due)) == 0


def test_records_are_in_order_and_whole(minutes, shares):
    assert minutes.dtype == market_dtype
    assert (np.diff(minutes["ts_event"]) >= 0).all()
    assert minutes["ts_event"][0] >= S
    kinds = (RecordType.TRADE, RecordType.QUOTE, RecordType.DELTA, RecordType.TRADE_CANCEL)
    assert set(minutes["type"].tolist()) == {int(kind) for kind in kinds}
    trades = kind(shares, RecordType.TRADE, trade_dtype)
    for instrument in range(1, 7):
        own = trades[trades["instrument"] == instrument]
        assert len(np.unique(own["trade_id"])) == len(own)
    assert (trades["qty"] > 0).all()
    assert ((trades["qty"] % (100 * SECOND) != 0) == (trades["flags"] == int(Flag.INELIGIBLE))).mean() > 0.99
    assert (trades["conditions"] == ord("@")).mean() > 0.7


def test_quotes_never_cross_and_spreads_are_a_few_ticks(shares):
    quotes = kind(shares, RecordType.QUOTE, quote_dtype)
    spread = quotes["ask_px"] - quotes["bid_px"]
    assert spread.min() == 10_000_000
    assert spread.max() <= 50_000_000
    assert (quotes["bid_px"] % 10_000_000 == 0).all()
    assert (quotes["bid_qty"] % (100 * SECOND) == 0).all()
    assert quotes["bid_qty"].min() >= 100 * SECOND
    assert quotes["ask_qty"].min() >= 100 * SECOND


def test_prints_happen_at_the_standing_quote_for_at_most_its_size(shares):
    for instrument in range(1, 7):
        own = shares[shares["instrument"] == instrument]
        own = own[(own["type"] != int(RecordType.TRADE)) | ~np.isin(own.view(trade_dtype)["conditions"], [ord("O"), ord("6")])]
        standing = np.maximum.accumulate(np.where(own["type"] == int(RecordType.QUOTE), np.arange(len(own)), 0))
        at = own["type"] == int(RecordType.TRADE)
        trades, quotes = own[at].view(trade_dtype), own[standing[at]].view(quote_dtype)
        lifts, hits = trades["px"] == quotes["ask_px"], trades["px"] == quotes["bid_px"]
        assert (lifts ^ hits).all()
        assert (trades["qty"] <= np.where(lifts, quotes["ask_qty"], quotes["bid_qty"])).all()
        assert 0.4 < lifts.mean() < 0.6


def test_rates_and_daily_moves_are_plausible():
    market = open_market("generated:rate=20,symbols=AAPL+SPY", 3)
    a_minute = len(market.history_quotes("AAPL", S, S + MINUTE - 1)) + len(market.history_trades("AAPL", S, S + MINUTE - 1))
    noon = S + 195 * MINUTE
    at_noon = len(market.history_quotes("AAPL", noon, noon + MINUTE - 1)) + len(
        market.history_trades("AAPL", noon, noon + MINUTE - 1)
    )
    assert 20 < a_minute / 60 < 80
    assert at_noon < 0.6 * a_minute
    tape = market._tapes["AAPL"]
    closes = np.array([tape._close(day) for day in range(18262, 18262 + 2000)])
    assert 0.011 < np.std(np.diff(closes)) < 0.015
    assert np.abs(closes).max() < 0.5  # within -40 % and +65 % of its base


def test_the_path_is_continuous_over_minutes_days_and_weeks():
    market = open_market("generated:rate=2,symbols=AAPL", 3, S + 2 * DAY)
    midnight = (S // DAY + 1) * DAY
    for edge in (S + MINUTE, midnight, midnight + DAY):
        before = market.history_quotes("AAPL", edge - MINUTE, edge - 1).view(quote_dtype)
        after = market.history_quotes("AAPL", edge, edge + MINUTE - 1).view(quote_dtype)
        assert abs(int(after["bid_px"][0]) - int(before["bid_px"][-1])) < 150_000_000


def test_history_is_the_same_market_earlier():
    running = open_market("generated:rate=5", 2, S - 2 * MINUTE)
    past = running.advance(S - 1)
    later = open_market("generated:rate=5", 2, S)
    for number, symbol in enumerate(("AAPL", "MSFT", "SPY"), 1):
        own = past[past["instrument"] == number]
        for which, history in ((RecordType.TRADE, later.history_trades), (RecordType.QUOTE, later.history_quotes)):
            want = own[own["type"] == int(which)]
            assert history(symbol, S - 2 * MINUTE, S - 1).tobytes() == want.tobytes()
    first = int(past[past["instrument"] == 1]["ts_event"][0])
    assert len(later.history_quotes("AAPL", first, first)) == 1  # both ends count
    assert len(later.history_trades("NOPE", S - MINUTE, S)) == 0
    assert len(later.history_trades("AAPL", S - 30 * DAY, S - 20 * DAY)) == 0
    assert later.next_event >= S


@pytest.mark.parametrize("interval", [10 * SECOND, MINUTE, 5 * MINUTE])
def test_history_bars_equal_the_pipelines(interval):
    market = open_market("generated:rate=3,corrections=0.01,symbols=AAPL", 5)
    span = (S, S + 20 * MINUTE - 1)
    trades = revise(market.history_trades("AAPL", *span), market.history_corrections("AAPL", *span))
    pipeline = BarAggregator([interval], instrument=1)
    pipeline.apply(trades)
    pipeline.close(S + 20 * MINUTE)
    want = pipeline.take()
    got = market.history_bars("AAPL", S, S + 20 * MINUTE - interval, interval)
    assert len(got) == len(want) > 3
    fields = (
        "start",
        "interval",
        "open_px",
        "high_px",
        "low_px",
        "close_px",
        "volume",
        "notional_lo",
        "notional_hi",
        "trades",
        "ts_event",
    )
    for name in fields:
        assert got[name].tolist() == want[name].tolist(), name


def test_bars_of_prints_that_may_not_set_a_price_alone_do_not_exist():
    trades = np.zeros(3, dtype=trade_dtype)
    trades["type"], trades["instrument"] = int(RecordType.TRADE), 1
    trades["ts_event"], trades["px"], trades["qty"] = [1, 2, MINUTE + 1], [5, 9, 7], [10, 20, 30]
    trades["flags"] = [0, int(Flag.INELIGIBLE), int(Flag.INELIGIBLE)]
    bars = bars_of(trades.view(market_dtype), MINUTE)
    assert [(int(b["open_px"]), int(b["high_px"]), int(b["volume"]), int(b["trades"]), int(b["notional_lo"])) for b in bars] == [
        (5, 5, 30, 2, 230)
    ]
    assert len(bars_of(trades[:0].view(market_dtype), MINUTE)) == len(merge_bars(bars[:0], MINUTE)) == 0


def test_orders_meet_the_generated_market():
    market = open_market("generated:symbols=AAPL", 1)
    exchange = Exchange([Instrument(id=1, symbol="AAPL")])
    exchange.on_market(market.advance(S + SECOND))
    exchange.submit({"symbol": "AAPL", "qty": "900", "side": "buy", "type": "market", "time_in_force": "day"}, S + SECOND)
    for second in range(2, 30):
        exchange.on_market(market.advance(S + second * SECOND))
    kinds = [u["event"] for _, u in exchange.take_updates()]
    assert kinds == ["new", *["partial_fill"] * (len(kinds) - 2), "fill"]
    assert len(kinds) > 2
    assert exchange.position("AAPL")["qty"] == "900"


@pytest.mark.parametrize(
    "spec",
    [
        "nowhere",
        "generated:rate=0",
        "generated:rate=x",
        "generated:symbols=NOPE",
        "generated:colour=red",
        "generated:days=0",
        "generated:days=1001",
    ],
)
def test_a_market_that_cannot_be_says_how_to_mend_it(spec):
    with pytest.raises(ConfigError, match="use"):
        open_market(spec, 1)
    with pytest.raises(ConfigError, match="2020"):
        open_market("generated", 1, 10**18)
