from typing import final

import numpy as np
from numpy.typing import NDArray

from pyrt._core.ledger import Ledger

@final
class Screen:
    def __new__(cls, ledger: Ledger, refs: NDArray[np.void]) -> Screen: ...
    def account(self, seen: bool, shorts: bool, buying_power: int) -> None: ...
    def clean(
        self,
        instrument: int,
        side: int,
        qty: int,
        limit_px: int,
        stop_px: int,
        one: int,
        *,
        today: bool,
        shortable: bool,
        easy: bool,
    ) -> bool: ...
