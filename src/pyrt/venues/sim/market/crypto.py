"""Generated pairs, open day and night: quotes, prints with their taker, and the order book that the quotes are the top of.

The book is a function of the quote that stands (its prices, sizes and time): the best level is the quote's, the others lie on a
coarser grid below and above it, with sizes that depend on the price and change now and then. So any instant has its whole book.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyrt._core.types import Action, Flag, RecordType, Side, delta_dtype, market_dtype, quote_dtype
from pyrt.clock import SECOND
from pyrt.model import AssetClass, Instrument
from pyrt.venues.sim.market.generator import (
    BLOCK,
    LOT,
    MINUTES,
    MIX,
    Dice,
    Floats,
    Ints,
    Listing,
    Records,
    Sides,
    Tape,
    Walk,
    changed,
    eight,
    held,
)

FIRST_ID = 101  # instrument ids of pairs
LEVELS = 10  # a side
STEP = 4  # prices between two levels behind the best
RESIZED = 20  # seconds that such a level keeps its size
TICK = 10_000_000  # px units that orders may use


class Pair(NamedTuple):
    """One generated pair."""

    listing: Listing
    grid: int  # px units between two prices of the tape
    lot: int  # qty units: displayed sizes are about a multiple of it


PAIRS = (
    Pair(Listing("BTC/USD", 62_000.0, 0.022, (30, 30, 20, 12, 8), 4.0, 0.8, ""), 2_500_000_000, 50_000_000),
    Pair(Listing("ETH/USD", 3_300.0, 0.028, (30, 30, 20, 12, 8), 5.0, 0.7, ""), 100_000_000, 400_000_000),
)


def pair_instrument(number: int, pair: Pair) -> Instrument:
    """The instrument of the `number`th pair, from 0."""
    symbol = pair.listing.symbol
    return Instrument(id=FIRST_ID + number, symbol=symbol, asset_class=AssetClass.CRYPTO, tick=TICK, sub_tick=TICK, lot=1)


class PairTape(Tape):
    """The quotes, prints and book of one generated pair."""

    def __init__(self, instrument: Instrument, pair: Pair, seed: int, rate: float) -> None:
        self.grid = pair.grid
        self._lot = pair.lot
        super().__init__(instrument, pair.listing, seed, rate)
        self._salt = np.uint64(self._bits(3, 0).random_raw())

    def _activity(self, day: int) -> Floats:
        return np.ones(MINUTES)

    def _shown(self, walk: Walk, places: Ints) -> Sides:
        whole = super()._shown(walk, places)
        dust = [
            eight(walk.dice.more[held(walk.first | changed(side), places)], shift) * 1_000 + 1
            for side, shift in zip(walk.px, (16, 24), strict=True)
        ]
        return Sides(*(side // LOT * self._lot + part * 100 for side, part in zip(whole, dust, strict=True)))

    def _size(self, prints: Records, lifts: npt.NDArray[np.bool_], most: Ints, dice: Dice) -> None:
        prints["qty"] = most * (1 + eight(dice.more, 24)) // 256
        prints["taker"] = np.where(lifts, int(Side.BUY), int(Side.SELL))

    def late(self, trades: Records) -> Records:
        """Nothing: what is printed stands."""
        return trades[:0]

    # ------------------------------------------------------------------------------------------------ the book
    def live(self, number: int) -> Records:
        """All records of one minute: what changes in the book comes before the quote that tells its new top."""
        rows = self.block(number)
        before = self.block(number - 1)
        quotes = rows[rows["type"] == int(RecordType.QUOTE)]
        last = before[before["type"] == int(RecordType.QUOTE)][-1:]
        changes = self._changes(np.concatenate([last, quotes]))
        rows = np.concatenate([changes, rows])
        return rows[np.argsort(rows["ts_event"], kind="stable")]

    def book(self, at: int) -> Records:
        """The whole book at an instant, as one event that begins with CLEAR."""
        rows = np.concatenate([self.block(at // BLOCK - 1), self.block(at // BLOCK)])
        quotes = rows[(rows["type"] == int(RecordType.QUOTE)) & (rows["ts_event"] <= at)][-1:]
        px, qty = self._levels(quotes)
        out = np.zeros(1 + 2 * LEVELS, delta_dtype)
        out["type"], out["instrument"], out["flags"] = int(RecordType.DELTA), self.instrument.id, int(Flag.SNAPSHOT)
        out["ts_event"] = out["ts_recv"] = quotes["ts_event"]
        out["px"][1:], out["qty"][1:] = px.reshape(-1), qty.reshape(-1)
        out["side"][1:] = np.repeat([int(Side.BUY), int(Side.SELL)], LEVELS)
        out["action"][0] = int(Action.CLEAR)
        out["flags"][-1] |= int(Flag.LAST)
        return out.view(market_dtype)

    def _levels(self, quotes: Records) -> tuple[Ints, Ints]:
        """Prices and sizes of the levels of both sides, best first, quote by quote: (quotes, 2, LEVELS)."""
        view = quotes.view(quote_dtype)
        px = np.empty((len(view), 2, LEVELS), dtype=np.int64)
        qty = np.empty_like(px)
        step, behind = STEP * self.grid, np.arange(LEVELS - 1)
        px[:, 0, 0], px[:, 1, 0] = view["bid_px"], view["ask_px"]
        px[:, 0, 1:] = ((view["bid_px"] - 1) // step)[:, None] * step - behind * step
        px[:, 1, 1:] = (view["ask_px"] // step)[:, None] * step + (behind + 1) * step
        place = px.astype(np.uint64) * MIX
        turn = (view["ts_event"] // SECOND).astype(np.uint64)[:, None, None] + (place >> np.uint64(59))
        word = (place ^ (turn // np.uint64(RESIZED)) ^ self._salt) * MIX
        qty[:] = (
            (word >> np.uint64(58)).astype(np.int64) * self._lot + (word >> np.uint64(40) & np.uint64(0xFFFF)).astype(np.int64) + 1
        )
        qty[:, 0, 0], qty[:, 1, 0] = view["bid_qty"], view["ask_qty"]
        return px, qty

    def _changes(self, quotes: Records) -> Records:
        """What turns the book of each quote into that of the next; the first is only where it begins."""
        px, qty = self._levels(quotes)
        old_px, new_px, old_qty, new_qty = px[:-1], px[1:], qty[:-1], qty[1:]
        same = old_px[:, :, None, :] == new_px[:, :, :, None]  # (quote, side, new level, old level)
        kept = (same & (old_qty[:, :, None, :] == new_qty[:, :, :, None])).any(axis=3)
        gone = ~same.any(axis=2)
        changed = np.concatenate([gone, ~kept], axis=2)
        at, side, level = np.nonzero(changed)
        out = np.zeros(len(at), dtype=delta_dtype)
        out["type"], out["instrument"], out["action"] = int(RecordType.DELTA), self.instrument.id, int(Action.SET)
        out["ts_event"] = out["ts_recv"] = quotes["ts_event"][1:][at]
        out["px"] = np.concatenate([old_px, new_px], axis=2)[at, side, level]
        out["qty"] = np.where(level < LEVELS, 0, np.concatenate([old_qty, new_qty], axis=2)[at, side, level])
        out["side"] = np.where(side == 0, int(Side.BUY), int(Side.SELL))
        out["flags"] = np.where(np.diff(at, append=-1) != 0, int(Flag.LAST), 0)
        return out.view(market_dtype)
