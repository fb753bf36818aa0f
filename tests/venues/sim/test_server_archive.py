"""Pages of history, whatever the times of the rows: joined they are the whole."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt._core.types import RecordType, bar_dtype, market_dtype, trade_dtype
from pyrt.clock import DAY, MINUTE
from pyrt.model import Instrument
from pyrt.venues.sim.market.archive import Archive, Ask
from pyrt.venues.sim.market.rows import Timeframe, parse_timeframe, parse_token
from pyrt.venues.sim.times import format_new_york, format_time, new_york_midnight, parse_time

Records = npt.NDArray[np.void]
BEGIN = parse_time("2026-03-02T15:00:00Z")


class Tape:
    """Trades of two symbols at given minutes after BEGIN; many may share one instant."""

    oldest = BEGIN

    def __init__(self, minutes: list[list[int]]) -> None:
        self.instruments = [Instrument(id=n, symbol=s) for n, s in enumerate(("AAA", "BBB"), 1)]
        self._trades = {i.symbol: self._rows(i.id, sorted(m)) for i, m in zip(self.instruments, minutes, strict=True)}

    def _rows(self, instrument: int, minutes: list[int]) -> Records:
        rows = np.zeros(len(minutes), dtype=trade_dtype)
        rows["type"], rows["instrument"], rows["px"], rows["qty"] = int(RecordType.TRADE), instrument, 10**9, 10**9
        rows["ts_event"] = [BEGIN + m * MINUTE for m in minutes]
        rows["trade_id"] = np.arange(len(minutes)) + 1
        return rows.view(market_dtype)

    @property
    def next_event(self) -> int:
        return 0

    def advance(self, until: int) -> Records:
        return np.zeros(0, dtype=market_dtype)

    def history_trades(self, symbol: str, start: int, end: int) -> Records:
        rows = self._trades[symbol]
        found: Records = rows[(rows["ts_event"] >= start) & (rows["ts_event"] <= end)]
        return found

    def history_quotes(self, symbol: str, start: int, end: int) -> Records:
        return np.zeros(0, dtype=market_dtype)

    def history_corrections(self, symbol: str, start: int, end: int) -> Records:
        return np.zeros(0, dtype=market_dtype)

    def book(self, symbol: str, at: int) -> Records:
        return np.zeros(0, dtype=market_dtype)

    def history_bars(self, symbol: str, start: int, end: int, interval: int, now: int = 0) -> Records:
        starts = np.arange(-(-start // interval) * interval, end + 1, interval)
        bars = np.zeros(len(starts), dtype=bar_dtype)
        bars["start"], bars["ts_event"], bars["interval"] = starts, starts + interval, interval
        bars["volume"] = bars["notional_lo"] = interval // MINUTE * 10**9
        bars["trades"] = 1
        bars["open_px"] = bars["high_px"] = bars["low_px"] = bars["close_px"] = 1
        return bars


_minutes = st.lists(st.integers(0, 40), max_size=12)


@given(minutes=st.tuples(_minutes, _minutes), limit=st.integers(1, 5), descending=st.booleans(), end=st.integers(0, 40))
def test_pages_join_to_the_whole(minutes: tuple[list[int], list[int]], limit: int, descending: bool, end: int) -> None:
    archive = Archive(tape := Tape(list(minutes)), tape.instruments)
    token, joined = None, []
    for _ in range(30):
        ask = Ask(
            kind="trades",
            symbols=["AAA", "BBB", "NONE"],
            start=BEGIN,
            end=BEGIN + end * MINUTE,
            now=BEGIN + DAY,
            limit=limit,
            descending=descending,
            token=token,
        )
        page, text = archive.page(ask)
        joined += [(symbol, row["i"]) for symbol, rows in page.items() for row in rows]
        if text is None:
            break
        token = parse_token(text)
    whole = []
    for instrument in tape.instruments:
        ids = tape.history_trades(instrument.symbol, BEGIN, BEGIN + end * MINUTE).view(trade_dtype)["trade_id"].tolist()
        whole += [(instrument.symbol, i) for i in (ids[::-1] if descending else ids)]
    assert joined == whole


@pytest.mark.parametrize(
    ("timeframe", "starts"),
    [
        ("1Day", ["2026-03-06T05:00:00Z", "2026-03-07T05:00:00Z", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"]),
        ("1Week", ["2026-03-09T04:00:00Z"]),
        ("3Month", []),
        ("1Hour", None),
    ],
)
def test_days_are_those_of_new_york_and_the_present_one_is_as_far_as_it_has_come(timeframe: str, starts: list[str] | None) -> None:
    archive = Archive(tape := Tape([[], []]), tape.instruments)
    now = parse_time("2026-03-09T15:30:30Z")
    ask = Ask(
        kind="bars",
        symbols=["AAA"],
        start=parse_time("2026-03-06T05:00:00Z"),
        end=now,
        now=now,
        limit=1000,
        timeframe=parse_timeframe(timeframe),
    )
    bars = archive.page(ask)[0].get("AAA", [])
    if starts is None:
        assert bars[-1]["t"] == "2026-03-09T14:00:00Z"  # the hour that is not over is not shown
        return
    assert [b["t"] for b in bars] == starts
    if timeframe == "1Day":
        # The clock went forward on Sunday: 23 hours; and Monday has 11 hours and 30 minutes so far.
        assert [b["v"] for b in bars] == [1440, 1440, 1380, 690]


def test_timeframes() -> None:
    assert parse_timeframe("59Min") == Timeframe(59, "T")
    assert parse_timeframe("12Month") == Timeframe(12, "M")
    for text in ("", "60Min", "24Hour", "2Day", "2Week", "5Month", "1min", "٣Min", "-1Min"):
        with pytest.raises(ValueError, match="invalid timeframe"):
            parse_timeframe(text)


@given(st.integers(0, 2**62))
def test_times_survive_their_text(ns: int) -> None:
    assert parse_time(format_time(ns)) == ns


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-03-02", "2026-03-02T00:00:00Z"),
        ("2026-03-02T10:04:06.123-05:00", "2026-03-02T15:04:06.123Z"),
        ("2026-03-02T15:04:06 00:00", "2026-03-02T15:04:06Z"),
        ("2026-03-02T15:04", "2026-03-02T15:04:00Z"),
        ("2026-03-02t15:04:06.1234567891z", "2026-03-02T15:04:06.123456789Z"),
    ],
)
def test_forms_of_time(text: str, same: str) -> None:
    assert format_time(parse_time(text)) == same


@pytest.mark.parametrize(
    "text", ["", "now", "2026-3-2", "2026-02-30", "2026-03-02T25:00:00Z", "1066-10-14", "9999-01-01", "٢٠٢٦-03-02"]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="not an RFC 3339 time"):
        parse_time(text)


def test_new_york() -> None:
    assert format_new_york(parse_time("2026-03-02T15:04:06.123456789Z")) == "2026-03-02T10:04:06.123456-05:00"
    saturday = parse_time("2026-03-07T12:00:00Z")
    assert format_time(new_york_midnight(saturday, 2)) == "2026-03-09T04:00:00Z"
