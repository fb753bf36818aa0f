from collections.abc import Iterable
from typing import final

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

from pyrt._core.encode import Encoder as Encoder

COUNT_NAMES: tuple[str, ...]
INELIGIBLE: bytes

@final
class Decoder:
    codec: str
    control: list[bytes]
    def __new__(cls, codec: str = "msgpack", *, feed_flag: int = 0, ineligible: Iterable[int] = ...) -> Decoder: ...
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
    def feed(self, frame: Buffer, ts_recv: int) -> int: ...
    def take(self) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void]]: ...
    @property
    def counters(self) -> dict[str, int]: ...
