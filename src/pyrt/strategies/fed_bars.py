"""What stands before a strategy's on_bar while it has indicators."""

from collections.abc import Callable

from pyrt._core.events import Bar
from pyrt.indicators import IndicatorSet


class FedBars:
    """Gives a bar to indicators, then to on_bar.

    Amended bars and time bars that come after newer ones are for on_bar alone: what an average has taken in cannot be taken out.
    """

    __name__ = "on_bar"

    def __init__(self, on_bar: Callable[[Bar], None] | None) -> None:
        self.sets: list[IndicatorSet] = []
        self._on_bar = on_bar
        self._newest = -1

    def __call__(self, bar: Bar) -> None:
        if not bar.revision and (bar.start > self._newest or bar.interval < 0):
            self._newest = bar.start
            for each in self.sets:
                each.on_bar(bar)
        if self._on_bar is not None:
            self._on_bar(bar)
