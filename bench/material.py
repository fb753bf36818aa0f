"""The market that every benchmark runs on: the same records for the same seed, and the frames that a venue would send for them."""

from typing import Any

import numpy as np

from pyrt._core.types import Flag, RecordType, Side, delta_dtype, market_dtype, quote_dtype, trade_dtype
from pyrt._core.wire import Decoder, Encoder

Records = np.ndarray[Any, Any]

PX = QTY = SECOND = 1_000_000_000
CENT = 10_000_000
T0 = 1_772_463_600 * SECOND  # 2026-03-02T15:00:00Z
TICK, SUB_TICK = CENT, 100_000


def symbol(instrument: int) -> str:
    """AAA, AAB, ... by instrument id, from 1."""
    n = instrument - 1
    return "".join(chr(65 + n // 26**k % 26) for k in (2, 1, 0))


def walk(n: int, seed: int = 1) -> Records:
    """n prices in ticks: a random walk around 190.00."""
    rng = np.random.default_rng(seed)
    return 19_000 + np.cumsum(rng.integers(-1, 2, n)).clip(-500, 500)


def trades(n: int, instruments: int = 1, seed: int = 1) -> Records:
    """n trades, 1 ms apart, instruments in turn."""
    out = np.zeros(n, trade_dtype)
    out["type"] = RecordType.TRADE
    out["instrument"] = np.arange(n) % instruments + 1
    out["ts_event"] = out["ts_recv"] = T0 + np.arange(n) * 1_000_000
    out["px"] = walk(n, seed) * CENT
    out["qty"] = np.random.default_rng(seed).integers(1, 500, n) * QTY
    out["trade_id"] = np.arange(n) + 1
    out["conditions"] = ord("@")
    out["exchange"], out["tape"] = ord("V"), ord("C")
    return out.view(market_dtype)


def quotes(n: int, instruments: int = 1, seed: int = 1) -> Records:
    """n quotes, 1 ms apart, one tick wide, instruments in turn."""
    rng = np.random.default_rng(seed)
    out = np.zeros(n, quote_dtype)
    out["type"] = RecordType.QUOTE
    out["instrument"] = np.arange(n) % instruments + 1
    out["ts_event"] = out["ts_recv"] = T0 + np.arange(n) * 1_000_000
    out["bid_px"] = walk(n, seed) * CENT
    out["ask_px"] = out["bid_px"] + CENT
    out["bid_qty"], out["ask_qty"] = rng.integers(1, 50, (2, n)) * 100 * QTY
    return out.view(market_dtype)


def mixed(n: int, instruments: int = 1, seed: int = 1) -> Records:
    """Nine quotes to a trade."""
    out = quotes(n, instruments, seed)
    printed = trades(n, instruments, seed)
    out[::10] = printed[::10]
    return out


def deltas(n: int, seed: int = 1, instrument: int = 1) -> Records:
    """n updates of single levels within 20 ticks of a walking middle; a fifth of them removes a level. Never crossed by design."""
    rng = np.random.default_rng(seed)
    out = np.zeros(n, delta_dtype)
    out["type"] = RecordType.DELTA
    out["instrument"] = instrument
    out["flags"] = Flag.LAST
    out["ts_event"] = out["ts_recv"] = T0 + np.arange(n) * 1_000_000
    side = rng.integers(1, 3, n)
    distance = rng.integers(1, 21, n)
    out["side"] = side
    out["px"] = (19_000 + np.where(side == Side.BUY, -distance, distance)) * CENT
    out["qty"] = np.where(rng.random(n) < 0.2, 0, rng.integers(1, 500, n)) * QTY
    out["update_id"] = np.arange(n) + 1
    return out.view(market_dtype)


def encoder(codec: str, instruments: int = 1) -> Encoder:
    made = Encoder(codec)
    for i in range(1, instruments + 1):
        made.register(symbol(i), i)
    return made


def decoder(codec: str, instruments: int = 1) -> Decoder:
    made = Decoder(codec, feed_flag=int(Flag.FEED_IEX))
    for i in range(1, instruments + 1):
        made.register(symbol(i), i, tick=TICK, sub_tick=SUB_TICK)
    return made


def frames(records: Records, codec: str, size: int, instruments: int = 1) -> list[bytes]:
    """The records as WebSocket frames of `size` messages."""
    made = encoder(codec, instruments)
    return [made.encode(records[i : i + size]) for i in range(0, len(records), size)]
