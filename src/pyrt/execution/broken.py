"""Positions that differ from what the fills explain, as facts: an instrument takes entries again when its difference is gone."""

from collections.abc import Mapping

from pyrt.execution.step import Step
from pyrt.model import BreakSeen, PositionAdjusted
from pyrt.ports import Sync


class Broken:
    """What this life told; the next one finds and tells it anew."""

    def __init__(self) -> None:
        self._told: dict[int, int | None] = {}  # instrument -> difference, qty units; None = somebody explained some of it since

    def adjusted(self, fact: PositionAdjusted) -> None:
        """A difference was explained, or a part of it: the next reading tells what is left, were it nothing."""
        if fact.instrument in self._told:
            self._told[fact.instrument] = None

    def tell(self, found: Mapping[int, int], sure: Mapping[int, int], step: Step) -> None:
        """Journal what changed since it was told last. `sure`: of the differences found those that count from now on.

        What was told counts until it is not found any more.
        """
        told: dict[int, int | None] = {i: found[i] for i in sorted(found) if i in sure or i in self._told}
        for instrument in sorted(told.keys() | self._told.keys()):
            difference = told.get(instrument) or 0
            if difference != self._told.get(instrument, 0):
                step.append(BreakSeen(instrument=instrument, difference=difference, ts=step.now.venue), Sync.SOON)
        self._told = told
