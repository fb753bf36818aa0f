from collections.abc import Mapping
from enum import IntEnum, IntFlag
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from pyrt._core.book import OrderBook
from pyrt._core.ledger import Ledger

class Code(IntFlag):
    ORDER_QTY = 1
    ORDER_NOTIONAL = 2
    PRICE_COLLAR = 4
    SLIPPAGE = 8
    POSITION_LIMIT = 16
    GROSS_EXPOSURE = 32
    NET_EXPOSURE = 64
    OPEN_ORDER_VALUE = 128
    OPEN_ORDER_COUNT = 256
    BUYING_POWER = 512
    PARENT_EXCEEDED = 1024
    REPEAT_EXEC = 2048
    DUPLICATE = 4096
    SELF_MATCH = 8192
    SHORT_NOT_ALLOWED = 16384
    RESTRICTED = 32768
    MARKET_CLOSED = 65536
    HALTED = 131072
    LULD = 262144
    STALE_DATA = 524288
    THROTTLE = 1048576
    ORDER_RATE = 2097152
    CANCEL_RATIO = 4194304
    DAILY_LOSS = 8388608
    DRAWDOWN = 16777216
    KILLED = 33554432
    NOT_RECONCILED = 67108864
    REDUCE_ONLY = 134217728
    LIMIT_MISSING = 268435456
    ARITHMETIC_OVERFLOW = 536870912

class Level(IntEnum):
    ACTIVE = 0
    REDUCING = 1
    HALTED = 2
    KILLED = 3

UNITS: dict[Code, str]
RULES: tuple[str, ...]
BOUNDS: tuple[str, ...]

class Failure(NamedTuple):
    code: Code
    limit: int
    observed: int
    unit: str

@final
class Gate:
    ledger: Ledger
    unmarked: int
    crossed: int
    @property
    def failures(self) -> list[Failure]: ...
    @property
    def ref_px(self) -> int: ...
    @property
    def day_pnl(self) -> int: ...
    @property
    def drawdown(self) -> int: ...
    @property
    def peak_pnl(self) -> int: ...
    def __new__(cls, ledger: Ledger, refs: NDArray[np.void]) -> Gate: ...
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
        reduce_only: bool = False,
        extended: bool = False,
        replaces: int = 0,
        every: bool = True,
    ) -> int: ...
    def confirm(
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
        ref_px: int,
        at: int,
        replaces: int = 0,
    ) -> None: ...
    def adopt(self, key: int, instrument: int, side: int, leaves: int, px: int, cross_px: int, at: int) -> bool: ...
    def expire(self, key: int, replaces: int = 0) -> bool: ...
    def fill(self, key: int, strategy: int, instrument: int, side: int, px: int, qty: int, fee: int, at: int) -> int: ...
    def seen(self, key: int, at: int) -> None: ...
    def unknown(self, key: int, is_unknown: bool) -> None: ...
    def settle(self, key: int, accepted: bool) -> bool: ...
    def release(self, key: int, *, canceled_at: int = 0) -> bool: ...
    def cancel_sent(self, mono: int) -> None: ...
    def latch(self, scope: str, level: int) -> None: ...
    def level(self, scope: str) -> Level: ...
    def open(self, how: int) -> None: ...
    def account(self, buying_power: int, at: int) -> None: ...
    def mark(self) -> int: ...
    def begin_day(self, baseline: int, peak: int | None = None) -> None: ...
    def session(
        self, instrument: int, opens: int, closes: int, *, pre_open: int | None = None, post_close: int | None = None
    ) -> None: ...
    def no_session(self, instrument: int) -> None: ...
    def watch(self, instrument: int, book: OrderBook) -> None: ...
    def bands(self, instrument: int, lower_px: int, upper_px: int) -> None: ...
    def set_rules(self, rules: Mapping[str, int | None]) -> None: ...
    def set_bounds(self, instrument: int, bounds: Mapping[str, int | None]) -> None: ...
    def state(self) -> bytes: ...
