"""What becomes of prints that are taken back or corrected: TRADE_CANCEL records, and the corrected print behind them.

`seq` of both is the time of the first print. Which record goes with which print: instrument, time and trade id.
"""

import numpy as np
import numpy.typing as npt

from pyrt._core.types import Flag, RecordType, trade_dtype
from pyrt.venues.sim.market.bars_of import Records

CANCELED, INCORRECT, CORRECT = "canceled", "incorrect", "corrected"  # `u` of a historical trade


def revise(trades: Records, late: Records) -> Records:
    """Prints of one symbol, in time order, after what came late: without those taken back, corrected ones in their place."""
    rows, fresh = np.delete(trades, _hit(trades, late)), _fresh(late)
    fresh = fresh[np.argsort(fresh["ts_event"], kind="stable")]
    revised: Records = np.insert(rows, np.searchsorted(rows["ts_event"], fresh["ts_event"], side="right"), fresh)
    return revised


def mark(trades: Records, late: Records) -> tuple[Records, dict[int, str]]:
    """Prints of one symbol as history shows them: all that were told, and by trade id what became of some."""
    cancels = late[late["type"] == int(RecordType.TRADE_CANCEL)].view(trade_dtype)
    marks = {int(c["trade_id"]): INCORRECT if int(c["flags"]) & int(Flag.CORRECTED) else CANCELED for c in cancels}
    fresh = _fresh(late)
    marks.update(dict.fromkeys(fresh.view(trade_dtype)["trade_id"].tolist(), CORRECT))
    rows = np.concatenate([trades, fresh])
    return rows[np.argsort(rows["ts_event"], kind="stable")], marks


def _hit(trades: Records, late: Records) -> npt.NDArray[np.int64]:
    """The places of the prints that were taken back."""
    cancels = late[late["type"] == int(RecordType.TRADE_CANCEL)]
    (near,) = np.nonzero(np.isin(trades["ts_event"], cancels["seq"].astype(np.int64)))
    named = np.isin(trades[near].view(trade_dtype)["trade_id"], cancels.view(trade_dtype)["trade_id"])
    hit: npt.NDArray[np.int64] = near[named]
    return hit


def _fresh(late: Records) -> Records:
    # A corrected print counts at the time of the first one, and as the first one did.
    fresh: Records = late[late["type"] == int(RecordType.TRADE)].copy()
    fresh["ts_event"] = fresh["ts_recv"] = fresh["seq"].astype(np.int64)
    fresh["seq"] = 0
    odd = fresh.view(trade_dtype)["conditions"] >> 8 != 0
    fresh["flags"] = np.where(odd, int(Flag.CORRECTED) | int(Flag.INELIGIBLE), int(Flag.CORRECTED))
    return fresh
