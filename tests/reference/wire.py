"""An oracle for the wire codec: general parsers, Decimal and the rules, one message at a time, nothing clever."""

import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

import msgpack
import msgspec

NO_PX = -(2**63)
MAX = 2**63 - 1
ONE = 10**9
INELIGIBLE = set("IBWCNRV74PTUQM9")
TRADE, QUOTE, DELTA, STATUS, CANCEL = 1, 2, 3, 4, 7
CORRECTED, AMENDED, LAST, SNAPSHOT, NO_PRICE_MAKER = 8, 4, 128, 256, 1024


class Refused(Exception):
    """A message with a number or a time that cannot be."""


class Terms(msgspec.Struct):
    instrument: int
    tick: int = 10_000_000
    sub_tick: int = 100_000
    lot: int = 1
    qty_exp: int = 9


class Stamp(int):
    """A msgpack timestamp in ns."""


def _stamps(value: Any) -> Any:
    if isinstance(value, msgpack.Timestamp):
        return Stamp(value.to_unix_nano())
    if isinstance(value, dict):
        return {k: _stamps(v) for k, v in value.items()}
    return [_stamps(v) for v in value] if isinstance(value, list) else value


def messages(frame: bytes, codec: str) -> list[Any]:
    if codec == "json":
        return list(msgspec.json.Decoder(list[Any], float_hook=Decimal).decode(frame))
    return list(_stamps(msgpack.unpackb(frame, strict_map_key=False)))


def scaled(value: Any, exp: int) -> tuple[int, bool]:
    """Units of 10^-exp, rounded once, and whether anything vanished."""
    if value is None or isinstance(value, bool | list | dict | bytes | Stamp):
        raise Refused
    if isinstance(value, str) and not re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?", value):
        raise Refused
    number = Decimal(value)
    if not number.is_finite() or number < 0:
        raise Refused
    with localcontext(prec=2000):
        units = int(number.scaleb(exp).quantize(Decimal(1), ROUND_HALF_EVEN)) if number < Decimal(10) ** 30 else MAX + 1
    if units > MAX:
        raise Refused
    return units, units == 0 and number != 0


def price(value: Any, terms: Terms, snap: str) -> int:
    px, _ = scaled(value, 9)
    tick = terms.tick if px >= ONE else terms.sub_tick
    rest = px % tick
    if rest:
        if rest <= px // ONE:
            px -= rest
        elif tick - rest <= px // ONE:
            px += tick - rest
        elif snap == "down":
            px -= rest
        elif snap == "up":
            px += tick - rest
    if not 0 < px <= MAX:
        raise Refused
    return px


def quantity(value: Any, terms: Terms) -> int:
    qty, vanished = scaled(value, terms.qty_exp)
    if vanished:
        return 1
    if isinstance(value, float) and terms.lot > 1:
        rest = qty % terms.lot
        if rest <= qty >> 50:
            return qty - rest
        if terms.lot - rest <= qty >> 50:
            return qty + terms.lot - rest
    return qty


def time(value: Any) -> int:
    if isinstance(value, Stamp):
        return int(value)
    match = (
        re.fullmatch(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[-+]\d\d:\d\d)", value)
        if isinstance(value, str)
        else None
    )
    if not match:
        raise Refused
    zone = "+00:00" if match[3] in "Zz" else match[3]
    seconds = int(datetime.fromisoformat(match[1].upper() + zone).astimezone(UTC).timestamp())
    return seconds * ONE + int((match[2] or "").ljust(9, "0"))


def letters(value: Any) -> int:
    if isinstance(value, list):
        parts = [v.encode()[:1] or b"\0" if isinstance(v, str) else b"\0" for v in value][:4]
        return int.from_bytes(b"".join(parts), "little")
    return int.from_bytes(value.encode()[:4], "little") if isinstance(value, str) else 0


def letter(value: Any) -> int:
    return value.encode()[0] if isinstance(value, str) and value else 0


def print_of(m: dict[str, Any], terms: Terms, kind: int, flags: int, p: str, s: str, i: str, c: str) -> dict[str, Any]:
    px, qty = price(m.get(p), terms, "keep"), quantity(m.get(s), terms)
    conditions = letters(m.get(c))
    if qty == 0 or any(chr(b) in INELIGIBLE for b in conditions.to_bytes(4, "little") if b):
        flags |= NO_PRICE_MAKER
    out = {"type": kind, "flags": flags, "px": px, "qty": qty, "trade_id": m.get(i) or 0, "conditions": conditions}
    taker = {"B": 1, "S": 2}.get(m.get("tks", "")[:1], 0) if kind == TRADE and not flags & CORRECTED else 0
    return out | {"exchange": letter(m.get("x")), "tape": letter(m.get("z")), "taker": taker}


def is_zero(value: Any) -> bool:
    try:
        return scaled(value, 9) == (0, False)
    except Refused:
        return False


def quote_side(p: Any, s: Any, terms: Terms, snap: str) -> tuple[int, int]:
    if p is None or s is None or is_zero(p):
        return NO_PX, 0
    qty = quantity(s, terms)
    return (price(p, terms, snap), qty) if qty else (NO_PX, 0)  # the price of an empty side does not matter


def state(code: int, reason: int) -> int:
    code_text, reason_text = (v.to_bytes(4, "little").rstrip(b"\0").decode("latin1") for v in (code, reason))
    if code_text in ("H", "2"):
        return 3 if reason_text in ("LUDP", "LUDS", "T5", "M") else 2
    return {"T": 1, "3": 1, "P": 3, "Q": 4}.get(code_text, 0)


def deltas(m: dict[str, Any], terms: Terms) -> list[dict[str, Any]]:
    out = []
    if m.get("r") is True:
        out.append({"type": DELTA, "flags": SNAPSHOT, "action": 1})
    for key, side, snap in (("b", 1, "down"), ("a", 2, "up")):
        levels = [] if m.get(key) is None else m[key]
        if not isinstance(levels, list):
            raise Refused
        for level in levels:
            if not isinstance(level, dict):
                raise Refused
            px, qty = price(level.get("p"), terms, snap), quantity(level.get("s"), terms)
            out.append({"type": DELTA, "flags": 0, "px": px, "qty": qty, "side": side, "action": 0})
    out = out or [{"type": DELTA, "flags": 0, "action": 2}]
    out[-1]["flags"] |= LAST
    return out


def bar(m: dict[str, Any], terms: Terms, ts: int) -> dict[str, Any]:
    o, h, low, c = (price(m.get(k), terms, "keep") for k in "ohlc")
    volume = quantity(m["v"], terms) if m.get("v") is not None else 0
    trades = scaled(m["n"], 0)[0] if m.get("n") is not None else 0
    vwap = scaled(m["vw"], 9)[0] if m.get("vw") is not None else 0
    if trades > 2**32 - 1 or h < low:
        raise Refused
    interval = 86_400 * ONE if m["T"] == "d" else 60 * ONE
    out = {"type": 20, "flags": AMENDED if m["T"] == "u" else 0, "start": ts, "interval": interval, "ts_event": ts + interval}
    notional = vwap * volume
    out |= {"open_px": o, "high_px": h, "low_px": low, "close_px": c, "volume": volume, "trades": trades}
    return out | {"notional_lo": notional % 2**64, "notional_hi": notional >> 64, "revision": int(m["T"] == "u")}


def records(m: Any, terms: dict[str, Terms]) -> list[dict[str, Any]]:
    """The records of one message; raises Refused."""
    kind = m.get("T") if isinstance(m, dict) else None
    symbol = m.get("S") if isinstance(m, dict) else None
    if kind not in ("t", "q", "b", "u", "d", "s", "l", "c", "x", "o") or not isinstance(symbol, str) or symbol not in terms:
        return []
    t, ts = terms[symbol], time(m.get("t"))
    if kind == "t":
        out = [print_of(m, t, TRADE, 0, "p", "s", "i", "c")]
    elif kind == "x":
        out = [print_of(m, t, CANCEL, 0, "p", "s", "i", "c")]
    elif kind == "c":
        out = [print_of(m, t, CANCEL, CORRECTED, "op", "os", "oi", "oc"), print_of(m, t, TRADE, CORRECTED, "cp", "cs", "ci", "cc")]
    elif kind == "q":
        bid, ask = quote_side(m.get("bp"), m.get("bs"), t, "down"), quote_side(m.get("ap"), m.get("as"), t, "up")
        out = [{"type": QUOTE, "flags": 0, "bid_px": bid[0], "bid_qty": bid[1], "ask_px": ask[0], "ask_qty": ask[1]}]
    elif kind == "o":
        out = deltas(m, t)
    elif kind == "l":
        bands = {"upper_px": price(m.get("u"), t, "keep"), "lower_px": price(m.get("d"), t, "keep")}
        out = [{"type": STATUS, "flags": 0, "code": letters(m.get("i")), "tape": letter(m.get("z")), **bands}]
    elif kind == "s":
        code, reason = letters(m.get("sc")), letters(m.get("rc"))
        out = [
            {"type": STATUS, "flags": 0, "code": code, "reason": reason, "tape": letter(m.get("z")), "state": state(code, reason)}
        ]
        out[0] |= {"upper_px": NO_PX, "lower_px": NO_PX}
    else:
        out = [bar(m, t, ts)]
    return [{"instrument": t.instrument, "ts_event": ts, **r} for r in out]
