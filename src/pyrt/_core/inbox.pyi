from collections.abc import Callable
from typing import Any, Self, final

import numpy as np

from pyrt._core.entries import Entries
from pyrt._core.loop import Loop
from pyrt._core.pipeline import Pipeline
from pyrt._core.strategy import Dispatch

_Records = np.ndarray[Any, np.dtype[np.void]]

@final
class Passed:
    quiet: bool
    def __new__(cls, *, on_full: Callable[[], object]) -> Self: ...
    def take(self) -> _Records: ...

@final
class Inbox:
    seq: int
    open: bool
    passed: Passed | None
    watch: Callable[[_Records], object] | None
    begun: int
    @property
    def venue(self) -> int: ...
    @property
    def mono(self) -> int: ...
    def __new__(
        cls,
        *,
        monotonic: Callable[[], int],
        on_due: Callable[[_Records, int, int, int], object],
        on_close: Callable[[], object],
    ) -> Self: ...
    def give_to(
        self,
        loop: Loop,
        *,
        instant: type[tuple[Any, ...]],
        on_fault: Callable[[Exception], object],
        dispatch: Dispatch | None = None,
    ) -> None: ...
    def clock(self, epoch: int, origin: int, rate: float) -> None: ...
    def show(self, mono: int) -> int: ...
    def connect(self, pipeline: Pipeline, counts: dict[str, int], entries: Entries | None, *, sequenced: bool) -> None: ...
