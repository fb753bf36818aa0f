"""What moves cash and shares beside fills: fees, dividends, interest, transfers, splits; each activity of the venue once."""

from collections.abc import Callable, Container
from typing import NamedTuple

from pyrt._core.types import PX_SCALE, format_units, to_units
from pyrt.execution.orders import BASE, UNEXPLAINED, Orders
from pyrt.execution.step import Step
from pyrt.model import EXTERNAL, CashMoved, PositionAdjusted
from pyrt.ports import Sync, VenueActivity

COIN_FEE = "CFEE"  # of a purchase of coins: taken in coins, of a sale: in money
IN_PROPORTION = frozenset({"SPLIT", "SSP", COIN_FEE})  # what changes everybody's shares alike
BY_OWNER = frozenset({"JNLS", "ACATS"})  # transfers: neither gain nor loss
# What moves shares by `qty`. Of others (dividends) it says how many shares were counted.
SHARES = BY_OWNER | frozenset(
    ["SPLIT", "SSP", "SPIN", "SSO", "MA", "NC", "SC", "REORG", "OPEXC", "OPXRC", "OPASN", "OPEXP", "OPCSH", "OPTRD"]
)
_WORDS = {"SPLIT": "a split", COIN_FEE: "fees in coins"}
CASH_TOLERANCE = 1000  # 1e-6 in 1e-9 units


class _Move(NamedTuple):
    """An activity that says that shares moved."""

    activity: VenueActivity
    net: int  # money that moved with them


class Activities:
    """Books activities and judges the venue's cash by them; says what they explain of a position."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._moves: list[_Move] = []  # told by the last snapshot, not yet booked
        self._waited: set[str] = set()  # names of those that the snapshot before told already
        self._flows: set[int] = set()
        self._difference = 0  # of the cash, at the last reading
        self.accrued = 0  # fees, at the last reading: they may be off the cash, and no activity tells them before the day's end
        self.mark: Callable[[int, int], int] = lambda instrument, qty: 0  # what a share of a position is worth now; 0 = not known

    # -------------------------------------------------------------------------------------------- booking
    def fold(self, told: tuple[VenueActivity, ...], opening: bool, flows: set[int], step: Step) -> None:
        """Book what is new. A new journal counts nothing that was there before it. `flows`: those since the query; grown here."""
        self._moves, self._flows = [], flows
        fresh = opening or self._orders.cash_base is None  # an opening that was not told of them is still one
        for activity in told:
            if self._orders.activities.knows(activity.activity_id, activity.ts):
                continue
            try:
                net = to_units(activity.net or "0", PX_SCALE)
            except ValueError as e:
                step.alarm("critical", "UNREADABLE", f"activity {activity.activity_id}: {e}")
                continue
            moves = activity.type in SHARES or (activity.type == COIN_FEE and not net)
            if moves and activity.qty not in ("", "0") and not fresh:
                self._moves.append(_Move(activity, net))
                continue
            self._book(activity, net, not fresh, step)

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
        self._flows.add(self._orders.cash_flow)

    # -------------------------------------------------------------------------------------------- shares
    def explain(self, instrument: int, difference: int, entry_px: int, step: Step) -> bool:
        """Book a difference of the position that activities explain to the unit; else False.

        What is told and not in the position yet is left for the next reading. entry_px: what the venue says that a share cost.
        """
        known = self._orders.instruments[instrument]
        mine = [move for move in self._moves if move.activity.symbol == known.symbol]
        try:
            told = sum(to_units(move.activity.qty, known.qty_exp) for move in mine)
        except ValueError as e:
            step.alarm("critical", "UNREADABLE", f"activity of {known.symbol}: {e}")
            return False
        whole = self._orders.positions.get(instrument, 0)
        shared = all(move.activity.type in IN_PROPORTION for move in mine)
        if not mine or told != difference or (shared and not whole):
            return False
        cost = -sum(move.net for move in mine)
        if any(move.activity.type in BY_OWNER for move in mine):
            px = self.mark(instrument, whole + difference or whole) or entry_px
            if not px:
                return False  # booked at nothing it would be a loss or a gain: a human names a price
            cost += difference * px * known.multiplier // 10**known.qty_exp
        parts = self._proportional(instrument, difference, whole) if shared else self._taken(instrument, difference, whole)
        first = mine[0].activity
        left = cost - sum(cost * part // difference for _, part in parts)  # rounding
        for strategy, part in parts:
            if part:
                reason = f"{first.type} {first.activity_id}"
                self._adjust(strategy, instrument, part, cost * part // difference + left, reason, step)
                left = 0
        self._done(mine, step)
        what, by = _WORDS.get(first.type, first.type), format_units(difference, known.qty_exp)
        text = f"{known.symbol}: {what} changed the position by {by} to {format_units(whole + difference, known.qty_exp)}"
        step.alarm("info", first.type, text)
        return True

    def said(self, instrument: int, step: Step) -> None:
        """A human explained the position as the venue shows it: what was told of it is part of that, and its money is counted."""
        symbol = self._orders.instruments[instrument].symbol
        self._done([move for move in self._moves if move.activity.symbol == symbol], step)

    def settle(self, broken: Container[int], step: Step) -> None:
        """Count the money of what two readings told, though the position shows no change: it has moved, whatever the shares do."""
        instruments = self._orders.instruments
        due = []
        for move in self._moves:
            instrument = instruments.get(move.activity.symbol)
            if move.net and move.activity.activity_id in self._waited and (instrument is None or instrument.id not in broken):
                due.append(move)
        self._waited = {move.activity.activity_id for move in self._moves}
        self._done(due, step)

    def _done(self, moves: list[_Move], step: Step) -> None:
        for move in moves:
            self._book(move.activity, move.net, True, step)
        self._moves = [move for move in self._moves if move not in moves]

    def _proportional(self, instrument: int, difference: int, whole: int) -> list[tuple[int, int]]:
        """To each holder its part; nobody's is the rest."""
        held = sorted(self._orders.held.items())
        parts = [(strategy, qty * difference // whole) for (strategy, i), qty in held if i == instrument]
        return [*parts, (EXTERNAL, difference - sum(part for _, part in parts))]

    def _taken(self, instrument: int, difference: int, whole: int) -> list[tuple[int, int]]:
        """What comes is nobody's; what goes is taken from nobody's first, then from one strategy after the other."""
        parts, left = [], difference
        if difference * whole < 0:
            for (strategy, i), qty in sorted(self._orders.held.items()):
                if i == instrument and qty * left < 0:
                    part = max(left, -qty) if left < 0 else min(left, -qty)
                    parts.append((strategy, part))
                    left -= part
        return [*parts, (EXTERNAL, left)]

    def _adjust(self, strategy: int, instrument: int, qty: int, cost: int, reason: str, step: Step) -> None:
        fact = PositionAdjusted(instrument=instrument, strategy=strategy, qty=qty, cost=cost, reason=reason, ts=step.now.venue)
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
