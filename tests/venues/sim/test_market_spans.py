"""Long histories of the generated market: made many minutes at once, they are the minutes that were told one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt._core.types import RecordType, market_dtype, trade_dtype
from pyrt.venues.sim.market.archive import Archive, Ask
from pyrt.venues.sim.market.bars_of import bars_of, merge_bars
from pyrt.venues.sim.market.corrections import revise
from pyrt.venues.sim.market.market import DEFAULT_START, open_market
from pyrt.venues.sim.market.rows import parse_timeframe, parse_token

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
S = DEFAULT_START
BUSY = "generated:rate=2,corrections=0.01,halts=20,symbols=AAPL+BTC/USD"


def of_kind(rows, kind):
    return rows[rows["type"] == int(kind)]


@pytest.mark.row("X08")
@pytest.mark.parametrize("symbol", ["AAPL", "BTC/USD"])
@pytest.mark.parametrize("spec", [BUSY, "generated:rate=0.1,symbols=AAPL+BTC/USD"])
def test_many_minutes_at_once_are_the_minutes(spec, symbol):
    # Over the opening with its cross and pauses, and over midnight in UTC, where days of the tape meet.
    for start in (S - 3 * DAY - 20 * MINUTE, S // DAY * DAY - 3 * DAY - 30 * MINUTE):
        first, count = start // MINUTE, 100
        tape, other = (open_market(spec, 7, S)._tapes[symbol] for _ in "ab")
        alone = [other.block(number) for number in range(first, first + count)]
        for kind in (RecordType.QUOTE, RecordType.TRADE):
            want = np.concatenate([of_kind(rows, kind) for rows in alone])
            assert tape.history(kind, first, count).tobytes() == want.tobytes()
        late = np.concatenate([other.corrections(number) for number in range(first, first + count)])
        assert tape.late(tape.history(RecordType.TRADE, first, count)).tobytes() == late.tobytes()


def test_pauses_and_crosses_are_what_disturbs():
    tape = open_market(BUSY, 7, S)._tapes["AAPL"]
    day = S // DAY * 1440
    disturbed = tape.events.disturbed(day, 1440)
    changed = [n for n in range(S // MINUTE, S // MINUTE + 120) if len(_trades(tape.block(n))) != len(_trades(tape._rows(n, 1)))]
    assert set(changed) <= set(disturbed)
    assert len(changed) > 5
    assert len(disturbed) < 400


def _trades(rows):
    return of_kind(rows, RecordType.TRADE)


@pytest.mark.parametrize("symbol", ["AAPL", "BTC/USD"])
def test_minute_bars_are_of_the_corrections_told_so_far_whoever_asked_before(symbol):
    begin, end = S - DAY, S - DAY + 95 * MINUTE
    used = open_market(BUSY, 7, S)
    for now in (end + HOUR, begin + 70 * MINUTE + 5 * SECOND, end + 3 * SECOND, end + HOUR):
        fresh = open_market(BUSY, 7, S)
        trades = fresh.history_trades(symbol, begin, end - 1)
        late = fresh.history_corrections(symbol, begin, end - 1)
        want = bars_of(revise(trades, late[late["ts_event"] <= now]), MINUTE)
        got = used.history_bars(symbol, begin, end - 1, MINUTE, now)
        assert got[got["trades"] > 0].tobytes() == want.tobytes()
        assert len(got) == 95 or symbol == "AAPL"


@pytest.mark.parametrize("symbol", ["AAPL", "BTC/USD"])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("timeframe", ["1Min", "7Min", "1Hour"])
def test_pages_of_bars_are_the_whole(symbol, descending, timeframe):
    market = open_market(BUSY, 7, S)
    archive = Archive(market, market.instruments)
    span = parse_timeframe(timeframe)
    start, now = S - 5 * HOUR, S - 90 * SECOND
    rows, token = [], None
    for limit in (1, 2, 3, 40, 400):
        ask = Ask(
            kind="bars",
            symbols=[symbol],
            start=start,
            end=S,
            now=now,
            limit=limit,
            descending=descending,
            token=token,
            timeframe=span,
        )
        page, text = archive.page(ask)
        rows += page.get(symbol, [])
        if text is None:
            break
        token = parse_token(text)
    bars = market.history_bars(symbol, start, now - span.interval, span.interval, now)
    want = archive._rows("bars", market.instruments[0 if symbol == "AAPL" else 1], bars)
    assert rows == (want[::-1] if descending else want)
    assert len(rows) > 3


def test_a_history_of_so_many_days():
    market = open_market("generated:rate=0.1,days=15,symbols=BTC/USD", 1, S)
    archive = Archive(market, market.instruments)
    ask = Ask(kind="bars", symbols=["BTC/USD"], start=0, end=S, now=S, limit=1000, timeframe=parse_timeframe("1Day"))
    rows = archive.page(ask)[0]["BTC/USD"]
    assert len(rows) == 17  # the first and the last in part


@given(
    prints=st.lists(st.tuples(st.integers(1, 2**46), st.integers(1, 2**44), st.integers(0, 3)), min_size=1, max_size=40),
    whole=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_notionals_are_exact_in_bars_and_in_bars_of_bars(prints, whole):
    prints.sort(key=lambda p: p[2])
    trades = np.zeros(len(prints), dtype=trade_dtype)
    trades["type"] = int(RecordType.TRADE)
    trades["ts_event"] = [MINUTE * at for _, _, at in prints]
    qtys = [qty // SECOND * SECOND + SECOND if whole else qty for _, qty, _ in prints]
    trades["px"], trades["qty"] = [px for px, _, _ in prints], qtys
    bars = bars_of(trades.view(market_dtype), MINUTE)

    def totals(rows):
        return [(hi << 64) + lo for hi, lo in zip(rows["notional_hi"].tolist(), rows["notional_lo"].tolist(), strict=True)]

    want = {at: sum(px * qty for (px, _, t), qty in zip(prints, qtys, strict=True) if t == at) for _, _, at in prints}
    assert totals(bars) == [want[at] for at in sorted(want)]
    assert totals(merge_bars(bars, HOUR)) == [sum(want.values())]
