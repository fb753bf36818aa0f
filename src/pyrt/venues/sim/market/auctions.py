"""The official prints of the generated market: a cross at the open and one at the close of each session of XNYS."""

from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pyrt._core.types import RecordType, market_dtype, quote_dtype, trade_dtype
from pyrt.calendar import Calendar
from pyrt.clock import MINUTE, SECOND

Records = npt.NDArray[np.void]

TRADE_ID = 99_999  # of a cross within its minute: no other print gets there
LOTS = (100, 500)  # round lots of a cross: from, to
OPENING, CLOSING = ord("O"), ord("6")
_MINUTES = 1440


@lru_cache(maxsize=64)
def crosses(day: int) -> dict[int, int]:
    """The condition of the cross in a minute (ns UTC // MINUTE), for the minutes of a UTC day that have one."""
    session = Calendar().session_on(datetime.fromtimestamp(day * 86_400, UTC).date())
    return {} if session is None else {session.open // MINUTE: OPENING, session.close // MINUTE: CLOSING}


def with_cross(rows: Records, number: int, bits: np.random.PCG64, tape: str) -> Records:
    """The records of minute `number` (the first is a quote) with its cross right behind the first quote, if it has one.

    The price is a side of that quote; the print sets prices and counts for the volume, as the auction's own does.
    """
    condition = crosses(number // _MINUTES).get(number)
    if condition is None:
        return rows
    word = int(bits.random_raw())
    quote = rows[:1].view(quote_dtype)
    cross = np.zeros(1, dtype=trade_dtype)
    cross["type"], cross["instrument"] = int(RecordType.TRADE), quote["instrument"]
    cross["ts_event"] = cross["ts_recv"] = quote["ts_event"]
    cross["px"] = quote["bid_px"] if word & 1 else quote["ask_px"]
    cross["qty"] = (LOTS[0] + (word >> 8) % (LOTS[1] - LOTS[0])) * 100 * SECOND
    cross["trade_id"] = number % _MINUTES * 100_000 + TRADE_ID
    cross["conditions"], cross["exchange"], cross["tape"] = condition, ord("V"), ord(tape)
    return np.concatenate([rows[:1], cross.view(market_dtype), rows[1:]])
