"""Bars against the whole set of trades, pandas, DST, half days, and a venue's own minutes."""

import random
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import bars as reference
from tests.reference.bars import Trade

from pyrt._core.bars import BarAggregator
from pyrt._core.conditions import CONDITION_RULES, BarField
from pyrt._core.types import NO_PRICE, Clock, Flag, RecordType, gap_dtype, timer_dtype, trade_dtype

SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
T0 = 1_700_000_000 * SECOND - 1_700_000_000 * SECOND % DAY
NEW_YORK = ZoneInfo("America/New_York")


def records(trades, kind=RecordType.TRADE, conditions="", flags=0):
    out = np.zeros(len(trades), trade_dtype)
    out["type"], out["instrument"], out["flags"] = kind, 1, flags
    out["conditions"] = int.from_bytes(conditions.encode(), "little")
    for name, column in (("ts_event", "ts"), ("px", "px"), ("qty", "qty"), ("trade_id", "id")):
        out[name] = [getattr(t, column) for t in trades]
    return out


def timer(at, clock=Clock.VENUE):
    out = np.zeros(1, timer_dtype)
    out["type"], out["at"], out["clock"] = RecordType.TIMER, at, clock
    return out


def gap(from_ts, to_ts, flags=0):
    out = np.zeros(1, gap_dtype)
    out["flags"] = flags
    out["type"], out["from_ts"], out["to_ts"], out["ts_event"] = RecordType.GAP, from_ts, to_ts, to_ts
    return out


def row(bar):
    notional = (int(bar["notional_hi"]) << 64) + int(bar["notional_lo"])
    names = ("start", "ts_event", "open_px", "high_px", "low_px", "close_px", "volume")
    return reference.Bar(*(int(bar[name]) for name in names), notional, int(bar["trades"]))


def latest(bars, interval):
    """The last revision of each bar of one interval."""
    out = {}
    for bar in bars[bars["interval"] == interval]:
        known = out.get(int(bar["start"]))
        assert (known is None and bar["revision"] == 0) or bar["revision"] == known["revision"] + 1
        out[int(bar["start"])] = bar
    return [row(out[start]) for start in sorted(out) if out[start]["trades"]]


def random_trades(rng, n, mean_gap, start=T0):
    ts, px = start, 100 * SECOND
    out = []
    for i in range(n):
        ts += int(rng.expovariate(1 / mean_gap)) + 1
        px += rng.randint(-5, 5) * 10_000_000
        out.append(Trade(ts, px, rng.randint(1, 10**12), id=i + 1))
    return out


@pytest.mark.row("S022")
def test_many_intervals_equal_the_reference_and_pandas():
    intervals = [SECOND, 5 * SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, DAY]
    rng = random.Random(1)
    trades = random_trades(rng, 6_000, 2 * SECOND)
    trades += random_trades(rng, 6_000, 9 * SECOND, trades[-1].ts + 3 * HOUR)  # a hole, then over midnight
    bars = BarAggregator(intervals)
    for batch in range(0, len(trades), 500):
        bars.apply(records(trades[batch : batch + 500]))
    bars.close(trades[-1].ts + 2 * DAY)
    out = bars.take()
    frame = pd.DataFrame(trades, index=pd.to_datetime([t.ts for t in trades]))
    for interval in intervals:
        ours = latest(out, interval)
        assert ours == reference.bars(trades, reference.epoch(interval))
        theirs = frame.resample(pd.Timedelta(interval)).agg({"px": ["first", "max", "min", "last", "count"], "qty": "sum"})
        theirs = theirs[theirs[("px", "count")] > 0]
        assert [bar.start for bar in ours] == [stamp.as_unit("ns").value for stamp in theirs.index]
        columns = ["first", "max", "min", "last", "count"]
        assert [[b.open, b.high, b.low, b.close, b.trades] for b in ours] == theirs["px"][columns].to_numpy().tolist()
        assert [b.volume for b in ours] == theirs[("qty", "sum")].tolist()


@pytest.mark.row("S022")
@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 3), st.booleans())
def test_late_trades_and_cancels_come_to_the_reference(seed, grace, cancels):
    """Shuffled within twelve windows of the shortest interval, closed at random moments, some taken back."""
    rng = random.Random(seed)
    intervals = [SECOND, 7 * SECOND, MINUTE]
    trades = [t._replace(fields=rng.choice((7, 7, 7, 1))) for t in random_trades(rng, 150, SECOND // 3)]
    arrivals = sorted(trades, key=lambda t: t.ts + rng.randint(0, 5 * SECOND))
    bars = BarAggregator(intervals, grace=grace * SECOND // 4, keep=64)
    dead = set()
    for i, trade in enumerate(arrivals):
        bars.apply(records([trade], flags=0 if trade.fields == 7 else Flag.INELIGIBLE))
        if rng.random() < 0.3:
            bars.close(trade.ts + rng.randint(-SECOND, SECOND))
        if cancels and rng.random() < 0.05:
            dead.add(rng.randint(0, i))
            bars.apply(records([arrivals[k] for k in dead if k <= i][-1:], RecordType.TRADE_CANCEL))
    for k in dead:  # again: those that were not the last of their round; a second cancel of a trade finds nothing
        bars.apply(records([arrivals[k]], RecordType.TRADE_CANCEL))
    bars.close(trades[-1].ts + HOUR)
    out = bars.take()
    left = [t for i, t in enumerate(arrivals) if i not in dead]
    for interval in intervals:
        ours = [b for b in latest(out, interval) if b.open != NO_PRICE]
        assert ours == reference.bars(left, reference.epoch(interval))
    assert bars.counters["too_late"] == bars.counters["inexact"] == 0
    assert bars.next_close == 0


def one(ts, px=100, qty=1, **more):
    return records([Trade(ts, px, qty)], **more)


@pytest.mark.row("S026")
def test_closes_by_the_clock_when_no_trade_comes():
    bars = BarAggregator([MINUTE], grace=250)
    assert bars.next_close == 0
    bars.apply(one(T0 + 5))
    assert bars.next_close == T0 + MINUTE + 250
    bars.close(T0 + MINUTE + 249)
    assert len(bars.take()) == 0
    bars.apply(timer(T0 + MINUTE + 250, Clock.MONO))
    assert len(bars.take()) == 0
    bars.apply(timer(T0 + MINUTE + 250))
    bar = bars.take()
    assert [row(b) for b in bar] == [reference.Bar(T0, T0 + MINUTE, 100, 100, 100, 100, 1, 100, 1)]
    assert (bar["flags"][0], bar["revision"][0], bar["interval"][0], bar["instrument"][0]) == (0, 0, MINUTE, 0)
    assert bars.next_close == 0


def test_the_next_trade_does_not_close():
    bars = BarAggregator([MINUTE], grace=SECOND)
    bars.apply(one(T0))
    bars.apply(one(T0 + MINUTE))
    assert len(bars.take()) == 0
    assert [b["trades"] for b in bars.forming()] == [1, 1]
    bars.apply(one(T0 + 2, px=90))  # within the grace
    bars.close(T0 + MINUTE + SECOND)
    bar = bars.take()
    assert bar["low_px"].tolist() == [90]
    assert bar["flags"].tolist() == [0]
    assert bars.next_close == T0 + 2 * MINUTE + SECOND


def test_a_late_trade_amends_once_a_grace():
    bars = BarAggregator([MINUTE], grace=SECOND)
    bars.apply(one(T0 + 10))
    bars.close(T0 + MINUTE + SECOND)
    assert bars.take()["revision"].tolist() == [0]
    bars.apply(one(T0 + 20, px=70))
    bars.apply(one(T0 + 5, px=120))
    assert bars.next_close == T0 + MINUTE + 2 * SECOND
    bars.close(bars.next_close)
    again = bars.take()
    assert again["revision"].tolist() == [1]
    assert again["flags"][0] == Flag.AMENDED | Flag.LATE
    assert row(again[0])[2:6] == (120, 120, 70, 70)
    assert row(again[0]).trades == 3


def test_nothing_is_lost_when_nobody_closes():
    trades = [Trade(T0 + i * SECOND, 100 + i, 1) for i in range(1_000)]
    bars = BarAggregator([SECOND], keep=4)
    bars.apply(records(trades))
    assert len(bars.take()) == 996
    bars.close(T0 + HOUR)
    assert bars.take()["open_px"].tolist() == [1096, 1097, 1098, 1099]


def test_too_late_is_counted():
    bars = BarAggregator([SECOND, HOUR], keep=4)
    bars.apply(records([Trade(T0 + i * SECOND, 100, 1) for i in range(10)]))
    bars.apply(one(T0))
    assert bars.counters["too_late"] == 1  # of the seconds; the hour takes it
    bars.close(T0 + HOUR)
    assert [b["trades"] for b in bars.take() if b["interval"] == HOUR] == [11]


def test_bad_trades_are_refused():
    bars = BarAggregator([SECOND])
    bars.apply(records([Trade(-1, 1, 1), Trade(T0, 1, 0), Trade(T0, 1, -1), Trade(T0, NO_PRICE, 1), Trade(2**63 - 1, 1, 1)]))
    assert bars.counters["refused"] == 5
    assert len(bars.forming()) == 0


def test_sums_are_exact_in_128_bits():
    big = 4 * 10**18
    bars = BarAggregator([MINUTE])
    bars.apply(records([Trade(T0, big, big // 2), Trade(T0 + 1, big, big // 2), Trade(T0 + 2, -5, 3)]))
    assert row(bars.forming()[0]).notional == big * big - 15
    bars.apply(one(T0 + 3, px=1, qty=2**63 - 1))
    assert bars.counters["overflowed"] == 1
    assert bars.forming()["volume"][0] == 2**63 - 1


@pytest.mark.parametrize(
    "arguments", [{"intervals": []}, {"intervals": [0]}, {"intervals": [1] * 9}, {"intervals": [1], "grace": -1}]
)
def test_arguments_out_of_range(arguments):
    with pytest.raises(ValueError):
        BarAggregator(**arguments)


# ---------------------------------------------------------------------------------------------------- conditions
@pytest.mark.parametrize("letter", ["@", " ", "F", "X", "%"])
def test_ordinary_conditions_count_for_everything(letter):
    bars = BarAggregator([MINUTE])
    bars.apply(one(T0, conditions=letter))
    assert row(bars.forming()[0])[2:] == (100, 100, 100, 100, 1, 100, 1)


@pytest.mark.row("S022")
@pytest.mark.parametrize("letter", list("BWCNRV74PTUMQ9I"))
def test_special_conditions_do_not_set_the_close(letter):
    bars = BarAggregator([MINUTE])
    bars.apply(one(T0, px=100))
    bars.apply(one(T0 + 1, px=500, qty=10, conditions="@" + letter))
    bar = row(bars.forming()[0])
    fields = CONDITION_RULES[letter]
    assert (bar.open, bar.low, bar.close) == (100, 100, 100)
    assert bar.high == (500 if fields & BarField.RANGE else 100)
    assert bar.volume == (11 if fields & BarField.VOLUME else 1)


def test_only_odd_lots_are_no_bar():
    bars = BarAggregator([MINUTE, HOUR])
    bars.apply(one(T0, conditions="@I"))
    bars.close(T0 + MINUTE)
    assert len(bars.take()) == 0
    assert bars.counters["unpriced"] == 1
    bars.apply(one(T0 + MINUTE))
    bars.close(T0 + HOUR)
    assert [(b["interval"], b["volume"]) for b in bars.take()] == [(MINUTE, 1), (HOUR, 2)]


def test_rules_are_data():
    bars = BarAggregator([MINUTE], rules={"I": BarField.ALL, "@": BarField.NONE})
    bars.apply(one(T0, px=7, conditions="I"))
    bars.apply(one(T0 + 1, px=9, conditions="@"))
    assert row(bars.forming()[0])[2:] == (7, 7, 7, 7, 1, 7, 1)
    with pytest.raises(ValueError, match="one letter"):
        BarAggregator([MINUTE], rules={"IX": BarField.ALL})


# ---------------------------------------------------------------------------------------------------- cancels and gaps
def test_a_cancel_beyond_memory_says_so():
    trades = [Trade(T0 + i, 100 + i, 1, id=i + 1) for i in range(10)]
    bars = BarAggregator([MINUTE], keep_trades=4)
    bars.apply(records(trades))
    bars.apply(records([trades[0]], RecordType.TRADE_CANCEL))
    assert bars.counters["unmatched"] == 1
    bars.apply(records([trades[9]], RecordType.TRADE_CANCEL))  # the high and the close: six of the others are forgotten
    bar = bars.forming()[0]
    assert row(bar)[6:] == (9, sum(100 + i for i in range(9)), 9)
    assert bar["flags"] == Flag.CORRECTED | Flag.GAP
    assert bars.counters["inexact"] == 1


def test_a_bar_that_loses_all_its_trades_is_taken_back():
    bars = BarAggregator([MINUTE])
    trade = Trade(T0, 100, 5, id=3)
    bars.apply(records([trade]))
    bars.close(T0 + MINUTE)
    bars.apply(records([trade], RecordType.TRADE_CANCEL))
    bars.close(T0 + MINUTE)
    first, second = bars.take()
    assert first["trades"] == 1
    assert (second["trades"], second["volume"], second["revision"], second["close_px"]) == (0, 0, 1, NO_PRICE)
    assert second["flags"] == Flag.AMENDED | Flag.CORRECTED


def test_gaps_show_and_heal():
    bars = BarAggregator([MINUTE], grace=SECOND)
    bars.apply(one(T0 + 1))
    bars.close(T0 + MINUTE + SECOND)
    bars.apply(one(T0 + MINUTE + 1))
    bars.apply(gap(T0 + 30 * SECOND, T0 + 3 * MINUTE))
    bars.apply(one(T0 + 2 * MINUTE))
    bars.apply(one(T0 + 3 * MINUTE))
    bars.close(T0 + HOUR)
    out = bars.take()
    assert [bool(b["flags"] & Flag.GAP) for b in out] == [False, True, True, True, False]
    bars.apply(one(T0 + 40 * SECOND, flags=Flag.BACKFILLED | Flag.LAST))
    bars.close(T0 + 2 * HOUR)
    healed = bars.take()
    assert not np.any(healed["flags"] & Flag.GAP)
    assert healed["start"].tolist() == [T0, T0 + MINUTE, T0 + 2 * MINUTE]


def test_a_gap_of_which_all_is_known_heals_before_its_trades_come():
    bars = BarAggregator([SECOND], keep=2)
    bars.apply(one(T0 + 1))
    bars.apply(gap(T0 + 2, T0 + 4 * SECOND))
    bars.apply(gap(T0 + 2, T0 + 4 * SECOND, flags=Flag.BACKFILLED))
    for i in range(4):  # more windows than are kept: each goes out whole, and none flagged
        bars.apply(one(T0 + i * SECOND + 10, flags=Flag.BACKFILLED))
    bars.close(T0 + HOUR)
    out = bars.take()
    assert out["trades"].tolist() == [2, 1, 1, 1]
    assert [int(flags) for flags in out["flags"] & (Flag.GAP | Flag.BACKFILLED)] == [Flag.BACKFILLED] * 4


# ---------------------------------------------------------------------------------------------------- sessions
def new_york(year, month, day, hour, minute=0):
    return int(datetime(year, month, day, hour, minute, tzinfo=NEW_YORK).timestamp()) * SECOND


@pytest.mark.row("S022")
def test_sessions_follow_dst_and_half_days():
    days = [(2024, 3, 8, 16), (2024, 3, 11, 16), (2024, 7, 3, 13), (2024, 11, 1, 16), (2024, 11, 4, 16), (2024, 11, 29, 13)]
    edges = [edge for y, m, d, close in days for edge in (new_york(y, m, d, 9, 30), new_york(y, m, d, close))]
    assert edges[0] % DAY == 14.5 * HOUR
    assert edges[2] % DAY == 13.5 * HOUR  # summer time began between them
    rng = random.Random(4)
    trades = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        inside = [start, end - 1, end, start - 1, *(rng.randrange(start - HOUR, end + HOUR) for _ in range(60))]
        trades += [Trade(ts, rng.randint(90, 110), rng.randint(1, 9)) for ts in sorted(inside)]
    intervals = [DAY, HOUR, 7 * MINUTE, MINUTE]
    bars = BarAggregator(intervals, boundaries=edges, anchored=[HOUR])
    bars.apply(records(trades))
    bars.close(edges[-1] + DAY)
    out = bars.take()
    for interval in intervals[:3]:
        assert latest(out, interval) == reference.bars(trades, reference.sessions(interval, edges))
    assert latest(out, MINUTE) == reference.bars(trades, reference.epoch(MINUTE))
    daily = latest(out, DAY)
    assert [(b.start, b.end) for b in daily] == list(zip(edges[::2], edges[1::2], strict=True))
    assert bars.counters["outside"] > 0


@pytest.mark.parametrize("edges", [[1], [5, 1], [1, 5, 3, 9], [2, 2]])
def test_boundaries_must_ascend(edges):
    with pytest.raises(ValueError, match="boundaries"):
        BarAggregator([DAY], boundaries=edges)


def test_a_batch_makes_no_object_per_event():
    array = records(random_trades(random.Random(3), 20_000, SECOND // 10))
    bars = BarAggregator([SECOND, MINUTE, 5 * MINUTE])
    bars.apply(array)
    array["ts_event"] += DAY
    before = sys.getallocatedblocks()
    bars.apply(array)
    assert sys.getallocatedblocks() - before < 50
