from enum import IntFlag
from typing import Final

class BarField(IntFlag):
    NONE = 0
    VOLUME = 1
    RANGE = 2
    LAST = 4
    ALL = 7

CONDITION_RULES: Final[dict[str, BarField]]
