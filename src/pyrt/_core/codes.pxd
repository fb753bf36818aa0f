"""Why an order is denied, and how far a latch is closed."""


cdef enum:                             # Code: what failed; bits
    CODE_ORDER_QTY = 1 << 0            # R1
    CODE_ORDER_NOTIONAL = 1 << 1       # R2
    CODE_PRICE_COLLAR = 1 << 2         # R3
    CODE_SLIPPAGE = 1 << 3             # R5
    CODE_POSITION_LIMIT = 1 << 4       # R6
    CODE_GROSS_EXPOSURE = 1 << 5       # R7
    CODE_NET_EXPOSURE = 1 << 6         # R7
    CODE_OPEN_ORDER_VALUE = 1 << 7     # R8
    CODE_OPEN_ORDER_COUNT = 1 << 8     # R8
    CODE_BUYING_POWER = 1 << 9         # R9
    CODE_PARENT_EXCEEDED = 1 << 10     # R10: a replace without a live order to replace
    CODE_REPEAT_EXEC = 1 << 11         # R11
    CODE_DUPLICATE = 1 << 12           # R12
    CODE_SELF_MATCH = 1 << 13          # R13
    CODE_SHORT_NOT_ALLOWED = 1 << 14   # R14
    CODE_RESTRICTED = 1 << 15          # R15
    CODE_MARKET_CLOSED = 1 << 16       # R16
    CODE_HALTED = 1 << 17              # R16
    CODE_LULD = 1 << 18                # R16
    CODE_STALE_DATA = 1 << 19          # R17
    CODE_THROTTLE = 1 << 20            # R18
    CODE_ORDER_RATE = 1 << 21          # R19
    CODE_CANCEL_RATIO = 1 << 22        # R19
    CODE_DAILY_LOSS = 1 << 23          # R20
    CODE_DRAWDOWN = 1 << 24            # R21
    CODE_KILLED = 1 << 25              # R23
    CODE_NOT_RECONCILED = 1 << 26      # R24
    CODE_REDUCE_ONLY = 1 << 27         # the order says reduce only and would not
    CODE_LIMIT_MISSING = 1 << 28
    CODE_ARITHMETIC_OVERFLOW = 1 << 29
    CODE_PRICE_DRIFT = 1 << 30         # R4
    CODES = 31                         # those that the gate itself finds; Code has more

cdef enum:                             # Level of a latch
    LEVEL_ACTIVE = 0
    LEVEL_REDUCING = 1
    LEVEL_HALTED = 2
    LEVEL_KILLED = 3
