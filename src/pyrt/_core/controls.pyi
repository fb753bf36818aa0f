from typing import Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer, disjoint_base

from pyrt._core.codes import UNITS as UNITS
from pyrt._core.codes import Failure
from pyrt._core.ledger import Ledger
from pyrt._core.prices import Prices

order_dtype: np.dtype[np.void]

@disjoint_base
class Controls(Prices):
    ledger: Ledger
    unmarked: int
    unpriced: int
    clock_off: int
    crossed: int
    @property
    def failures(self) -> list[Failure]: ...
    @property
    def ref_px(self) -> int: ...
    def __new__(cls, ledger: Ledger, refs: NDArray[np.void]) -> Self: ...
    def check(
        self,
        key: int,
        strategy: int,
        instrument: int,
        side: int,
        kind: int,
        qty: int,
        limit_px: int = 0,
        stop_px: int = 0,
        *,
        now: int,
        mono: int,
        trail: int = 0,
        reduce_only: bool = False,
        extended: bool = False,
        auction: bool = False,
        replaces: int = 0,
        every: bool = True,
    ) -> int: ...
    def check_all(self, orders: Buffer, *, now: int, mono: int, every: bool = True) -> NDArray[np.uint64]: ...
