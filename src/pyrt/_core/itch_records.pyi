from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

from pyrt._core.l3 import order_event_dtype as order_event_dtype

HEAD: Final[tuple[tuple[str, int], ...]]
MESSAGES: Final[dict[str, tuple[tuple[str, int | str], ...]]]

def decode(data: Buffer) -> NDArray[np.void]: ...
def encode(events: Buffer, symbols: Mapping[int, str] | Sequence[str] = ()) -> bytes: ...
def message(letter: str, **fields: Any) -> bytes: ...
def parse(data: bytes) -> dict[str, Any]: ...
