from collections.abc import Collection, Mapping, Sequence
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Buffer, disjoint_base

from pyrt._core.conditions import BarField
from pyrt._core.sampled import BarSpec

DAY: Final[int]

@disjoint_base
class BarAggregator:
    def __new__(
        cls,
        intervals: Sequence[int | str | BarSpec],
        *,
        grace: int = 0,
        keep: int = 16,
        keep_trades: int = 256,
        boundaries: ArrayLike | None = None,
        anchored: Collection[int] = (),
        rules: Mapping[str, BarField] | None = None,
        instrument: int = 0,
        qty_exp: int = 9,
    ) -> Self: ...
    def apply(self, records: Buffer) -> int: ...
    def close(self, at: int) -> None: ...
    def take(self) -> NDArray[np.void]: ...
    def forming(self) -> NDArray[np.void]: ...
    @property
    def next_close(self) -> int: ...
    @property
    def counters(self) -> dict[str, int]: ...
