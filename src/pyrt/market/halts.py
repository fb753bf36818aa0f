"""Halts whose end the stream may not have told: nothing tells it again, but a deal after the stream's return proves it. Pure."""

from collections.abc import Callable

import numpy as np

from pyrt._core.types import NO_PRICE, Flag, RecordType, TradingState, market_dtype, status_dtype
from pyrt.market.sequencer import Records

_STATUS = int(RecordType.STATUS)


class Halts:
    """Instruments that were halted when the stream was lost. refs: what the pipeline knows, as it stands."""

    def __init__(self, refs: Callable[[], Records]) -> None:
        self.resumed = 0  # halts whose end only a deal told
        self.doubted: dict[int, int] = {}  # instrument -> venue ns: a price of later ends its halt
        self._refs = refs

    def lost(self, instrument: int, ts: int) -> None:
        """The stream is back at `ts` (venue ns) from a loss in which it may have told that an instrument trades again."""
        ref = self._refs()[instrument]
        if ref["flags"] & Flag.HALTED:
            self.doubted[instrument] = max(ts, int(ref["last_ts"]))

    def heard(self, records: Records) -> Records:
        """Market records that were run -> statuses to run behind them, of what is proved to trade."""
        told = records["instrument"][records["type"] == _STATUS].tolist()
        refs, proved = self._refs(), []
        for instrument, ts in list(self.doubted.items()):
            halted = refs["flags"][instrument] & Flag.HALTED and instrument not in told  # else the venue says itself how it is
            if halted and refs["last_ts"][instrument] > ts:
                proved.append(instrument)
            elif halted:
                continue
            del self.doubted[instrument]
        self.resumed += len(proved)
        out = np.zeros(len(proved), status_dtype)
        out["type"], out["flags"], out["instrument"], out["state"] = _STATUS, Flag.BACKFILLED, proved, TradingState.TRADING
        out["ts_event"] = out["ts_recv"] = refs["last_ts"][proved]
        out["upper_px"] = out["lower_px"] = NO_PRICE
        return out.view(market_dtype)
