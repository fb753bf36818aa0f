"""Bars that close by what was traded: against their definitions, cut from lists of trades."""

import random
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import bars as plain
from tests.reference import sampled as reference
from tests.reference.bars import Trade

from pyrt._core import bars as core
from pyrt._core.pipeline import Pipeline
from pyrt._core.sampled import spec_text
from pyrt._core.types import Flag, RecordType, Side, gap_dtype, market_dtype, trade_dtype
from pyrt.bars import BarAggregator, Dollar, Imbalance, Range, Tick, Time, Volume, bar_spec
from pyrt.errors import ConfigError
from pyrt.history import open_history

SECOND = 1_000_000_000
CENT = 10_000_000
T0 = 1_700_000_000 * SECOND


def records(trades, *, flags=0):
    out = np.zeros(len(trades), trade_dtype)
    out["type"], out["instrument"] = RecordType.TRADE, 1
    out["flags"] = [flags | (0 if t.fields == 7 else Flag.INELIGIBLE) for t in trades]
    for name, column in (("ts_event", "ts"), ("px", "px"), ("qty", "qty"), ("trade_id", "id")):
        out[name] = [getattr(t, column) for t in trades]
    out["ts_recv"] = out["ts_event"] + 5
    return out


def row(bar):
    notional = (int(bar["notional_hi"]) << 64) + int(bar["notional_lo"])
    names = ("start", "ts_event", "open_px", "high_px", "low_px", "close_px", "volume")
    return plain.Bar(*(int(bar[name]) for name in names), notional, int(bar["trades"]))


def rows(bars, spec):
    return [row(bar) for bar in bars[bars["interval"] == spec.code]]


def random_trades(seed, n, *, odd=0.1, late=0.1, negative=False):
    """Some with odd lots that set no price, some out of order."""
    rng = random.Random(seed)
    ts, px, out = T0, -40 * CENT if negative else 10_000 * CENT, []
    for i in range(n):
        ts += rng.choice((0, 1, SECOND))
        px += rng.randint(-4, 4) * CENT
        at = ts - rng.randint(1, 5 * SECOND) if rng.random() < late else ts
        out.append(Trade(at, px, rng.randint(1, 500) * 10**7, 1 if rng.random() < odd else 7, i + 1))
    return out


SPECS = (Tick(1), Tick(13), Volume(20), Dollar(3000), Range("0.11"), Imbalance(12, span=5), Imbalance(20, of="volume"))


def oracle(spec, trades, qty_exp=9):
    kind, *sizes = str(spec).split(":")
    if kind == "imbalance":
        expected, of, span = sizes
        rule = reference.Imbalance(trades, int(expected), of, int(span), qty_exp)
        return reference.cut(trades, rule.whole, rule.closed)
    size = Fraction(sizes[0])
    rules = {
        "tick": lambda: reference.ticks(int(size)),
        "volume": lambda: reference.volume(int(size * 10**qty_exp)),
        "dollar": lambda: reference.dollars(size, qty_exp),
        "range": lambda: reference.spread(int(size * 10**9)),
    }
    return reference.cut(trades, rules[kind]())


@pytest.mark.row("S022")
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 60), min_size=1, max_size=6), st.booleans())
def test_as_defined_in_any_batches(seed, cuts, negative):
    trades = random_trades(seed, sum(cuts), negative=negative)
    specs = (*SPECS, Imbalance(15, of="dollar", span=3))
    bars = BarAggregator([Time(1), *specs[:7]])
    last = BarAggregator([specs[7]])
    at, out = 0, []
    for n in cuts:
        for aggregator in (bars, last):
            aggregator.apply(records(trades[at : at + n]))
            out.append(aggregator.take())
        at += n
    made = np.concatenate(out)
    for spec in specs:
        assert rows(made, spec) == oracle(spec, trades), spec
    assert (made["ts_recv"][made["interval"] < 0] > 0).all()
    assert not made["revision"][made["interval"] < 0].any()


@pytest.mark.row("S022")
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0, 2, 8, 9]))
def test_the_unit_of_a_quantity_counts(seed, qty_exp):
    trades = [t._replace(qty=t.qty // 10**7 * 10**qty_exp) for t in random_trades(seed, 120)]
    for spec in (Volume(700), Volume("0.5"), Dollar(100_000), Imbalance(10, of="dollar")):
        bars = BarAggregator([spec], qty_exp=qty_exp)
        bars.apply(records(trades))
        wanted = oracle(spec, trades, qty_exp) if spec != Volume("0.5") else oracle(Tick(1), trades, qty_exp)
        assert rows(bars.take(), spec) == wanted


def test_time_bars_are_what_they_are_alone():
    trades = random_trades(5, 800)
    alone, beside = BarAggregator([SECOND, 60 * SECOND], grace=5), BarAggregator([Time(1), Tick(7), "time:60", Range(1)], grace=5)
    for i in range(0, 800, 50):
        for aggregator in (alone, beside):
            aggregator.apply(records(trades[i : i + 50]))
            aggregator.close(trades[i].ts)
        made = beside.take()
        assert made[made["interval"] > 0].tolist() == alone.take().tolist()
    assert alone.next_close == beside.next_close


def test_the_pipeline_makes_the_same_and_wakes_at_once():
    trades = random_trades(6, 500, odd=0)
    alone = BarAggregator([Tick(9), Volume(40)], instrument=1)
    alone.apply(records(trades))
    pipeline = Pipeline(grace=0)
    pipeline.add(1, CENT, intervals=[Tick(9), "volume:40"], wake=1 << RecordType.BAR)
    data, at, made = records(trades).view(market_dtype), 0, []
    while at < len(data):
        at = pipeline.run(data, at)
        if pipeline.due:
            made.append(pipeline.take_bars())
            assert set(made[-1]["ts_event"]) <= {data["ts_event"][:at].max()}
            assert made[-1]["ts_recv"][0] == data["ts_recv"][at - 1]
    assert np.concatenate(made).tolist() == alone.take().tolist()


def test_a_taker_that_is_told_goes_before_the_tick_rule():
    spec = Imbalance(4, span=1)
    trades = [Trade(T0 + i, 100, 1) for i in range(40)]  # the price says nothing
    told = records(trades)
    told["taker"] = Side.BUY
    bars = BarAggregator([spec])
    bars.apply(told)
    assert [bar["trades"] for bar in bars.take()] == [4] * 10  # all on one side, as expected
    told["taker"][::2] = Side.SELL
    bars = BarAggregator([spec])
    bars.apply(told)
    assert bars.take()["trades"].tolist()[:3] == [4, 1, 1]  # the sides cancelled: nothing is expected, anything is more


def test_an_imbalance_bar_never_runs_away():
    """A tilted start makes the threshold unreachable, a balanced one makes it nothing: the leeway holds either."""
    rng = random.Random(8)
    trades = [Trade(T0 + i, 1000 + i, 10**9) for i in range(400)]
    trades += [Trade(T0 + 400 + i, 1400 + rng.choice((-1, 1)), 10**9) for i in range(20_000)]
    for of in ("tick", "volume", "dollar"):
        bars = BarAggregator([Imbalance(100, of=of)])
        bars.apply(records(trades))
        counts = bars.take()["trades"]
        assert counts.min() >= 10
        assert counts.max() <= 1000
        assert len(counts) > 20


# ---------------------------------------------------------------------------------------------------- what goes wrong
def test_odd_lots_count_and_do_not_close():
    bars = BarAggregator([Tick(3)])
    bars.apply(records([Trade(T0 + i, 100 + i, 5, fields=1) for i in range(5)]))
    assert len(bars.take()) == 0
    assert len(bars.forming()) == 0
    bars.apply(records([Trade(T0 + 9, 777, 5)]))
    assert row(bars.take()[0]) == plain.Bar(T0, T0 + 9, 777, 777, 777, 777, 30, 5 * (100 + 101 + 102 + 103 + 104) + 5 * 777, 6)


def test_a_gap_and_a_cancel_flag_the_bar_that_forms():
    bars = BarAggregator([Tick(2)])
    lost = np.zeros(1, gap_dtype)
    lost["type"], lost["instrument"], lost["from_ts"], lost["to_ts"] = RecordType.GAP, 1, T0, T0 + 5
    cancel = records([Trade(T0, 100, 1, id=1)])
    cancel["type"] = RecordType.TRADE_CANCEL
    for i, flag in enumerate((0, Flag.GAP, Flag.CORRECTED, 0)):
        bars.apply(records([Trade(T0 + 2 * i, 100, 1, id=2 * i + 1)]))
        if flag:
            bars.apply(lost if flag == Flag.GAP else cancel)
        assert bars.forming()["flags"].tolist() == [flag]
        bars.apply(records([Trade(T0 + 2 * i + 1, 100, 1, id=2 * i + 2)]))
        assert bars.take()["flags"].tolist() == [flag]
    lost["flags"] = Flag.BACKFILLED
    bars.apply(records([Trade(T0 + 50, 100, 1)], flags=Flag.BACKFILLED))
    bars.apply(lost)
    assert bars.forming()["flags"].tolist() == [Flag.BACKFILLED]


def test_what_fills_a_hole_too_late_is_counted_and_not_taken():
    bars = BarAggregator([Tick(2), Time(1)])
    bars.apply(records([Trade(T0 + 1, 100, 1), Trade(T0 + 9, 101, 1)]))
    bars.apply(records([Trade(T0 + 5, 500, 1)], flags=Flag.BACKFILLED))
    assert bars.counters["too_late"] == 1
    bars.apply(records([Trade(T0 + 9, 102, 1)], flags=Flag.BACKFILLED))
    bars.apply(records([Trade(T0 + 8, 103, 1)]))  # late and not backfilled: it arrives, it counts
    first, second = bars.take()
    assert (first["high_px"], second["open_px"], second["close_px"]) == (101, 102, 103)
    assert (second["start"], second["ts_event"]) == (T0 + 9, T0 + 9)


def test_bad_trades_are_refused_here_too():
    bars = BarAggregator([Tick(1)])
    bars.apply(records([Trade(-1, 1, 1), Trade(T0, 1, 0)]))
    assert bars.counters["refused"] == 2
    assert len(bars.take()) == 0


# ---------------------------------------------------------------------------------------------------- words
def test_words_and_codes():
    specs = [
        Tick(100),
        Volume(10_000),
        Volume("0.5"),
        Dollar(1_000_000),
        Range(Decimal("0.10")),
        Range(0.1),
        Imbalance(100),
        *SPECS,
    ]
    for spec in specs:
        assert bar_spec(str(spec)) == spec
        assert bar_spec(spec_text(spec.code)) == spec
        assert hash(bar_spec(str(spec))) == hash(spec)
        assert spec.code < 0
    assert Time(60).code == bar_spec("time:60").code == 60 * SECOND
    assert Range("0.10") == Range(0.1)
    assert Tick(100) != Volume(100)
    assert repr(Imbalance(50, of="volume", span=5)) == "Imbalance(50, of='volume', span=5)"
    assert repr(Range(0.1)) == "Range(0.1)"
    codes = {spec.code for spec in specs}
    assert len(codes) == len({str(bar_spec(spec_text(code))) for code in codes})


@pytest.mark.parametrize(
    "text", ["tick", "tick:", "tick:0", "tick:x", "ticks:5", "range:-1", "volume:0", "imbalance:5:money", "time:0"]
)
def test_words_that_mean_nothing(text):
    with pytest.raises(ValueError, match="not what closes a bar"):
        bar_spec(text)


@pytest.mark.parametrize("code", [0, -1, -(1 << 56), -(9 << 56) - 5, 2**62])
def test_codes_of_nothing(code):
    with pytest.raises(ConfigError, match="an interval"):
        BarAggregator([code])


# ---------------------------------------------------------------------------------------------------- real trades
@pytest.mark.real_data
@pytest.mark.row("S022")
def test_real_prints(market_data):
    """Two days of AIG's prints: every bar of every kind is what NumPy cuts from the columns."""
    folder = market_data / "equity-bars" / "tick" / "aig"
    trades = np.concatenate(
        [chunk for path in sorted(folder.glob("*_trade.zip")) for chunk in open_history(f"lean:{path}").chunks()]
    )
    trades = trades.copy()
    trades.view(trade_dtype)["conditions"] = 0
    trades["flags"] = 0
    prints = trades.view(trade_dtype)
    specs = (Tick(250), Volume(50_000), Dollar(2_000_000), Range("0.05"), Imbalance(200), Imbalance(200, of="dollar"))
    bars = BarAggregator(specs)
    bars.apply(trades)
    made = bars.take()
    ticks = made[made["interval"] == Tick(250).code]
    assert ticks["close_px"].tolist() == prints["px"][249::250].tolist()
    assert ticks["volume"].tolist() == np.add.reduceat(prints["qty"], np.arange(0, len(prints), 250))[: len(ticks)].tolist()
    for spec in specs:
        own = made[made["interval"] == spec.code]
        ends = np.cumsum(own["trades"].astype(np.int64)) - 1
        starts = np.concatenate([[0], ends[:-1] + 1])
        assert own["open_px"].tolist() == prints["px"][starts].tolist()
        assert own["close_px"].tolist() == prints["px"][ends].tolist()
        assert own["high_px"].tolist() == np.maximum.reduceat(prints["px"], starts)[: len(own)].tolist() or ends[-1] + 1 < len(
            prints
        )
        assert len(own) > 20, spec
    volume = made[made["interval"] == Volume(50_000).code]
    last = prints["qty"][np.cumsum(volume["trades"].astype(np.int64)) - 1]
    assert (volume["volume"] >= 50_000 * SECOND).all()
    assert (volume["volume"] - last < 50_000 * SECOND).all()  # the print before did not suffice
    wide = made[made["interval"] == Range("0.05").code]
    assert (wide["high_px"] - wide["low_px"] >= 5 * CENT).all()
    assert ((wide["close_px"] == wide["high_px"]) | (wide["close_px"] == wide["low_px"])).all()


@pytest.mark.parametrize("spec", [Volume("10"), Dollar(10**12)])
def test_what_64_bits_of_its_units_do_not_hold_closes_nothing(spec):
    """At 10^-18 a volume of 10 is beyond them: wrapped around, each trade was a bar."""
    with pytest.raises(ValueError, match="too much in units of 10"):
        core.BarAggregator([spec.code], qty_exp=18)
    core.BarAggregator([Volume("9.2").code, Dollar(10**9).code], qty_exp=18)
    core.BarAggregator([spec.code], qty_exp=9)


def test_a_volume_beyond_64_bits_is_counted():
    bars = core.BarAggregator([Tick(3).code])
    bars.apply(records([Trade(ts=T0 + i, px=CENT, qty=2**62, id=i + 1) for i in range(3)]))
    assert bars.take()["volume"].tolist() == [2**63 - 1]
    assert bars.counters["overflowed"] == 1 + 1
