"""Bands and volatility pauses of the generated market, on request: each a function of (seed, symbol, minute) alone.

In regular hours the bands are told with every minute: 5 % on either side of the mean of the last five minutes' prices, 10 % in the
last twenty-five. So many times a session, on average, the price runs to a band: for fifteen seconds the market stands at it (limit
state), then trading pauses for five minutes, and goes on where the undisturbed path is.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrt._core.types import NO_PRICE, RecordType, quote_dtype, trade_dtype
from pyrt.calendar import Calendar, Session
from pyrt.clock import MINUTE
from pyrt.venues.sim.market.status import LIMIT_STATE, PAUSE, halted_record, resumed_record, status_record

if TYPE_CHECKING:
    from pyrt.venues.sim.market.generator import Tape

Records = npt.NDArray[np.void]

CALM = 20  # minutes at either end of a session in which no pause begins
WIDE = 25  # minutes at its end in which the bands are twice as wide
LAYER = 4  # of the tape's random numbers
RUN = MINUTE - LIMIT_STATE  # of the minute before a pause, in which the price runs to the band
_MINUTES = 1440


class Pause(NamedTuple):
    """A pause: the minute in which the price runs to the band, and which one."""

    minute: int  # ns UTC // MINUTE
    up: bool

    @property
    def begin(self) -> int:
        """When trading stops, ns UTC."""
        return (self.minute + 1) * MINUTE

    @property
    def end(self) -> int:
        """When it goes on."""
        return self.begin + PAUSE

    @property
    def minutes(self) -> range:
        """Those in which the market is not as it were without it."""
        return range(self.minute, self.end // MINUTE)


@lru_cache(maxsize=64)
def session_of(day: int) -> Session | None:
    """The session of a UTC day; regular hours of New York never cross midnight in UTC."""
    return Calendar().session_on(datetime.fromtimestamp(day * 86_400, UTC).date())


class Halts:
    """The bands and pauses of one tape. `rate`: pauses a session, on average."""

    def __init__(self, tape: "Tape", rate: float) -> None:
        self._tape = tape
        self._rate = rate
        self.pauses = lru_cache(maxsize=16)(self._pauses)

    def _pauses(self, day: int) -> tuple[Pause, ...]:
        """The pauses of a UTC day, in order, never overlapping."""
        session = session_of(day)
        if session is None:
            return ()
        dice = np.random.Generator(self._tape._bits(LAYER, day))
        first, last = session.open // MINUTE + CALM, session.close // MINUTE - CALM - PAUSE // MINUTE
        wanted = dice.integers(first, last, size=dice.poisson(self._rate))
        found: list[Pause] = []
        for minute in sorted(wanted.tolist()):
            if not found or minute > found[-1].minute + 2 * (PAUSE // MINUTE):
                found.append(Pause(minute, bool(dice.integers(2))))
        return tuple(found)

    def bands(self, number: int) -> tuple[int, int] | None:
        """Lower and upper band of a minute, px units; None outside regular hours."""
        day, minute = divmod(number, _MINUTES)
        session = session_of(day)
        if session is None or not session.open <= number * MINUTE < session.close:
            return None
        path, _ = self._tape._minutes(day)
        mean = (
            float(np.exp(path[max(minute - 5, 0) : minute + 1]).mean()) * self._tape.listing.base * self._tape.events.scale(number)
        )
        part = 0.1 if session.close - number * MINUTE <= WIDE * MINUTE else 0.05
        return _cents(mean * (1 - part)), _cents(mean * (1 + part))

    def apply(self, rows: Records, number: int) -> Records:
        """The records of a minute as they are with bands and pauses."""
        bands = self.bands(number)
        if bands is None:
            return rows
        told = [self._status(number * MINUTE, bands)]
        for pause in self.pauses(number // _MINUTES):
            if pause.minute == number:
                rows = _run(rows, pause, bands)
            elif pause.begin <= number * MINUTE < pause.end:
                rows = _silent(rows)
            if pause.begin == number * MINUTE:
                told.append(halted_record(self._tape.instrument.id, pause.begin, self._tape.listing.tape, "LUDP"))
            if pause.end == number * MINUTE:
                told.append(resumed_record(self._tape.instrument.id, pause.end, self._tape.listing.tape))
        # The first record of a minute stays a quote: it may come an instant later than the statuses.
        whole = np.concatenate([*told, rows])
        ordered: Records = whole[np.argsort(whole["ts_event"], kind="stable")]
        return ordered

    def _status(self, ts: int, bands: tuple[int, int]) -> Records:
        return status_record(self._tape.instrument.id, ts, self._tape.listing.tape, code="B", bands=bands)


def _cents(price: float) -> int:
    return round(price * 100) * 10_000_000


def _silent(rows: Records) -> Records:
    """No trade, and nobody offers or bids."""
    quotes = rows[rows["type"] == int(RecordType.QUOTE)].copy()
    view = quotes.view(quote_dtype)
    view["bid_px"] = view["ask_px"] = NO_PRICE
    view["bid_qty"] = view["ask_qty"] = 0
    silent: Records = quotes[:1]
    return silent


def _run(rows: Records, pause: Pause, bands: tuple[int, int]) -> Records:
    """A minute in which the price goes to a band and stays there: nothing trades beyond it."""
    rows = rows.copy()
    limit = bands[1] if pause.up else bands[0]
    gone = np.minimum((rows["ts_event"] - pause.minute * MINUTE) / RUN, 1.0)
    trades, quotes = rows["type"] == int(RecordType.TRADE), rows["type"] == int(RecordType.QUOTE)
    for view, name, where in (
        (rows.view(trade_dtype), "px", trades),
        (rows.view(quote_dtype), "bid_px", quotes),
        (rows.view(quote_dtype), "ask_px", quotes),
    ):
        px = view[name][where]
        moved = px + ((limit - px) * gone[where] // 10_000_000).astype(np.int64) * 10_000_000
        view[name][where] = np.clip(moved, bands[0], bands[1])
    view = rows.view(quote_dtype)
    at_limit = quotes & (gone >= 1.0)
    # In the limit state only one side is there: a bid at the upper band, an offer at the lower one.
    none, size, kept = ("ask_px", "ask_qty", "bid_px") if pause.up else ("bid_px", "bid_qty", "ask_px")
    view[kept][at_limit] = limit
    view[none][at_limit], view[size][at_limit] = NO_PRICE, 0
    crossed = quotes & ~at_limit & (view["bid_px"] >= view["ask_px"])
    view["bid_px"][crossed] = view["ask_px"][crossed] - 10_000_000
    return rows


def is_rate(text: str) -> bool:
    """Whether a text can be the value of `halts=`: a number from 0 to 20."""
    return text.replace(".", "", 1).isdecimal() and text.isascii() and 0 <= float(text) <= 20
