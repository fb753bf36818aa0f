from collections.abc import Iterable
from typing import Any, final

import numpy as np

COUNT_NAMES: tuple[str, ...]
INELIGIBLE: bytes

@final
class Decoder:
    codec: str
    control: list[bytes]
