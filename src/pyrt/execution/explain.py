"""A difference between venue and journal that a human explains: booked to the unit, or refused with what is there."""

from pyrt._core.types import PX_SCALE, format_units
from pyrt.execution.orders import EXPLAINED, Orders
from pyrt.execution.reconcile import Reconciler
from pyrt.execution.step import Step
from pyrt.model import OrderStatus, PositionAdjusted
from pyrt.ports import Explain, Sync


class Explainer:
    """Books what a human says of a difference, where nothing else may still say it."""

    def __init__(self, orders: Orders, reconciler: Reconciler) -> None:
        self._orders = orders
        self._reconciler = reconciler

    def on_explain(self, event: Explain, step: Step) -> None:
        """Book it, or tell why not; where another reading would help, one is taken."""
        why_not = self.refusal(event)
        if why_not:
            step.alarm("warning", "EXPLAIN_REFUSED", why_not)
            self._reconciler.ask(step)
            return
        terms = self._orders.instruments[event.instrument]
        fact = PositionAdjusted(
            instrument=event.instrument,
            strategy=event.strategy,
            qty=event.qty,
            cost=event.qty * event.px * terms.multiplier // 10**terms.qty_exp,
            reason=f"{EXPLAINED} by {event.who}: {event.why}",
            ts=step.now.venue,
        )
        step.append(fact, Sync.SOON)
        self._reconciler.explained(event.instrument, step)
        price = format_units(event.px, PX_SCALE)
        text = f"{terms.symbol}: {format_units(event.qty, terms.qty_exp)} booked at {price} on the word of {event.who}: {event.why}"
        step.alarm("info", EXPLAINED, text)

    def refusal(self, event: Explain) -> str:
        """Why it cannot be booked now; empty where it can."""
        if not event.who.strip() or not event.why.strip():
            return "a difference is explained only with who and why"
        if event.px < 0:
            return "a price is not negative"
        if event.instrument not in self._orders.instruments:
            return f"there is no instrument {event.instrument}"
        symbol, exp = self._orders.instruments[event.instrument].symbol, self._orders.instruments[event.instrument].qty_exp
        if unsure := self._unsure(event.instrument, symbol):
            return unsure
        difference = self._reconciler.breaks[event.instrument].difference
        if event.qty != difference:
            there, said = format_units(difference, exp), format_units(event.qty, exp)
            return f"{symbol}: the venue's position differs by {there}, not by {said}"
        return ""

    def _unsure(self, instrument: int, symbol: str) -> str:
        """Why the difference of an instrument is not one that a human should explain, or not yet."""
        orders, reconciler = self._orders, self._reconciler
        if not reconciler.recovered:
            return f"{symbol}: recovery is not over"
        if any(o.instrument == instrument and o.status is OrderStatus.UNKNOWN for o in orders.open.values()):
            return f"{symbol}: the fate of an order is not known, which may explain it: wait until it is"
        if any(order is None or order.instrument == instrument for order in map(orders.by_number.get, reconciler.observer.missing)):
            return f"{symbol}: fills of an order are missing, which may explain it: wait for them"
        if reconciler.waits:
            return f"{symbol}: the journal is asked for an older order, which may explain it: ask again"
        if instrument not in reconciler.breaks:
            return f"{symbol}: there is nothing to explain, the venue's last reading agrees with the journal"
        if instrument not in reconciler.unexplained or reconciler.breaks[instrument].cycles < 2:
            return f"{symbol}: the difference was read once only; the next reading is under way: ask again"
        if instrument in reconciler.observer.moved:
            return f"{symbol}: the venue was read before the last fill of it; the next reading is under way: ask again"
        return ""
