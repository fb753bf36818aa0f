"""What orders of one request count as: exits nothing while their entry works, and once it is filled as much as the larger of them.

One reservation, the carrier, stands for both exits of a pair: each may fill, but not both, so their larger leaves count, at the
worse price and at the most generous one. The others hold a place among the open orders and no leaves. Both can fill in a race: then
more left than there was, which is told and given back.
"""

from collections.abc import Iterable, Sequence

import msgspec

from pyrt._core.risk import Gate
from pyrt._core.types import Side, format_units
from pyrt.model import Breach, Intent, OrderChanged, OrderClass, OrderType

_ANYTHING = (1 << 63) - 1


class Exit(msgspec.Struct, array_like=True, eq=False):
    """One exit of a group, followed through its replaces by the facts."""

    number: int
    root: int  # key of its first intent
    qty: int
    limit_px: int
    stop_px: int
    pending: Intent | None = None  # what a replace under way would make of it
    filled: int = 0
    open: bool = True
    before: int = 0  # its qty before the venue last changed it: a replacement that was asked for then may say it

    @classmethod
    def of(cls, number: int, intent: Intent) -> "Exit":
        """An exit as it was intended."""
        return cls(number, intent.key, intent.qty, intent.limit_px, intent.stop_px)

    def replaced(self) -> None:
        """The replacement stands: its prices hold."""
        if self.pending is not None:
            self.limit_px, self.stop_px, self.pending = self.pending.limit_px, self.pending.stop_px, None


class Group(msgspec.Struct, array_like=True, eq=False):
    """The exits of one request."""

    strategy: int
    instrument: int
    side: Side
    qty: int  # what the exits may trade together
    live: bool  # they may fill
    exits: list[Exit]
    carrier: int  # key of the reservation that stands for them
    exited: int = 0

    @classmethod
    def of(cls, first: int, intent: Intent) -> "Group":
        """A group as it was intended; `first`: number of its first order."""
        exits = [Exit.of(number, leg) for number, leg in enumerate(intent.legs, first + 1)]
        pair = intent.order_class is OrderClass.OCO
        if pair:
            exits.insert(0, Exit.of(first, intent))
        return cls(intent.strategy, intent.instrument, intent.legs[0].side, intent.qty, pair, exits, exits[0].root)

    def exit(self, number: int) -> Exit | None:
        """The exit that an order was, is or shall be; None for the entry."""
        return next((e for e in self.exits if e.number == number), None)

    def open(self) -> list[Exit]:
        """Those that may yet fill."""
        return [e for e in self.exits if e.open]

    def arm(self, gate: Gate) -> None:
        """Make the carrier say what the open exits may do now."""
        exits = self.open()
        left = max(self.qty - self.exited, 0)
        leaves = max((min(e.qty - e.filled, left) for e in exits), default=0) if self.live else 0
        limits, stops = [e.limit_px for e in exits], [e.stop_px for e in exits]
        for e in exits:
            if e.pending is not None:
                limits.append(e.pending.limit_px)
                stops.append(e.pending.stop_px)
        market = _ANYTHING if self.side is Side.BUY else 0
        generous = [px or market for px in limits]
        cross = max(generous, default=market) if self.side is Side.BUY else min(generous, default=market)
        gate.resize(self.carrier, max(leaves, 0), max(limits, default=0), max(stops, default=0), cross)

    def restate(self, exit_: Exit, fact: OrderChanged) -> None:
        """The venue changed an exit's terms: its share of a pair, or after a split."""
        if fact.qty and fact.qty != exit_.qty:
            exit_.before, exit_.qty = exit_.qty, fact.qty
        exit_.limit_px, exit_.stop_px = fact.limit_px or exit_.limit_px, fact.stop_px or exit_.stop_px
        self.qty = max(self.qty, self.exited + exit_.qty - exit_.filled)

    def state(self) -> tuple[object, ...]:
        """The durable part, for the state hash."""
        exits = [(e.number, e.root, e.qty, e.filled, e.limit_px, e.stop_px, e.open) for e in self.exits]
        return (self.carrier, self.live, self.qty, self.exited, exits)


def leg_breaches(intent: Intent, ref_px: int, passive_bps: int, open_orders: int, most: int) -> tuple[Breach, ...]:
    """What speaks against the exits of a request: prices beyond the band of passive orders, too many open orders."""
    legs, found = intent.legs, list[Breach]()
    if intent.type is OrderType.MARKET and intent.order_class is not OrderClass.OCO and ref_px > 0:
        up = 1 if intent.side is Side.BUY else -1
        for px, way in ((intent.target_px, up), (intent.guard_px, -up)):
            if px and (px - ref_px) * way <= 0:
                limit = f"{'above' if way > 0 else 'below'} {format_units(ref_px)}"
                found.append(Breach(code="PRICE_COLLAR", limit=limit, observed=format_units(px)))
    for px in (px for leg in legs for px in (leg.stop_px, leg.limit_px) if px):
        found += price_breach(px, ref_px, passive_bps)
    if open_orders + len(legs) >= most:
        found.append(Breach(code="OPEN_ORDER_COUNT", limit=str(most), observed=str(open_orders + len(legs) + 1)))
    return tuple(found)


def price_breach(px: int, ref_px: int, passive_bps: int) -> Sequence[Breach]:
    """The band of passive orders and triggers, both ways; without a reference nothing is in it."""
    if ref_px > 0 and abs(px - ref_px) * 10_000 <= ref_px * passive_bps:
        return ()
    limit = f"{format_units(ref_px)} +- {passive_bps / 100:g} %" if ref_px > 0 else "a reference price"
    return (Breach(code="PRICE_COLLAR", limit=limit, observed=format_units(px)),)


def changed_exit(exit_: Exit, group: Group, intent: Intent, qty_exp: int) -> Iterable[Breach]:
    """What speaks against other terms of an exit: they are prices, and may not lie beyond the other exit's."""
    if intent.qty not in (exit_.qty, exit_.before):
        limit, observed = (format_units(qty, qty_exp) for qty in (exit_.qty, intent.qty))
        yield Breach(code="PARENT_EXCEEDED", limit=limit, observed=observed, mend="an exit's quantity follows its entry")
    yield from crossed_exits(exit_, group, intent)


def crossed_exits(exit_: Exit, group: Group, intent: Intent) -> Iterable[Breach]:
    """A new price of one exit may not lie beyond the other."""
    for other in group.open():
        if other is exit_:
            continue
        target, guard = (intent.limit_px, other.stop_px) if not intent.stop_px else (other.limit_px, intent.stop_px)
        if target and guard and (target <= guard if group.side is Side.SELL else target >= guard):
            yield Breach(
                code="PRICE_COLLAR", limit=f"beyond the other exit at {format_units(guard)}", observed=format_units(target)
            )
