from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

from pyrt._core.types import bar_dtype as bar_dtype
from pyrt._core.types import market_dtype as market_dtype

COUNT_NAMES: tuple[str, ...]
INELIGIBLE: bytes

@disjoint_base
class Messages:
    def __new__(cls, codec: str = "msgpack", *, feed_flag: int = 0, ineligible: Iterable[int] = ...) -> Messages: ...
    @property
    def codec(self) -> str: ...
    @property
    def control(self) -> list[bytes]: ...
    @property
    def counters(self) -> dict[str, int]: ...
    def register(
        self,
        symbol: str,
        instrument: int,
        *,
        tick: int,
        sub_tick: int,
        lot: int = 1,
        qty_exp: int = 9,
        quote_unit: int = 1,
    ) -> None: ...
    def take(self) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void]]: ...
