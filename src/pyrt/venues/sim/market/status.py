"""STATUS records: that trading stops and goes on, and the bands; how long a volatility pause and what leads to it last."""

import numpy as np
import numpy.typing as npt

from pyrt._core.types import NO_PRICE, RecordType, TradingState, market_dtype, status_dtype
from pyrt.clock import MINUTE, SECOND

Records = npt.NDArray[np.void]

PAUSE = 5 * MINUTE  # of a limit-up limit-down plan
LIMIT_STATE = 15 * SECOND  # at a band before the pause begins
RESUMED = "C11"  # the reason of a resumption


def letters(text: str) -> int:
    """Up to four letters as one number, the first one lowest byte."""
    return int.from_bytes(text.encode("ascii")[:4], "little")


def status_record(
    instrument: int, ts: int, tape: str, *, state: int = 0, code: str = "", reason: str = "", bands: tuple[int, int] | None = None
) -> Records:
    """One STATUS record: a trading state, or (state 0) the bands (lower, upper) in px units."""
    row = np.zeros(1, dtype=status_dtype)
    row["type"], row["instrument"], row["ts_event"], row["ts_recv"] = int(RecordType.STATUS), instrument, ts, ts
    row["lower_px"], row["upper_px"] = bands or (NO_PRICE, NO_PRICE)
    row["state"], row["code"], row["reason"], row["tape"] = state, letters(code), letters(reason), ord(tape)
    return row.view(market_dtype)


def halted_record(instrument: int, ts: int, tape: str, reason: str) -> Records:
    """Trading stops: H on tape C, 2 on the others."""
    return status_record(instrument, ts, tape, state=int(TradingState.HALTED), code="H" if tape == "C" else "2", reason=reason)


def resumed_record(instrument: int, ts: int, tape: str) -> Records:
    """Trading goes on: T on tape C, 3 on the others."""
    return status_record(instrument, ts, tape, state=int(TradingState.TRADING), code="T" if tape == "C" else "3", reason=RESUMED)
