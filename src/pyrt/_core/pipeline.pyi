from collections.abc import Collection, Mapping, Sequence
from typing import Self, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Buffer

from pyrt._core.book import OrderBook
from pyrt._core.conditions import BarField
from pyrt._core.sampled import BarSpec

@final
class Lines: ...

@final
class Pipeline:
    def __new__(cls, *, capacity: int = 4096, grace: int = 250_000_000, rules: Mapping[str, BarField] | None = None) -> Self: ...
    def add(
        self,
        instrument: int,
        tick: int,
        *,
        intervals: Sequence[int | str | BarSpec] = (),
        wake: int = 0,
        top_only: bool = True,
        boundaries: ArrayLike | None = None,
        anchored: Collection[int] = (),
        keep: int = 16,
        keep_trades: int = 256,
        qty_exp: int = 9,
    ) -> None: ...
    def wake(self, instrument: int, mask: int) -> None: ...
    def run(self, records: Buffer, start: int = 0) -> int: ...
    @property
    def due(self) -> int: ...
    def take_bars(self) -> NDArray[np.void]: ...
    def forming(self, instrument: int) -> NDArray[np.void]: ...
    @property
    def next_close(self) -> int: ...
    @property
    def refs(self) -> NDArray[np.void]: ...
    def book(self, instrument: int) -> OrderBook: ...
    def counters(self, instrument: int) -> dict[str, int]: ...
    @property
    def unknown(self) -> int: ...
