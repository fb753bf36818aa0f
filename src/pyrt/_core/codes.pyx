"""Why an order is denied, in words and units; R-numbers are those of the specification."""
from collections import namedtuple
from enum import IntEnum, IntFlag


class Code(IntFlag):
    """Why an order was denied; R-numbers are those of the specification."""

    ORDER_QTY = CODE_ORDER_QTY
    ORDER_NOTIONAL = CODE_ORDER_NOTIONAL
    PRICE_COLLAR = CODE_PRICE_COLLAR
    SLIPPAGE = CODE_SLIPPAGE
    POSITION_LIMIT = CODE_POSITION_LIMIT
    GROSS_EXPOSURE = CODE_GROSS_EXPOSURE
    NET_EXPOSURE = CODE_NET_EXPOSURE
    OPEN_ORDER_VALUE = CODE_OPEN_ORDER_VALUE
    OPEN_ORDER_COUNT = CODE_OPEN_ORDER_COUNT
    BUYING_POWER = CODE_BUYING_POWER
    PARENT_EXCEEDED = CODE_PARENT_EXCEEDED
    REPEAT_EXEC = CODE_REPEAT_EXEC
    DUPLICATE = CODE_DUPLICATE
    SELF_MATCH = CODE_SELF_MATCH
    SHORT_NOT_ALLOWED = CODE_SHORT_NOT_ALLOWED
    RESTRICTED = CODE_RESTRICTED
    MARKET_CLOSED = CODE_MARKET_CLOSED
    HALTED = CODE_HALTED
    LULD = CODE_LULD
    STALE_DATA = CODE_STALE_DATA
    THROTTLE = CODE_THROTTLE
    ORDER_RATE = CODE_ORDER_RATE
    CANCEL_RATIO = CODE_CANCEL_RATIO
    DAILY_LOSS = CODE_DAILY_LOSS
    DRAWDOWN = CODE_DRAWDOWN
    KILLED = CODE_KILLED
    NOT_RECONCILED = CODE_NOT_RECONCILED
    REDUCE_ONLY = CODE_REDUCE_ONLY
    LIMIT_MISSING = CODE_LIMIT_MISSING
    ARITHMETIC_OVERFLOW = CODE_ARITHMETIC_OVERFLOW
    PRICE_DRIFT = CODE_PRICE_DRIFT
    VAR_LIMIT = 0x80000000             # R22, with the next: what RiskManager finds outside the gate
    GREEKS_LIMIT = 0x100000000
    UNAUTHORISED = 0x200000000         # R25


class Level(IntEnum):
    """How far a latch is closed."""

    ACTIVE = LEVEL_ACTIVE
    REDUCING = LEVEL_REDUCING
    HALTED = LEVEL_HALTED
    KILLED = LEVEL_KILLED


UNITS = {Code.ORDER_QTY: "qty", Code.SHORT_NOT_ALLOWED: "qty", Code.REDUCE_ONLY: "qty", Code.POSITION_LIMIT: "qty",
         Code.PRICE_COLLAR: "px", Code.SELF_MATCH: "px", Code.LULD: "px", Code.SLIPPAGE: "bps",
         Code.ORDER_NOTIONAL: "money", Code.GROSS_EXPOSURE: "money", Code.NET_EXPOSURE: "money", Code.OPEN_ORDER_VALUE: "money",
         Code.BUYING_POWER: "money", Code.DAILY_LOSS: "money", Code.DRAWDOWN: "money",
         Code.VAR_LIMIT: "money", Code.GREEKS_LIMIT: "money", Code.PRICE_DRIFT: "bps",
         Code.DUPLICATE: "ns", Code.STALE_DATA: "ns", Code.MARKET_CLOSED: "time"}
Failure = namedtuple("Failure", "code limit observed unit")
Failure.__doc__ = "One control that said no; its numbers are integers in `unit`: qty, px, money (1e-18), ns, time (ns UTC), bps or count."
