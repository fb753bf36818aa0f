from collections.abc import Iterable
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

QUEUES: Final[dict[str, int]]
FILL: Final[int]
CANCELED: Final[int]
TRIGGERED: Final[int]
execution_dtype: np.dtype[np.void]

@final
class Matcher:
    def __new__(cls, instruments: Iterable[int] = (), queue: str = "pessimistic") -> Matcher: ...
    def add(self, instrument: int) -> None: ...
    def market(self, records: npt.NDArray[Any]) -> int: ...
    def run(self, records: npt.NDArray[Any], start: int = 0) -> int: ...
    def submit(
        self,
        instrument: int,
        order: int,
        owner: int,
        side: int,
        qty: int,
        limit_px: int = 0,
        stop_px: int = 0,
        tif: int = ...,
        ts: int = 0,
        *,
        trail: int = 0,
        ratio: int = 0,
        best: int = 0,
        budget: int = 0,
        one: int = 0,
    ) -> int: ...
    def reduce(self, instrument: int, order: int, qty: int) -> int: ...
    def cancel(self, instrument: int, order: int) -> int: ...
    @property
    def waiting(self) -> int: ...
    def take(self) -> npt.NDArray[np.void]: ...
    def top(self, instrument: int) -> tuple[int, int, int, int, int]: ...
    def ahead(self, instrument: int, order: int) -> int | None: ...
    def best(self, instrument: int, order: int) -> int: ...
