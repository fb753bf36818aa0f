"""Requests that take time to come to the matcher, and the races that this makes.

With a latency of 0 a request is there at once, and none of the pending states is ever seen. An order that is to be replaced goes on
working until its replacement arrives; the larger of both is held back meanwhile.
"""

from typing import TYPE_CHECKING

import msgspec

from pyrt.errors import ConfigError
from pyrt.venues.sim.exchange import groups
from pyrt.venues.sim.exchange.orders import FINAL, Row

if TYPE_CHECKING:
    from pyrt.venues.sim.exchange.trade import Trading


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long requests travel, ns of venue time."""

    entry: int = 0
    cancel: int = 0
    replace: int = 0

    def __post_init__(self) -> None:
        if min(self.entry, self.cancel, self.replace) < 0:
            raise ConfigError("a latency is below 0", where="latency", mend="give ns of venue time, 0 for none")


def enter(venue: "Trading", row: Row, latency: int) -> None:
    """A new order leaves for the matcher."""
    if not latency:
        venue.launch(row, venue.state.now)
        return
    _fly(venue, row, True)
    venue.tell(row, "pending_new", venue.state.now)
    venue.state.put(venue.state.now + latency, "entry", number=row.number)


def _fly(venue: "Trading", row: Row, flying: bool) -> None:
    row.flying = flying
    for number in row.legs:
        leg = venue.state.rows[number - 1]
        leg.flying = flying and not leg.waits
        venue.touched.add(number)


def entry_arrives(venue: "Trading", number: int) -> None:
    """A new order is there, unless it ended on the way."""
    row, now = venue.state.rows[number - 1], venue.state.now
    if row.status in FINAL:
        return
    _fly(venue, row, False)
    if venue.hours.works(now, row):
        venue.launch(row, now)
    else:
        _wait(venue, row, now)


def _wait(venue: "Trading", row: Row, now: int) -> None:
    """An order came too late for its hours, and waits for the next ones."""
    row.status = "accepted"
    row.updated_at = now
    venue.tell(row, "accepted", now)


def replace(venue: "Trading", old: Row, row: Row, latency: int) -> None:
    """A replacement leaves for the matcher. An order that is not there yet is replaced at once."""
    if not latency or not old.working:
        replacement_arrives(venue, row.number)
        return
    row.flying = True
    venue.weigh(row)
    old.pending, old.successor = "pending_replace", row.number
    old.updated_at = venue.state.now
    venue.tell(old, "pending_replace", venue.state.now)
    venue.tell(row, "pending_new", venue.state.now)
    venue.state.put(venue.state.now + latency, "replace", number=row.number)


def replacement_arrives(venue: "Trading", number: int) -> None:
    """The replacement takes the place of the old order, or is rejected because that has filled or ended."""
    row, now = venue.state.rows[number - 1], venue.state.now
    old = venue.replaced_by(row)
    old.pending, old.successor = ("" if old.pending == "pending_replace" else old.pending), 0
    if row.status in FINAL or old.status in FINAL or row.qty <= old.spent:
        old.updated_at = now
        venue.tell(old, "order_replace_rejected", now)
        if row.status not in FINAL:
            venue.drop(row, "rejected", now)
        return
    row.flying = False
    row.follow_on(old)
    row.triggered = row.stays_reached(old)
    venue.follow(old)
    row.hwm = old.hwm
    old.replaced_by, old.replaced_at = row.id, now
    held = old.status == "held"
    venue.drop(old, "replaced", now)
    if old.role:
        groups.take_over(venue, old, row)
    venue.weigh(row)
    if held:
        row.status = "held"
        venue.open_of(row).unplace(row)
        venue.tell(row, "held", now)
    if row.status == "pending_new" and not row.waits and not venue.hours.works(now, row):
        _wait(venue, row, now)
    elif not row.waits:
        venue.enter_hours(row, now)


def cancel(venue: "Trading", row: Row, latency: int) -> None:
    """The wish to cancel leaves for the matcher. An order that is not there is canceled at once."""
    if row.pending == "pending_cancel":
        return
    if not latency or not (row.working or row.flying):
        venue.end(row, "canceled", venue.state.now)
        return
    row.pending = "pending_cancel"
    row.updated_at = venue.state.now
    venue.tell(row, "pending_cancel", venue.state.now)
    venue.state.put(venue.state.now + latency, "cancel", number=row.number)


def cancel_arrives(venue: "Trading", number: int) -> None:
    """The order is canceled; one that has filled meanwhile is not."""
    row, now = venue.state.rows[number - 1], venue.state.now
    row.pending = ""
    if row.status not in FINAL:
        venue.end(row, "canceled", now)
    elif row.status == "filled":
        venue.tell(row, "order_cancel_rejected", now)
