"""The market stage: references, flags, callbacks, timers and many instruments in one run."""

import os
import random
import resource
import subprocess
import sys
import threading

import numpy as np
import pytest

from pyrt._core.bars import BarAggregator
from pyrt._core.book import OrderBook
from pyrt._core.conditions import BarField
from pyrt._core.pipeline import Pipeline
from pyrt._core.types import (
    NO_PRICE,
    Action,
    Clock,
    Flag,
    RecordType,
    Side,
    TradingState,
    delta_dtype,
    gap_dtype,
    market_dtype,
    quote_dtype,
    ref_dtype,
    status_dtype,
    timer_dtype,
    trade_dtype,
)

CENT, ONE, SECOND, MINUTE = 10_000_000, 1_000_000_000, 1_000_000_000, 60_000_000_000
T0 = 1_700_000_040 * SECOND
DTYPES = {
    RecordType.TRADE: trade_dtype,
    RecordType.TRADE_CANCEL: trade_dtype,
    RecordType.QUOTE: quote_dtype,
    RecordType.DELTA: delta_dtype,
    RecordType.STATUS: status_dtype,
    RecordType.GAP: gap_dtype,
    RecordType.TIMER: timer_dtype,
}


def record(kind, instrument=1, **fields):
    out = np.zeros(1, DTYPES[kind])
    out["type"], out["instrument"] = kind, instrument
    for name, value in fields.items():
        out[name] = value
    return out.view(market_dtype)


def trade(ts, px=100 * ONE, qty=ONE, **more):
    return record(RecordType.TRADE, ts_event=ts, px=px, qty=qty, **more)


def quote(ts, bid=99 * ONE, ask=100 * ONE, **more):
    return record(RecordType.QUOTE, ts_event=ts, **({"bid_px": bid, "ask_px": ask, "bid_qty": 3, "ask_qty": 4} | more))


def delta(side, px, qty, **more):
    return record(RecordType.DELTA, side=side, px=px, qty=qty, **({"flags": Flag.LAST} | more))


def timer(at, clock=Clock.VENUE, **more):
    return record(RecordType.TIMER, **({"instrument": 0, "at": at, "clock": clock} | more))


def run(pipeline, *records):
    assert pipeline.run(np.concatenate(records)) == len(records)


@pytest.fixture
def pipeline():
    p = Pipeline(grace=0)
    p.add(1, CENT, intervals=[MINUTE])
    p.add(2, CENT, top_only=False)
    return p


def test_references_follow_quotes_and_trades(pipeline):
    ref = pipeline.refs[1]
    assert (ref["bid_px"], ref["ask_px"], ref["quote_ts"], ref["last_ts"], ref["flags"]) == (NO_PRICE, NO_PRICE, 0, 0, 0)
    run(pipeline, quote(T0), trade(T0 + 1, 99 * ONE))
    ref = pipeline.refs[1]
    assert ref.item() == (99 * ONE, 100 * ONE, 3, 4, T0, 99 * ONE, T0 + 1, 0, 0)
    run(pipeline, quote(T0 + 2, bid=NO_PRICE))
    assert (pipeline.refs[1]["bid_px"], pipeline.refs[1]["bid_qty"], pipeline.refs[1]["ask_qty"]) == (NO_PRICE, 0, 4)


def test_only_trades_that_may_set_a_price_move_the_last(pipeline):
    run(pipeline, trade(T0, 50 * ONE))
    for late in (
        trade(T0 + 1, 60 * ONE, flags=Flag.INELIGIBLE),
        trade(T0 + 1, 60 * ONE, conditions=ord("I")),
        trade(T0 - 1, 60 * ONE),
        trade(T0 + 1, 60 * ONE, qty=0),
    ):
        run(pipeline, late)
        assert pipeline.refs[1]["last_px"] == 50 * ONE
    run(pipeline, record(RecordType.TRADE_CANCEL, px=51 * ONE, qty=ONE))
    assert pipeline.refs[1]["last_px"] == 50 * ONE
    run(pipeline, record(RecordType.TRADE_CANCEL, px=50 * ONE, qty=ONE, ts_event=T0))
    assert (pipeline.refs[1]["last_px"], pipeline.refs[1]["last_ts"]) == (0, 0)
    assert len(pipeline.forming(1)) == 0 or pipeline.forming(1)["close_px"][0] != 50 * ONE


def test_references_follow_depth_at_the_end_of_an_event(pipeline):
    run(pipeline, delta(1, 98 * ONE, 5, instrument=2, ts_event=T0), delta(2, 99 * ONE, 6, instrument=2, ts_event=T0))
    assert pipeline.refs[2].item()[:5] == (98 * ONE, 99 * ONE, 5, 6, T0)
    run(pipeline, delta(1, 99 * ONE, 5, instrument=2, flags=0, ts_event=T0 + 1))
    assert pipeline.refs[2]["bid_px"] == 98 * ONE  # in the middle of an event nobody sees it crossed
    run(pipeline, delta(2, 99 * ONE, 0, instrument=2, ts_event=T0 + 1))
    assert pipeline.refs[2].item()[:5] == (99 * ONE, NO_PRICE, 5, 0, T0 + 1)
    assert pipeline.refs[2]["flags"] == 0
    run(pipeline, delta(2, 99 * ONE, 2, instrument=2))
    assert pipeline.refs[2]["flags"] == Flag.CROSSED


def test_crossed_quotes(pipeline):
    run(pipeline, quote(T0, bid=101 * ONE))
    assert pipeline.refs[1]["flags"] == Flag.CROSSED
    run(pipeline, quote(T0 + 1, bid=100 * ONE))
    assert pipeline.refs[1]["flags"] == 0


@pytest.mark.parametrize("state", [TradingState.HALTED, TradingState.PAUSED, TradingState.QUOTING])
def test_halts(pipeline, state):
    run(pipeline, record(RecordType.STATUS, state=state), quote(T0))
    assert pipeline.refs[1]["flags"] == Flag.HALTED
    run(pipeline, record(RecordType.STATUS, state=0))  # bands only
    assert pipeline.refs[1]["flags"] == Flag.HALTED
    run(pipeline, record(RecordType.STATUS, state=TradingState.TRADING))
    assert pipeline.refs[1]["flags"] == 0


def test_a_gap_of_the_feed_marks_everything_until_news(pipeline):
    run(pipeline, trade(T0), delta(1, 98 * ONE, 5, instrument=2), record(RecordType.GAP, instrument=0, ts_event=T0 + SECOND))
    assert pipeline.refs["flags"][:3].tolist() == [0, Flag.GAP, Flag.GAP]
    assert pipeline.book(2).flags == Flag.GAP
    assert pipeline.forming(1)["flags"] == Flag.GAP
    run(pipeline, quote(T0, flags=Flag.BACKFILLED))
    assert pipeline.refs[1]["flags"] == Flag.GAP
    run(pipeline, quote(T0 + 2 * SECOND))
    assert pipeline.refs[1]["flags"] == 0
    before = pipeline.refs[2].copy()
    run(pipeline, delta(1, 99 * ONE, 5, instrument=2))
    assert pipeline.refs[2] == before  # a book that lacks something says nothing
    run(pipeline, delta(0, 0, 0, instrument=2, action=Action.CLEAR, flags=0), delta(1, 97 * ONE, 1, instrument=2))
    assert pipeline.refs[2].item()[:4] == (97 * ONE, NO_PRICE, 1, 0)
    assert pipeline.refs[2]["flags"] == 0


def test_a_gap_of_which_all_is_known_heals_bars_alone(pipeline):
    run(pipeline, trade(T0), record(RecordType.GAP))
    assert pipeline.forming(1)["flags"] == Flag.GAP
    run(pipeline, record(RecordType.GAP, flags=Flag.BACKFILLED))
    assert pipeline.forming(1)["flags"] == 0
    assert pipeline.refs[1]["flags"] == Flag.GAP  # of the market as it is now nothing was told
    run(pipeline, quote(T0 + SECOND), record(RecordType.GAP, flags=Flag.BACKFILLED))
    assert pipeline.refs[1]["flags"] == 0
    assert pipeline.book(1).flags == Flag.TOP_ONLY


def test_backfilled_quotes_are_news_only_when_newer(pipeline):
    run(pipeline, quote(T0), record(RecordType.GAP), quote(T0 - 1, bid=1, flags=Flag.BACKFILLED | Flag.LAST))
    assert pipeline.refs[1].item()[0] == 99 * ONE
    assert pipeline.refs[1]["flags"] == Flag.GAP
    run(pipeline, quote(T0 + 1, bid=98 * ONE, flags=Flag.BACKFILLED | Flag.LAST))
    assert pipeline.refs[1].item()[0] == 98 * ONE
    assert pipeline.refs[1]["flags"] == 0


def test_stops_where_a_callback_is_due():
    p = Pipeline(grace=0)
    p.add(1, CENT, intervals=[MINUTE], wake=1 << RecordType.QUOTE | 1 << RecordType.BAR)
    p.add(2, CENT, intervals=[MINUTE], top_only=False, wake=1 << RecordType.DELTA)
    records = np.concatenate(
        [
            trade(T0),
            quote(T0),
            trade(T0 + 1, instrument=2),
            delta(1, ONE, 1, instrument=2, flags=0),
            delta(1, ONE, 1, instrument=2),
            timer(T0 + MINUTE),
            trade(T0 + MINUTE),
        ]
    )
    stops, at = [], 0
    while at < len(records):
        at = p.run(records, at)
        stops.append((at, p.due))
    assert stops == [(2, 1), (5, 1), (6, 2), (7, 0)]
    assert p.take_bars()["instrument"].tolist() == [1, 2]
    p.wake(1, 1 << RecordType.TRADE)
    assert p.run(records) == 1
    with pytest.raises(KeyError):
        p.wake(3, 0)
    with pytest.raises(IndexError):
        p.run(records, 8)


@pytest.mark.row("S026")
def test_bars_close_by_the_clock():
    p = Pipeline(grace=250)
    p.add(1, CENT, intervals=[SECOND, MINUTE])
    p.add(7, CENT, intervals=[SECOND])
    assert p.next_close == 0
    run(p, trade(T0), trade(T0 + SECOND, instrument=7))
    assert p.next_close == T0 + SECOND + 250
    run(p, timer(T0 + SECOND + 249), timer(2**62, Clock.MONO))
    assert len(p.take_bars()) == 0
    run(p, timer(p.next_close))
    assert [(b["instrument"], b["interval"]) for b in p.take_bars()] == [(1, SECOND)]
    assert p.next_close == T0 + 2 * SECOND + 250
    run(p, timer(T0 + MINUTE + 250))
    assert [(b["instrument"], b["interval"]) for b in p.take_bars()] == [(1, MINUTE), (7, SECOND)]
    assert p.next_close == 0
    run(p, trade(T0 + 1))  # late: published again after a grace
    assert p.next_close == T0 + MINUTE + 500
    run(p, timer(T0 + MINUTE + 500))
    assert p.take_bars()["revision"].tolist() == [1, 1]


def test_many_instruments_equal_each_alone():
    rng = random.Random(8)
    p = Pipeline(capacity=2, grace=0)
    ids = [1, 5, 300, 70_000]
    books = {i: OrderBook(CENT) for i in ids}
    bars = {i: BarAggregator([SECOND, MINUTE], instrument=i) for i in ids}
    for i in ids:
        p.add(i, CENT, intervals=[SECOND, MINUTE], top_only=False)
    records, ts = [], T0
    for _ in range(4_000):
        ts += rng.randint(0, SECOND // 10)
        i = rng.choice(ids)
        if rng.random() < 0.5:
            records.append(trade(ts, rng.randint(1, 999) * CENT, rng.randint(1, 99), instrument=i))
            bars[i].apply(records[-1])
        else:
            records.append(delta(rng.choice((1, 2)), rng.randint(1, 3_000) * CENT, rng.randint(0, 3), instrument=i, ts_event=ts))
            books[i].apply(records[-1])
    run(p, *records, timer(ts + MINUTE))
    out = p.take_bars()
    for i in ids:
        bars[i].close(ts + MINUTE)
        alone = bars[i].take()
        assert np.array_equal(np.sort(out[out["instrument"] == i], order=["interval", "start"])["notional_lo"],
                              np.sort(alone, order=["interval", "start"])["notional_lo"])  # fmt: skip
        assert [s.tolist() for s in p.book(i).depth(9_999)] == [s.tolist() for s in books[i].depth(9_999)]
        best = p.book(i).best_bid
        assert (p.refs[i]["bid_px"], p.refs[i]["bid_qty"]) == best


def test_references_stay_where_they_are(pipeline):
    old = pipeline.refs
    pipeline.add(9_000, CENT)
    run(pipeline, quote(T0))
    assert len(pipeline.refs) > 9_000
    assert old[1]["bid_px"] == 99 * ONE
    assert old.dtype == ref_dtype


def test_unknown_is_counted_and_harmless(pipeline):
    odd = quote(T0).copy()
    odd["type"] = 19
    run(pipeline, quote(T0, instrument=3), quote(T0, instrument=0), quote(T0, instrument=2**32 - 1), odd)
    assert pipeline.unknown == 4
    assert pipeline.run(b"") == 0


@pytest.mark.parametrize("arguments", [(0, CENT), (1, CENT), (3, 0), (262_144, CENT)])
def test_bad_additions(pipeline, arguments):
    with pytest.raises(ValueError):
        pipeline.add(*arguments)
    with pytest.raises(ValueError):
        pipeline.add(4, CENT, intervals=[0])
    pipeline.add(4, CENT, intervals=[MINUTE])  # nothing was left behind


def test_rules_hold_for_bars_and_references():
    p = Pipeline(rules={"@": BarField.VOLUME})
    p.add(1, CENT, intervals=[MINUTE])
    run(p, trade(T0, conditions=ord("@")), trade(T0, 7 * ONE, conditions=ord("I")))
    assert p.refs[1]["last_px"] == 7 * ONE
    assert p.forming(1)["close_px"] == 7 * ONE


def test_a_book_outlives_its_pipeline():
    p = Pipeline()
    p.add(1, CENT)
    run(p, quote(T0))
    book = p.book(1)
    del p
    assert book.best_ask == (100 * ONE, 4)
    assert book.flags == Flag.TOP_ONLY


def test_depth_sent_to_a_top_only_instrument_is_counted(pipeline):
    run(pipeline, quote(T0), delta(Side.BUY, ONE, 1, ts_event=T0 + 1))
    assert pipeline.book(1).counters["refused"] == 1
    assert pipeline.refs[1].item()[:5] == (99 * ONE, 100 * ONE, 3, 4, T0)


def test_runs_without_the_gil(pipeline):
    records = np.concatenate([trade(T0 + i) for i in range(2_000)] * 20)
    seen = []
    pipeline.run(records)  # warm
    thread = threading.Thread(target=lambda: seen.append(pipeline.run(records)))
    thread.start()
    while thread.is_alive():
        try:
            pipeline.add(99, CENT)
            break
        except RuntimeError:
            seen.append("busy")
    thread.join()
    assert 40_000 in seen


@pytest.mark.row("S030")
def test_ten_thousand_top_only_instruments_are_cheap():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    p = Pipeline(capacity=10_001)
    for i in range(1, 10_001):
        p.add(i, CENT)
    every = np.concatenate([quote(T0)] * 10_000)
    every["instrument"] = np.arange(1, 10_001)
    assert p.run(every) == 10_000
    assert p.refs["bid_px"][1:].tolist() == [99 * ONE] * 10_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB: under 4 KiB each


def test_a_batch_makes_no_object_per_event(pipeline):
    records = np.concatenate([trade(T0), quote(T0), delta(1, 98 * ONE, 5, instrument=2)] * 5_000)
    pipeline.run(records)
    before = sys.getallocatedblocks()
    pipeline.run(records)
    assert sys.getallocatedblocks() - before < 50


def test_a_pipeline_that_the_garbage_collector_finds_lets_its_memory_go_once():
    """Its books and bars lie in memory of another object, which the collector may clear first. In a process of its own."""
    code = (
        "import gc\n"
        "from pyrt._core.pipeline import Pipeline\n"
        "for _ in range(50):\n"
        "    ring = [Pipeline()]\n"
        "    ring[0].add(1, 10_000_000, intervals=(10**9,), keep=64)\n"
        "    ring.append(ring)\n"
        "    del ring\n"
        "    gc.collect()\n"
    )
    env = {**os.environ, "MALLOC_PERTURB_": "165"}  # what was freed is not what it was
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
