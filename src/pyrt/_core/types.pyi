from decimal import Decimal
from enum import IntEnum, IntFlag
from typing import Final

import numpy as np

PX_SCALE: Final[int]
NO_PRICE: Final[int]

class RecordType(IntEnum):
    TRADE = 1
    QUOTE = 2
    DELTA = 3
    STATUS = 4
    GAP = 5
    TIMER = 6
    TRADE_CANCEL = 7
    BAR = 20
    DEFINE = 21

class Flag(IntFlag):
    GAP = 1
    LATE = 2
    AMENDED = 4
    CORRECTED = 8
    BACKFILLED = 16
    HALTED = 32
    TOP_ONLY = 64
    LAST = 128
    SNAPSHOT = 256
    CROSSED = 512
    INELIGIBLE = 1024
    FEED_IEX = 4096
    FEED_SIP = 8192

class Side(IntEnum):
    BUY = 1
    SELL = 2

class Action(IntEnum):
    SET = 0
    CLEAR = 1
    NOTHING = 2

class TradingState(IntEnum):
    TRADING = 1
    HALTED = 2
    PAUSED = 3
    QUOTING = 4

class GapCause(IntEnum):
    DISCONNECT = 1
    SILENCE = 2
    SLOW = 3
    SEQUENCE = 4
    CROSSED = 5

class Clock(IntEnum):
    VENUE = 1
    MONO = 2

header_dtype: np.dtype[np.void]
trade_dtype: np.dtype[np.void]
quote_dtype: np.dtype[np.void]
delta_dtype: np.dtype[np.void]
status_dtype: np.dtype[np.void]
gap_dtype: np.dtype[np.void]
timer_dtype: np.dtype[np.void]
market_dtype: np.dtype[np.void]
bar_dtype: np.dtype[np.void]
define_dtype: np.dtype[np.void]
ref_dtype: np.dtype[np.void]

def to_units(value: int | float | str | Decimal | np.integer | np.floating, exp: int = 9) -> int: ...
def from_units(units: int, exp: int = 9) -> Decimal: ...
def format_units(units: int, exp: int = 9) -> str: ...
