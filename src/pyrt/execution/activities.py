"""What moves cash and shares beside fills: fees, dividends, interest, transfers, splits; each activity of the venue once."""

from pyrt._core.types import PX_SCALE, format_units, to_units
from pyrt.execution.orders import BASE, UNEXPLAINED, Orders
from pyrt.execution.step import Step
from pyrt.model import EXTERNAL, CashMoved, PositionAdjusted
from pyrt.ports import Sync, VenueActivity

SPLIT = "SPLIT"
COIN_FEE = "CFEE"  # of a purchase of coins: taken in coins, of a sale: in money
CASH_TOLERANCE = 1000  # 1e-6 in 1e-9 units


class Activities:
    """Books activities and judges the venue's cash by them; says what splits explain of a position."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._splits: list[VenueActivity] = []  # and fees in coins: told by the last snapshot, not yet booked
        self._difference = 0  # of the cash, at the last reading
        self.accrued = 0  # fees, at the last reading: they may be off the cash, and no activity tells them before the day's end

    # -------------------------------------------------------------------------------------------- booking
    def fold(self, told: tuple[VenueActivity, ...], opening: bool, flows: set[int], step: Step) -> None:
        """Book what is new. A new journal counts nothing that was there before it. `flows`: those since the query; grown here."""
        self._splits = []
        fresh = opening or self._orders.cash_base is None  # an opening that was not told of them is still one
        for activity in told:
            if self._orders.activities.knows(activity.activity_id, activity.ts):
                continue
            try:
                net = to_units(activity.net or "0", PX_SCALE)
            except ValueError as e:
                step.alarm("critical", "UNREADABLE", f"activity {activity.activity_id}: {e}")
                continue
            in_coins = activity.type == COIN_FEE and activity.qty not in ("", "0") and not net
            if (activity.type == SPLIT or in_coins) and not opening:
                self._splits.append(activity)
                continue
            self._book(activity, net, not fresh, step)
            flows.add(self._orders.cash_flow)

    def _book(self, activity: VenueActivity, net: int, counted: bool, step: Step) -> None:
        instrument = self._orders.instruments.get(activity.symbol) if activity.symbol else None
        fact = CashMoved(
            activity_id=activity.activity_id,
            type=activity.type,
            net=net,
            instrument=0 if instrument is None else instrument.id,
            counted=counted,
            ts=step.now.venue,
        )
        step.append(fact, Sync.SOON)
        missing = self._orders.unexplained_cash
        if counted and missing and net and (net > 0) == (missing > 0) and abs(net) <= abs(missing):
            step.append(CashMoved(activity_id="", type=UNEXPLAINED, net=-net, ts=step.now.venue), Sync.SOON)

    # -------------------------------------------------------------------------------------------- splits
    def explain(self, instrument: int, difference: int, step: Step) -> bool:
        """Book a difference of the position that splits or fees explain to the unit, to each strategy its part; else False.

        What is told and not in the position yet is left for the next reading.
        """
        known = self._orders.instruments[instrument]
        mine = [split for split in self._splits if split.symbol == known.symbol]
        try:
            told = sum(to_units(split.qty or "0", known.qty_exp) for split in mine)
        except ValueError as e:
            step.alarm("critical", "UNREADABLE", f"split of {known.symbol}: {e}")
            return False
        whole = self._orders.positions.get(instrument, 0)
        if not mine or told != difference or not whole:
            return False
        parts = [
            (strategy, qty * difference // whole) for (strategy, i), qty in sorted(self._orders.held.items()) if i == instrument
        ]
        for strategy, part in [*parts, (EXTERNAL, difference - sum(part for _, part in parts))]:
            if part:
                self._adjust(strategy, instrument, part, f"{mine[0].type} {mine[0].activity_id}", step)
        for split in mine:
            self._book(split, 0, True, step)
        self._splits = [split for split in self._splits if split not in mine]
        what = "a split" if mine[0].type == SPLIT else "fees in coins"
        text = f"{known.symbol}: {what} changed the position by {format_units(difference, known.qty_exp)} to "
        step.alarm("info", mine[0].type, text + format_units(whole + difference, known.qty_exp))
        return True

    def _adjust(self, strategy: int, instrument: int, qty: int, reason: str, step: Step) -> None:
        fact = PositionAdjusted(instrument=instrument, strategy=strategy, qty=qty, cost=0, reason=reason, ts=step.now.venue)
        step.append(fact, Sync.SOON)

    # -------------------------------------------------------------------------------------------- cash
    def compare(self, flows: set[int], opening: bool, step: Step) -> bool:
        """Cash must move as fills and activities say; False where it must be read once more to tell.

        What two readings show and nothing explains closes the account's latch at REDUCING; it is booked as unexplained then, so
        that a human who resumes starts from what the venue has.
        """
        orders = self._orders
        assert orders.account is not None
        cash = orders.account.cash
        if orders.cash_base is None or opening:  # an opening that did not end is made anew, whole
            base = cash - orders.cash_flow if len(flows) == 1 else None  # a reading that nothing crossed
            if base != orders.cash_base:
                self._move(BASE, base or 0, step, counted=base is not None)
            return True
        owed = {cash - orders.cash_base - flow: flow for flow in flows}
        difference = min(owed, key=abs)
        if abs(difference) <= CASH_TOLERANCE:
            self._difference = 0
            if difference:  # rounding that would add up
                self._move(BASE, cash - owed[difference], step)
        elif self.accrued > 0 and any(abs(each + self.accrued) <= CASH_TOLERANCE for each in owed):
            self._difference = 0
        elif difference != self._difference or len(flows) > 1:
            self._difference = difference
            return False
        else:
            self._difference = 0
            text = f"the account's cash moved by {format_units(difference)} that no fill and no activity explains"
            step.alarm("critical", "CASH_BREAK", text)
            step.kill("REDUCING", "account", text)
            self._move(UNEXPLAINED, difference, step)
        return True

    def _move(self, kind: str, net: int, step: Step, *, counted: bool = True) -> None:
        step.append(CashMoved(activity_id="", type=kind, net=net, counted=counted, ts=step.now.venue), Sync.SOON)
