"""What the data stream tells of a market that is not well: books crossed, locked, with an empty side or none; prices that are zero
or absurd; quotes from before the last or from an hour ahead; halts; a symbol of which nothing is told any more.

The exchange trades on in the market as it is, but for halts, which are its own. What is told is changed on its way to the stream.
"""

import random
from typing import TYPE_CHECKING, Any

import numpy as np
from tests.faults.kernel import MS, SECOND
from tests.faults.themes import BOOKS
from tests.faults.trader import SYMBOLS
from tests.faults.venue import CENT

from pyrt._core.types import NO_PRICE, RecordType, quote_dtype, trade_dtype
from pyrt.venues.sim.exchange import halts

if TYPE_CHECKING:
    from tests.faults.world import Simulation

AHEAD = 3600 * SECOND
# How old a reference may be in such a history: what grows old must do so within it.
AGES = {"max_quote_age_ms": 2000, "max_trade_age_ms": 3000}


class Market:
    """Stands between the venue's floor and its data stream."""

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim
        self._venue = venue = sim.venue
        self._rng = random.Random(sim.seed ^ 0xF20)
        self._moods: dict[int, tuple[str, int]] = {}  # instrument -> what is told of its quotes, until which instant of the world
        listeners = venue.floor.on_market
        listeners[listeners.index(venue.data.publish)] = self.publish

    def strike(self, kind: str) -> bool:
        """Let a fault of a kind begin, of one symbol or of two."""
        rng, now = self._rng, self._sim.kernel.now
        for number in rng.choice(((1,), (2,), (1, 2))):
            if kind in BOOKS:
                self._moods[number] = kind, now + rng.randrange(300 * MS, 8 * SECOND)
            elif kind == "quiet symbol":
                self._quiet(number, rng.randrange(2 * SECOND, 9 * SECOND))
            else:
                self._halt(number, "MWC1" if kind == "market halt" else "T1", rng.randrange(SECOND, 6 * SECOND))
        return True

    def _quiet(self, number: int, lasts: int) -> int:
        now = self._venue.floor.catch_up()
        quiet = self._venue.tape.quiet
        quiet[number] = max(quiet.get(number, 0), now + lasts)
        return now

    def _halt(self, number: int, reason: str, lasts: int) -> None:
        now = self._quiet(number, lasts)  # nobody prints what the exchange would not trade
        halts.halt(self._venue.exchange, SYMBOLS[number - 1], now, reason, lasts=lasts)
        self._venue.floor.pass_on()

    def heal(self) -> None:
        """All is told as it is; halts end by themselves."""
        self._moods.clear()

    def publish(self, records: Any, now: int) -> None:
        """A batch of the market, as the stream is to tell it."""
        self._venue.data.publish(self._told(records) if self._moods and len(records) else records, now)

    def _told(self, records: Any) -> Any:
        records = records.copy()
        quotes, trades = records.view(quote_dtype), records.view(trade_dtype)
        for number, (kind, until) in list(self._moods.items()):
            if self._sim.kernel.now >= until:
                del self._moods[number]
                continue
            mine = records["instrument"] == number
            for at in np.flatnonzero(mine & (records["type"] == int(RecordType.QUOTE))).tolist():
                self._sim.note(f"told: {kind}")
                self._quote(quotes[at : at + 1], kind)
            if kind == "absurd price":
                for at in np.flatnonzero(mine & (records["type"] == int(RecordType.TRADE))).tolist():
                    trades["px"][at] = self._absurd(int(trades["px"][at]))
        return records

    def _absurd(self, px: int) -> int:
        many, few = self._rng.choice(((2, 1), (1000, 1), (1, 2), (1, 100)))
        return px * many // few // CENT * CENT

    def _quote(self, quote: Any, kind: str) -> None:
        rng = self._rng
        side = rng.choice(("bid", "ask"))
        if kind == "crossed book":
            quote["bid_px"] = quote["ask_px"] + rng.randrange(1, 30) * CENT
        elif kind == "locked book":
            quote["bid_px"] = quote["ask_px"]
        elif kind in ("one-sided book", "empty book"):
            for name in ("bid", "ask") if kind == "empty book" else (side,):
                quote[f"{name}_px"], quote[f"{name}_qty"] = NO_PRICE, 0
        elif kind == "zero price":
            quote[f"{side}_px"] = 0
        elif kind == "absurd price":
            quote[f"{side}_px"] = self._absurd(int(quote[f"{side}_px"][0]))
        else:
            quote["ts_event"] += AHEAD if kind == "quote ahead" else -rng.randrange(SECOND, 60 * SECOND) // MS * MS
