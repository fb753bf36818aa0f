"""Bars of a day are those of the exchange's sessions: ten years of them against a plain oracle, and the odd days one by one."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import numpy as np
import pytest

from pyrt._core.types import Clock, RecordType, Side, bar_dtype, market_dtype, timer_dtype, trade_dtype
from pyrt.calendar import CLOSING_PRINTS, Calendar, Session
from pyrt.clock import DAY, MINUTE, SECOND
from pyrt.errors import ConfigError
from pyrt.market import MarketData
from pyrt.model import AssetClass, Instrument, Instruments

ONE = 10**9
CALENDAR = Calendar()
SHARE, PAIR = Instrument(id=1, symbol="AAPL"), Instrument(id=2, symbol="BTC/USD", asset_class=AssetClass.CRYPTO)
pytestmark = pytest.mark.row("X12")


def made(records: np.ndarray, *, intervals: tuple[int, ...] = (DAY,), calendar: Calendar | None = CALENDAR) -> np.ndarray:
    """The bars that market records give."""
    market = MarketData(Instruments(), grace=0, calendar=calendar)
    for instrument in (SHARE, PAIR):
        market.watch(instrument, intervals=intervals, wake=1 << RecordType.BAR, depth=False)
    found, at = [], 0
    while at < len(records):
        at = market.pipeline.run(records, at)
        found.append(market.pipeline.take_bars())
    return np.concatenate([np.empty(0, bar_dtype), *found])


def trades(*rows: tuple[int, int], instrument: int = 1, close: int = 0) -> np.ndarray:
    """Prints of one share at (time, px); at `close` a timer."""
    records = np.zeros(len(rows), trade_dtype)
    records["type"], records["instrument"], records["qty"] = RecordType.TRADE, instrument, ONE
    records["ts_event"], records["px"] = [at for at, _ in rows], [px for _, px in rows]
    records["taker"] = int(Side.BUY)
    timer = np.zeros(1 if close else 0, timer_dtype)
    timer["type"], timer["clock"], timer["at"], timer["ts_event"] = RecordType.TIMER, int(Clock.VENUE), close, close
    return np.concatenate([records.view(market_dtype), timer.view(market_dtype)])


def moments(session: Session) -> Iterator[int]:
    """Instants on both sides of each boundary of a session, and within its parts."""
    for edge in (session.pre_open, session.open, session.close, session.close + CLOSING_PRINTS, session.post_close):
        yield from (edge - 1, edge, edge + 1)
    yield from ((session.pre_open + session.open) // 2, (session.open + session.close) // 2)


def test_ten_years_of_days_equal_an_oracle() -> None:
    """2014 to 2024: twenty changes of the clocks, two leap seconds, each half day; 0 differences."""
    sessions = CALENDAR.sessions(date(2014, 6, 2), date(2024, 6, 28))
    rows = sorted((at, (100 + n % 7) * ONE + i * 10**7) for n, s in enumerate(sessions) for i, at in enumerate(moments(s)))
    bars = made(trades(*rows, close=rows[-1][0] + DAY))
    times, prices = np.array([at for at, _ in rows]), np.array([px for _, px in rows])
    expected = []
    for session in sessions:
        inside = prices[(times >= session.open) & (times < session.close + CLOSING_PRINTS)].tolist()
        end = session.close + CLOSING_PRINTS
        expected.append((session.open, end, inside[0], max(inside), min(inside), inside[-1], len(inside) * ONE))
    names = ["start", "ts_event", "open_px", "high_px", "low_px", "close_px", "volume"]
    assert [tuple(int(bar[name]) for name in names) for bar in bars] == expected
    assert len(expected) == 2537


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        ("2026-03-06", "14:30", "21:05"),  # the last day of winter time
        ("2026-03-09", "13:30", "20:05"),
        ("2026-10-30", "13:30", "20:05"),
        ("2026-11-02", "14:30", "21:05"),
        ("2026-11-27", "14:30", "18:05"),  # a half day
    ],
)
def test_the_day_of_a_share_follows_the_clock_in_new_york(day: str, opens: str, closes: str) -> None:
    session = CALENDAR.session_on(date.fromisoformat(day))
    assert session is not None
    [bar] = made(trades((session.open, ONE), (session.close - 1, 2 * ONE), close=session.post_close))
    shown = [datetime.fromtimestamp(int(bar[name]) / 1e9, UTC).strftime("%H:%M") for name in ("start", "ts_event")]
    assert shown == [opens, closes]


def test_after_hours_past_midnight_utc_are_of_no_day() -> None:
    """19:30 in New York in winter is 00:30 UTC: the next session's bar must not begin with it."""
    first, second = CALENDAR.sessions(date(2026, 1, 5), date(2026, 1, 6))
    late = first.post_close - 30 * MINUTE
    assert late // DAY > first.open // DAY
    bars = made(trades((first.open, ONE), (late, 99 * ONE), (second.open, 3 * ONE), close=second.post_close))
    assert [(int(b["open_px"]), int(b["high_px"])) for b in bars] == [(ONE, ONE), (3 * ONE, 3 * ONE)]


def test_the_closing_auction_s_print_is_the_close() -> None:
    """It is told some seconds after the close; what trades after hours says so in its condition, and moves no price."""
    session = CALENDAR.session_on(date(2026, 11, 24))
    assert session is not None
    rows = trades((session.open, 100 * ONE), (session.close + 7 * SECOND, 101 * ONE), (session.close + MINUTE, 150 * ONE))
    rows.view(trade_dtype)["conditions"][1:3] = [ord("6"), ord("T")]
    [bar] = made(np.concatenate([rows, trades(close=session.post_close)]))
    assert (int(bar["close_px"]), int(bar["high_px"])) == (101 * ONE, 101 * ONE)
    assert int(bar["volume"]) == 3 * ONE


def test_pairs_and_a_venue_that_never_closes_keep_days_of_utc() -> None:
    midnight = 20_000 * DAY
    for calendar, instrument in ((CALENDAR, 2), (None, 1)):
        [bar] = made(trades((midnight, ONE), instrument=instrument, close=midnight + DAY), calendar=calendar)
        assert (int(bar["start"]), int(bar["ts_event"])) == (midnight, midnight + DAY)


def test_minutes_beside_days_are_those_of_the_clock_at_all_hours() -> None:
    session = CALENDAR.session_on(date(2026, 11, 24))
    assert session is not None
    rows = trades((session.pre_open + MINUTE // 2, ONE), (session.open, 2 * ONE), close=session.post_close)
    bars = made(rows, intervals=(MINUTE, DAY))
    starts = {int(b["interval"]): int(b["start"]) for b in bars}
    assert sorted(int(b["start"]) for b in bars if b["interval"] == MINUTE) == [session.pre_open, session.open]
    assert starts[DAY] == session.open


def test_bars_of_several_sessions_are_refused() -> None:
    with pytest.raises(ConfigError, match="no bars of several days"):
        made(trades(), intervals=(5 * DAY,))
