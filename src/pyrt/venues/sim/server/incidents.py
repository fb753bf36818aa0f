"""Faults that happen at the exchange itself: fills that nobody ordered, fills taken back, halts, a jump of the clock."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Protocol

from pyrt._core.types import PX_SCALE, format_units, to_units
from pyrt.clock import SECOND
from pyrt.model import Instrument
from pyrt.venues.sim.exchange.orders import invalid
from pyrt.venues.sim.exchange.state import Fill
from pyrt.venues.sim.server.faults import Arming, Faults
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.server.kinds import (
    HALF_OPEN_SECONDS,
    AnyFault,
    Bust,
    ClockSkew,
    Correct,
    DayRoll,
    DropData,
    DropStream,
    Fault,
    Fills,
    Halt,
    Overfill,
    Transfer,
    kind_of,
)
from pyrt.venues.sim.server.truth import Connection
from pyrt.venues.sim.times import format_time

Jump = Callable[[str], int]  # moves the venue's clock to "midnight" or "open"; returns where it is then


class Sockets(Protocol):
    """What a hub can do to its sockets."""

    @property
    def connections(self) -> list[Connection]: ...

    def cut(self, fault: str, how: str = "fin", reap: float = 0.0) -> None: ...


class Incidents:
    """Follows the exchange's fills, and acts on it through its own verbs."""

    def __init__(self, floor: Floor, faults: Faults, jump: Jump) -> None:
        self._floor = floor
        self._faults = faults
        self._jump = jump
        self.hubs: dict[type[Fault], list[Sockets]] = {DropData: [], DropStream: []}
        floor.on_updates.append(self._follow)

    def arm(self, fault: AnyFault) -> None:
        """Arm a fault, and do at once what happens at once. Raises VenueRefusal for what the exchange does not have."""
        if isinstance(fault, Halt | Transfer):
            self._instrument(fault.symbol)
        self._begin(self._faults.arm(fault))

    def _begin(self, arming: Arming) -> None:
        fault, floor = arming.fault, self._floor
        if isinstance(fault, DropData | DropStream):
            reap = fault.window or HALF_OPEN_SECONDS
            for hub in self.hubs[type(fault)]:
                for entry in hub.connections:
                    self._faults.fire(arming, connection=entry.seq, note=fault.how)
                hub.cut(kind_of(fault), fault.how, reap)
        elif isinstance(fault, Halt):
            floor.exchange.halt(fault.symbol, floor.catch_up(), fault.reason, lasts=int(fault.seconds * SECOND))
            self._faults.fire(arming, note=fault.symbol)
            self._faults.finish(arming)
        elif isinstance(fault, Transfer):
            try:
                shown = floor.exchange.transfer(fault.symbol, fault.qty, floor.catch_up(), kind=fault.type, told=fault.told)
                self._faults.fire(arming, note=shown["id"] if shown else "not told")
            finally:
                self._faults.finish(arming)
        elif isinstance(fault, ClockSkew):
            self._faults.fire(arming, note=f"{fault.offset:+g} s")
        elif isinstance(fault, DayRoll):
            before = floor.catch_up()
            self._faults.fire(arming, note=f"{format_time(before)} -> {format_time(self._jump(fault.to))}")
            self._faults.finish(arming)
        floor.pass_on()

    def fill(self, order_id: str, qty: str, account: str | None = None) -> None:
        """Fill an open order now: `qty` of it, or all that is left; at its limit, or the last price."""
        floor = self._floor
        exchange, shown = floor.exchange, floor.exchange.order(order_id, account=account)
        instrument = self._instrument(shown["symbol"])
        exp = instrument.qty_exp
        left = to_units(shown["qty"], exp) - to_units(shown["filled_qty"], exp)
        px = to_units(shown["limit_price"], PX_SCALE) if shown["limit_price"] else exchange.mark(instrument.id)
        exchange.force_fill(
            order_id, format_units(min(to_units(qty, exp), left) if qty else left, exp), format_units(px), floor.now
        )
        floor.pass_on()

    def _follow(self, updates: Sequence[tuple[Any, dict[str, Any]]]) -> None:
        if not self._faults.armed(Fills):
            return
        fills = self._floor.exchange.state.fills
        for _, data in updates:
            if data["event"] in ("fill", "partial_fill"):
                execution = data["execution_id"]
                self._filled(data["order"], next(f for f in reversed(fills) if f.execution_id == execution), data["event"])

    def _filled(self, order: dict[str, Any], fill: Fill, event: str) -> None:
        if Decimal(order["filled_qty"]) > Decimal(order["qty"] or "Infinity"):
            return  # itself an overfill
        exchange, row = self._floor.exchange, order["id"]
        exp = self._instrument(order["symbol"]).qty_exp
        over = self._faults.meets(Overfill, order=row, note=fill.id) if event == "fill" else None
        if over is not None:
            self._after(over, exchange.force_fill, row, over.qty, format_units(fill.px))
        if (bust := self._faults.meets(Bust, order=row, note=fill.id)) is not None:
            self._after(bust, exchange.bust, fill.id)
        elif (change := self._faults.meets(Correct, order=row, note=fill.id)) is not None:
            qty = change.qty or format_units(fill.qty, exp)
            px = max(fill.px + to_units(change.price_by, PX_SCALE), 1)
            self._after(change, exchange.correct, fill.id, qty, format_units(px))

    def _instrument(self, symbol: str) -> Instrument:
        found = self._floor.exchange.assets_.find(symbol)
        if found is None:
            raise invalid(f'asset "{symbol}" not found')
        return found

    def _after(self, fault: Fills, verb: Callable[..., object], *what: object) -> None:
        self._floor.at(self._floor.now + int(fault.seconds * SECOND), lambda: verb(*what, self._floor.now))
