"""Orders as a careless strategy would ask for them: every type, time in force, size and price; most of them nonsense somewhere."""

from random import Random
from typing import Any, NamedTuple

from pyrt._core.types import Side
from pyrt.model import AssetClass, Instrument, OrderClass, OrderType, TimeInForce
from pyrt.strategies.ticket import TIFS as WORDS

ONE = 10**9
TIFS = tuple(WORDS.values())  # what a strategy may ask for
TYPES = (OrderType.LIMIT, *OrderType)


class Wanted(NamedTuple):
    """What to do next: "new", "replace" or "cancel" with the fields of an Intent."""

    verb: str
    instrument: Instrument
    make: dict[str, Any]


class OrderFuzz:
    """Seeded: the same seed and the same answers give the same orders."""

    def __init__(self, seed: int, instruments: list[Instrument]) -> None:
        self.random = Random(seed)
        self.instruments = instruments

    def next(self, ref: dict[int, int], held: dict[int, int], open_: dict[int, int]) -> Wanted:
        """ref: price of each instrument, px units; held: quantities; open_: how many orders are open."""
        r = self.random
        instrument = r.choice(self.instruments)
        if open_[instrument.id] and r.random() < 0.3:
            return Wanted("cancel", instrument, {})
        side = Side.SELL if held[instrument.id] > 0 and r.random() < 0.6 else r.choice((Side.BUY, Side.BUY, Side.SELL))
        kind = r.choice(TYPES)
        make = {
            "side": side,
            "type": kind,
            "tif": self._tif(instrument),
            "qty": self._qty(instrument, ref[instrument.id], held[instrument.id]),
            "limit_px": self._px(instrument, ref[instrument.id]) if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) else 0,
            "stop_px": self._px(instrument, ref[instrument.id]) if kind in (OrderType.STOP, OrderType.STOP_LIMIT) else 0,
            "extended_hours": r.random() < 0.15,
        }
        if kind == OrderType.TRAILING_STOP:
            by_px = r.random() < 0.5
            make["trail_px"] = self._px(instrument, ref[instrument.id] // r.choice((20, 100))) if by_px else 0
            make["trail_ratio"] = 0 if by_px else r.randrange(10**6, 10**8)
        elif r.random() < 0.25:
            if r.random() < 0.6:  # so much must be right of a group that careless ones hardly ever reach the venue
                make |= self._whole(instrument, ref[instrument.id], held[instrument.id])
            return Wanted("new", instrument, make | self._group(instrument, make, ref[instrument.id]))
        return Wanted("replace" if open_[instrument.id] and r.random() < 0.15 else "new", instrument, make)

    def _whole(self, instrument: Instrument, ref: int, held: int) -> dict[str, Any]:
        """Whole shares for the day at a price near the market, or what is held given back."""
        r = self.random
        px = int(ref * r.uniform(0.99, 1.01))
        kind = r.choice((OrderType.LIMIT, OrderType.MARKET))
        sells = held >= ONE and r.random() < 0.5
        return {
            "side": Side.SELL if sells else Side.BUY,
            "type": kind,
            "tif": TimeInForce.DAY,
            "qty": r.randrange(1, 20) * ONE if not sells else r.randint(1, min(held // ONE, 20)) * ONE,
            "limit_px": px - px % instrument.tick if kind is OrderType.LIMIT else 0,
            "stop_px": 0,
            "extended_hours": False,
        }

    def _group(self, instrument: Instrument, make: dict[str, Any], ref: int) -> dict[str, Any]:
        r = self.random
        group = r.choice(list(OrderClass)[1:])
        up = (make["side"] is Side.BUY) != (group is OrderClass.OCO)
        base = make["limit_px"] or ref
        near = [base * (100 + way * r.choice((3, 3, 3, -3, 0))) // 100 for way in ((1, -1) if up else (-1, 1))]
        target, guard = (px - px % instrument.tick for px in near)
        parts = r.choice((3, 3, 1, 2)) if group is OrderClass.OTO else r.choice((3, 3, 3, 3, 1, 2))
        found = {"order_class": group, "target_px": target if parts & 1 else 0, "guard_px": guard if parts & 2 else 0}
        if group is OrderClass.OCO and parts & 1:
            found |= {"type": OrderType.LIMIT, "limit_px": target, "stop_px": 0}
        return found

    def _tif(self, instrument: Instrument) -> TimeInForce:
        usual = (TimeInForce.GTC, TimeInForce.IOC) if instrument.asset_class == AssetClass.CRYPTO else (TimeInForce.DAY,) * 2
        return self.random.choice((*usual, *usual, *TIFS))

    def _qty(self, instrument: Instrument, ref: int, held: int) -> int:
        r = self.random
        dollars = 10 ** r.uniform(-1, 5.5)
        qty = int(dollars * ONE / ref * ONE)
        if r.random() < 0.3 and held > 0:
            qty = r.choice((held, held // 2, held * 2, held + ONE))
        if instrument.asset_class != AssetClass.CRYPTO and r.random() < 0.6:
            qty -= qty % ONE
        return max(qty - qty % r.choice((1, instrument.lot)), instrument.lot)

    def _px(self, instrument: Instrument, ref: int) -> int:
        r = self.random
        px = int(ref * r.choice((r.uniform(0.9, 1.1), r.uniform(0.99, 1.01))))
        return max(px if r.random() < 0.1 else px - px % instrument.tick, instrument.tick)
