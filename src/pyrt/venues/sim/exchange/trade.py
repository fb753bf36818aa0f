"""What happens to orders once they are in: they work, fill and end, and it is told."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from pyrt._core.match import CANCELED, FILL, QUEUES
from pyrt._core.types import Side, format_units
from pyrt.errors import ConfigError
from pyrt.model import Instrument, OrderType
from pyrt.venues.sim.exchange import activities, day_trades, groups, mleg, notional, rules, state
from pyrt.venues.sim.exchange.account import Position, money, value_exp
from pyrt.venues.sim.exchange.desk import Desk
from pyrt.venues.sim.exchange.hours import Hours
from pyrt.venues.sim.exchange.orders import FINAL, FIRST_CONTRACT, REPLACEABLE, Body, Row
from pyrt.venues.sim.times import format_time, new_york

Update = tuple[str, Body]


class Trading(Desk):
    """The verbs by which rows change; time and requests come from above."""

    def __init__(
        self,
        instruments: Iterable[Instrument],
        kept: state.State,
        hours: Hours,
        *,
        queue: str = "pessimistic",
        second_leg: str = "held",
    ) -> None:
        if queue not in QUEUES:
            raise ConfigError(f"{queue!r} is no queue", where="queue", mend=f"use {' or '.join(QUEUES)}")
        if second_leg not in ("held", "new"):
            raise ConfigError(f"{second_leg!r} is no status of a second leg", where="second_leg", mend="use held or new")
        super().__init__(instruments, kept, queue)
        self.hours = hours
        self.holds_second_leg = second_leg == "held"  # the status of a pair's stop while the take-profit works
        self._updates: list[Update] = []
        self.fees: activities.Fees | None = None  # what sales cost; None = nothing
        self.statuses: list[npt.NDArray[np.void]] = []  # halts and bands of our own, for the data stream
        self._settling = False

    # ------------------------------------------------------------------------------------------------ to the matcher
    def launch(self, row: Row, now: int) -> None:
        """An order has come to the matcher, and the exits that work beside it."""
        self._route(row, now)
        for number in row.legs:
            leg = self.state.rows[number - 1]
            if not leg.waits and not leg.working and leg.status not in FINAL:
                self._route(leg, now)

    def enter_hours(self, row: Row, now: int) -> None:
        """Hand an order to the matcher if its hours are now; otherwise it waits for them."""
        if self.hours.works(now, row):
            self._route(row, now)

    def _route(self, row: Row, now: int) -> None:
        """Hand an order to the matcher, and tell that it works."""
        if self.options is not None and row.instrument >= mleg.PACKAGE and not self.options.route(row):
            return
        if row.status not in REPLACEABLE and not groups.stays_held(self, row):
            self._begin_work(row, now)
        row.working = True
        self.touched.add(row.number)
        limit_px, stop_px, trail_px, ratio = row.limit_px, row.stop_px, row.trail_px, row.trail_ratio
        if row.type is OrderType.STOP and row.side is Side.BUY and not row.trails:
            limit_px = rules.collar(row.stop_px)
        if row.triggered:
            stop_px = trail_px = ratio = 0
        budget, one = 0, 0
        if row.by_money:
            one = 10 ** self.assets_.instruments[row.instrument].qty_exp
            budget = row.notional + (-row.traded // one)
        owner = self.state.number_of(row.account)
        self.matcher.submit(
            row.instrument,
            row.number,
            owner,
            row.side,
            notional.MOST if row.by_money and row.opening else row.leaves,
            limit_px,
            stop_px,
            row.tif,
            now,
            trail=trail_px,
            ratio=ratio,
            best=row.hwm if trail_px or ratio else 0,
            budget=budget,
            one=one,
        )
        self._settle()

    def _begin_work(self, row: Row, at: int) -> None:
        if row.status == "held":
            self.open_of(row).place(row)
        row.status = "new"
        row.updated_at = at
        self.tell(row, "new", at)

    def _withdraw(self, row: Row) -> None:
        """Take an order out of the matcher; what it learned there stays with it."""
        if row.working:
            self.follow(row)
            self.matcher.cancel(row.instrument, row.number)
        row.working = False
        self.touched.add(row.number)

    # ------------------------------------------------------------------------------------------------ from the matcher
    def _settle(self) -> None:
        """Book what the matcher did, in its order, and what follows from it after it."""
        if self._settling:
            return
        self._settling = True
        try:
            while self.matcher.waiting:
                for number, _contra, px, qty, leaves, ts, _instrument, kind, _maker, _ in self.matcher.take().tolist():
                    row = self.state.rows[number - 1]
                    at = max(ts, row.updated_at)
                    row.working = row.working and leaves > 0
                    if kind == FILL:
                        self._fill(row, px, qty, at, done=row.by_money and not leaves)
                    elif kind == CANCELED:
                        self.end(row, "canceled", at)
                    else:
                        self._trigger(row, qty, at)
        finally:
            self._settling = False

    def _trigger(self, row: Row, best: int, at: int) -> None:
        row.triggered = True
        self.touched.add(row.number)
        if row.trails:
            row.hwm = best
        if row.role:
            groups.triggered(self, row, at)
        if row.status == "held":
            self._begin_work(row, at)

    def _fill(self, row: Row, px: int, qty: int, at: int, *, done: bool = False) -> None:
        """Book an execution; `done`: an order by money has spent it."""
        instrument = self.assets_.instruments[row.instrument]
        exp = instrument.qty_exp
        row.filled += qty
        row.traded += px * qty
        row.updated_at = at
        if done:
            row.qty = row.spent
        elif row.by_money and row.opening:  # how many more it may be for, at this price
            left = max(1, (row.notional + (-row.traded // 10**exp)) * 10**exp // px)
            row.qty = row.spent + left
        if row.status not in FINAL:
            row.status = "partially_filled" if row.leaves else "filled"
            if row.status == "filled":
                row.filled_at = at
                self._close(row)
            self.weigh(row)
        owner = self._account(row.account)
        position = owner.positions.setdefault(row.instrument, Position())
        if self.old_fields and not row.opening:
            day_trades.note(owner, instrument, row.number, position, new_york(at).date().isoformat())
        position.fill(row.side, px, qty, value_exp(instrument))
        cost = money(px, qty, value_exp(instrument))
        owner.cash -= cost if row.side is Side.BUY else -cost
        fill = self.state.add_fill(row, px, qty, at)
        if self.options is not None and row.instrument >= FIRST_CONTRACT:
            self.options.took(row.instrument, row.side, qty)
            if row.ratio:  # its package tells
                self.touched.add(row.number)
                return
        told = {
            "execution_id": fill.execution_id,
            "price": format_units(px),
            "qty": format_units(qty, exp),
            "position_qty": format_units(position.qty, exp),
        }
        self.tell(row, fill.type, at, told)
        activities.charge(self, row, px, qty)
        self._heed(row, qty, at)

    def fill_beyond(self, row: Row, qty: int, px: int) -> None:
        """Book a fill that the matcher knows nothing of."""
        if row.working and self.matcher.reduce(row.instrument, row.number, qty) == 0:
            row.working = False
        self._fill(row, px, qty, max(self.state.now, row.updated_at), done=row.by_money and not row.working)

    def _heed(self, row: Row, qty: int, at: int) -> None:
        """What a fill means for other orders."""
        if row.successor:
            successor = self.state.rows[row.successor - 1]
            successor.follow_on(row)
            self.touched.add(successor.number)
            if successor.status not in FINAL:
                self.weigh(successor)
        if row.role:
            groups.filled(self, row, qty, at)

    def end(self, row: Row, status: str, at: int) -> None:
        """An order ends without being filled, and its group with it."""
        alone = row.flying and row.replaces is not None  # not there yet: the order that it was to replace goes on
        self.drop(row, status, at)
        if row.role and not alone:
            groups.ended(self, row, status, at)

    def drop(self, row: Row, status: str, at: int) -> None:
        """An order ends without being filled."""
        row.status = status
        row.updated_at = max(at, row.updated_at)
        if status == "canceled":
            row.canceled_at = at
        elif status == "expired":
            row.expired_at = at
        elif status == "rejected":
            row.failed_at = at
        if row.order_class == "mleg":
            mleg.end(self, row, status, at)
        self._close(row)
        self.tell(row, status, at)

    def _close(self, row: Row) -> None:
        """A row that has become final no longer works or holds anything."""
        self._withdraw(row)
        row.flying, row.waits = False, False
        self.weigh(row)
        self.open_of(row).remove(row)
        for mate in self.mates(row) if row.role else ():
            self._weigh_both(mate)
        if row.successor:
            self.weigh(self.state.rows[row.successor - 1])

    def _weigh_both(self, row: Row) -> None:
        """An order, and the one that is under way to replace it and holds back what it needs more."""
        self.weigh(row)
        if row.successor:
            self.weigh(self.state.rows[row.successor - 1])

    def weigh_group(self, row: Row) -> None:
        """Both of a pair of exits, whichever has changed."""
        self._weigh_both(row)
        partner = self.partner(row)
        if partner is not None:
            self._weigh_both(partner)

    # ------------------------------------------------------------------------------------------------ told
    def tell(self, row: Row, event: str, at: int, extra: Body | None = None) -> Body:
        """Put an event on the account's stream, with the order as it is now, and return it."""
        self.touched.add(row.number)
        update = {"event": event, "timestamp": format_time(at), **(extra or {}), "order": self._show(row)}
        self._updates.append((row.account, update))
        return update

    def take_updates(self) -> list[Update]:
        """The trade_updates events since the last call, (account id, data), in the order in which they happened."""
        updates, self._updates = self._updates, []
        return updates
