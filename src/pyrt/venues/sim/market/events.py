"""What happens to one generated tape beside its quotes and prints: crosses, corporate actions, bands and pauses."""

from collections.abc import Iterable, Sequence
from math import exp
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyrt.clock import MINUTE
from pyrt.model import AssetClass
from pyrt.venues.sim.actions import Action
from pyrt.venues.sim.market import auctions
from pyrt.venues.sim.market.halts import Halts

if TYPE_CHECKING:
    from pyrt.venues.sim.market.generator import Tape

Records = npt.NDArray[np.void]

LAYER = 3  # of the tape's random numbers: crosses
_MINUTES = 1440


class Events:
    """The events of a tape: crosses of a share by themselves, the rest when `dress` says so."""

    def __init__(self, tape: "Tape") -> None:
        self._tape = tape
        self._factors: list[tuple[int, float]] = []  # minute (ns UTC // MINUTE) from which on, what prices are multiplied by
        self.halts: Halts | None = None

    def scale(self, number: int) -> float:
        """What the undisturbed prices of a minute are multiplied by."""
        product = 1.0
        for begin, factor in self._factors:
            if number >= begin:
                product *= factor
        return product

    def apply(self, rows: Records, number: int) -> Records:
        """The records of a minute with its events."""
        tape = self._tape
        if tape.instrument.asset_class != AssetClass.US_EQUITY:
            return rows
        if number in auctions.crosses(number // _MINUTES):
            rows = auctions.with_cross(rows, number, tape._bits(LAYER, number), tape.listing.tape)
        return self.halts.apply(rows, number) if self.halts is not None else rows

    def disturbed(self, number: int, count: int) -> list[int]:
        """Those of `count` minutes of one day, in order, in which quotes or prints are not the undisturbed ones."""
        if self._tape.instrument.asset_class != AssetClass.US_EQUITY:
            return []
        minutes = set(auctions.crosses(number // _MINUTES))
        if self.halts is not None:
            minutes.update(*(pause.minutes for pause in self.halts.pauses(number // _MINUTES)))
        return sorted(minutes.intersection(range(number, number + count)))

    def take(self, action: Action) -> None:
        """From an action's ex instant on: prices of new shares, or without the dividend."""
        begin = action.ex // MINUTE
        if action.is_split:
            self._factors.append((begin, float(1 / action.ratio)))
            return
        day, minute = divmod(begin, _MINUTES)
        before = exp(self._tape._minutes(day)[0][minute]) * self._tape.listing.base * self.scale(begin - 1)
        self._factors.append((begin, max(1 - float(action.rate) / before, 0.01)))


def dress(tapes: Iterable["Tape"], actions: Sequence[Action], halts: float) -> None:
    """Give tapes their corporate actions and volatility pauses (so many a session), before anything is generated."""
    for tape in tapes:
        if tape.instrument.asset_class != AssetClass.US_EQUITY:
            continue
        for action in sorted(actions, key=lambda a: a.ex):
            if action.symbol == tape.instrument.symbol:
                tape.events.take(action)
        if halts:
            tape.events.halts = Halts(tape, halts)
