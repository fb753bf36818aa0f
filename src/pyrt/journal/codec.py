"""Facts as bytes and back, exactly.

The four frequent facts are 128-byte records: the header of records.h and 96 bytes. In them

    header   type = the kind below; instrument where the fact has one; ts_event = the fact's `ts`; seq = the signal of an
             INTENDED; the rest 0
    DEFINED  define_t of records.h; in its reserved bytes bits (1 not tradable, 2 not shortable, 4 hard to borrow) and min_qty
    INTENDED number, source, qty, limit_px, stop_px, valid_until, approval, ref_px, replaces, root; strategy, epoch,
             limits_version; side, type, tif, bits (1 reduce_only, 2 extended_hours)
    ORDER    number, filled_qty, code, venue_order_id; tries; status, form (1: the id is present), length of reason; reason
    FILL     number, px, qty, cum_qty, fee, venue_order_id, stamp, alias; strategy; side, source, form
             form: 1 venue_order_id is present, 2 alias is execution_id, 4 stamp::alias is activity_id

and an id is the 16 bytes of a UUID in its canonical lower-case text. A fact that such a record cannot hold exactly (another
form of id, both aliases, a long reason, a trailing stop, a group, new terms, a number beyond its field), and every other fact,
is a MESSAGE: msgpack with its class in `kind`. The record's flags carry VERSION; a version or a kind that this
program does not know is refused.
"""

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import msgspec

from pyrt._core.log import USER
from pyrt._core.types import Side
from pyrt.errors import JournalError, JournalNewer
from pyrt.model import (
    AssetClass,
    Defined,
    Fact,
    Filled,
    Instrument,
    Intended,
    Intent,
    OrderChanged,
    OrderStatus,
    OrderType,
    TimeInForce,
    Venue,
)

VERSION = 2  # of what is written
READS = (1, 2)  # 1: without CancelWanted, trailing stops, groups, and what later fields tell


class Kind(IntEnum):
    """The type of a journal record."""

    DEFINED = 21
    INTENDED = 32
    ORDER = 33
    FILL = 34
    MESSAGE = 64


assert min(Kind) >= USER

_HEADER = "<HHIQqq"
_DEFINED = struct.Struct(_HEADER + "32s8sqqqqBBBB4xq8x")
_INTENDED = struct.Struct(_HEADER + "QQqqqqQqQQIIIBBBB")
_ORDER = struct.Struct(_HEADER + "Qqq16sIBBBx48s")
_FILL = struct.Struct(_HEADER + "Qqqqq16sQ16sIBBBx8x")
_SIZE = 128
_SOURCES = ("", "stream", "activity")

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Fact).decode


class _NoFit(Exception):
    """A value that the fixed record cannot hold exactly."""


def encode(fact: Fact) -> tuple[int, bytes]:
    """(kind, payload) of a fact. Raises JournalError for one that no record can hold (a number beyond 64 bits)."""
    fixed = _FIXED.get(type(fact))
    if fixed is not None:
        try:
            return fixed[0], fixed[1](fact)
        except (struct.error, _NoFit):
            pass
    try:
        return Kind.MESSAGE, _pack(fact)
    except (OverflowError, UnicodeEncodeError, TypeError) as e:
        raise JournalError(f"a {type(fact).__name__} that no record can hold: {e}", mend="report this") from None


def decode(kind: int, version: int, payload: bytes) -> Fact:
    """The fact of a record. Raises JournalError for a kind, version or content that this program does not know."""
    mend = "read this journal with the program that wrote it, or a newer one"
    if version not in READS:
        raise JournalNewer(f"a record of version {version}; this program reads {READS[0]} to {READS[-1]}", mend=mend)
    try:
        if kind == Kind.MESSAGE:
            fact: Fact = _unpack(payload)
            return fact
        decoder = _DECODERS[kind]
        if len(payload) != _SIZE or int.from_bytes(payload[:2], "little") != kind:
            raise ValueError(f"{len(payload)} bytes that are not its record")
        return decoder(payload)
    except KeyError:
        raise JournalError(f"a record of unknown kind {kind}", mend=mend) from None
    except (ValueError, IndexError, msgspec.DecodeError) as e:
        raise JournalError(f"a record of kind {kind} that does not decode: {e}", mend=mend) from None


# ---------------------------------------------------------------------------------------------------- ids
def _id_text(raw: bytes) -> str:
    h = raw.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def _id_bytes(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        raise _NoFit from None
    if len(raw) != 16 or _id_text(raw) != text:
        raise _NoFit
    return raw


def _text_bytes(text: str, room: int) -> bytes:
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise _NoFit from None
    if len(raw) > room:
        raise _NoFit
    return raw


# ---------------------------------------------------------------------------------------------------- the fixed records
def _encode_defined(fact: Defined) -> bytes:
    i = fact.instrument
    symbol, currency = _text_bytes(i.symbol, 32), _text_bytes(i.currency, 8)
    if b"\0" in symbol or b"\0" in currency:
        raise _NoFit
    bits = (not i.tradable) | (not i.shortable) << 1 | (not i.easy_to_borrow) << 2
    terms = (i.tick, i.sub_tick, i.lot, i.multiplier, i.qty_exp, i.asset_class, i.venue, bits, i.min_qty)
    return _DEFINED.pack(Kind.DEFINED, 0, i.id, 0, 0, 0, symbol, currency, *terms)


def _decode_defined(payload: bytes) -> Defined:
    (_, _, id_, _, _, _, symbol, currency, tick, sub_tick, lot, multiplier, *small) = _DEFINED.unpack(payload)
    qty_exp, asset_class, venue, bits, min_qty = small
    return Defined(
        instrument=Instrument(
            id=id_,
            symbol=symbol.rstrip(b"\0").decode(),
            venue=Venue(venue),
            asset_class=AssetClass(asset_class),
            currency=currency.rstrip(b"\0").decode(),
            tick=tick,
            sub_tick=sub_tick,
            lot=lot,
            qty_exp=qty_exp,
            multiplier=multiplier,
            tradable=not bits & 1,
            shortable=not bits & 2,
            easy_to_borrow=not bits & 4,
            min_qty=min_qty,
        )
    )


def _encode_intended(f: Intended) -> bytes:
    i = f.intent
    if i.trail or i.order_class:
        raise _NoFit
    numbers = (f.number, i.source, i.qty, i.limit_px, i.stop_px, i.valid_until, f.approval, f.ref_px, f.replaces, f.root)
    small = (i.strategy, f.epoch, f.limits_version, i.side, i.type, i.tif, i.reduce_only | i.extended_hours << 1)
    return _INTENDED.pack(Kind.INTENDED, 0, i.instrument, i.signal, f.ts, 0, *numbers, *small)


def _decode_intended(payload: bytes) -> Intended:
    _, _, instrument, signal, ts, _, *body = _INTENDED.unpack(payload)
    number, source, qty, limit_px, stop_px, valid_until, approval, ref_px, replaces, root, *small = body
    strategy, epoch, limits_version, side, type_, tif, bits = small
    intent = Intent(
        strategy=strategy,
        source=source,
        instrument=instrument,
        side=Side(side),
        type=OrderType(type_),
        tif=TimeInForce(tif),
        qty=qty,
        limit_px=limit_px,
        stop_px=stop_px,
        reduce_only=bool(bits & 1),
        extended_hours=bool(bits & 2),
        valid_until=valid_until,
        signal=signal,
    )
    return Intended(
        number=number,
        intent=intent,
        epoch=epoch,
        approval=approval,
        limits_version=limits_version,
        ref_px=ref_px,
        replaces=replaces,
        root=root,
        ts=ts,
    )


def _encode_order(f: OrderChanged) -> bytes:
    if f.qty or f.limit_px or f.stop_px:
        raise _NoFit
    order = _id_bytes(f.venue_order_id) if f.venue_order_id else bytes(16)
    reason = _text_bytes(f.reason, 48)
    tail = (f.tries, f.status, bool(f.venue_order_id), len(reason), reason)
    return _ORDER.pack(Kind.ORDER, 0, 0, 0, f.ts, 0, f.number, f.filled_qty, f.code, order, *tail)


def _decode_order(payload: bytes) -> OrderChanged:
    _, _, _, _, ts, _, number, filled_qty, code, order, tries, status, form, n, reason = _ORDER.unpack(payload)
    return OrderChanged(
        number=number,
        status=OrderStatus(status),
        venue_order_id=_id_text(order) if form else "",
        filled_qty=filled_qty,
        code=code,
        reason=reason[:n].decode(),
        ts=ts,
        tries=tries,
    )


def _encode_fill(f: Filled) -> bytes:
    if (f.execution_id and f.activity_id) or f.source not in _SOURCES:
        raise _NoFit
    order = _id_bytes(f.venue_order_id) if f.venue_order_id else bytes(16)
    stamp, alias = 0, bytes(16)
    if f.execution_id:
        alias = _id_bytes(f.execution_id)
    elif f.activity_id:
        stamp, alias = _activity_parts(f.activity_id)
    form = bool(f.venue_order_id) | bool(f.execution_id) << 1 | bool(f.activity_id) << 2
    ids = (order, stamp, alias, f.strategy, f.side, _SOURCES.index(f.source), form)
    return _FILL.pack(Kind.FILL, 0, f.instrument, 0, f.ts, 0, f.number, f.px, f.qty, f.cum_qty, f.fee, *ids)


def _decode_fill(payload: bytes) -> Filled:
    _, _, instrument, _, ts, _, number, px, qty, cum_qty, fee, order, stamp, alias, *tail = _FILL.unpack(payload)
    strategy, side, source, form = tail
    return Filled(
        number=number,
        strategy=strategy,
        instrument=instrument,
        side=Side(side),
        px=px,
        qty=qty,
        cum_qty=cum_qty,
        venue_order_id=_id_text(order) if form & 1 else "",
        execution_id=_id_text(alias) if form & 2 else "",
        activity_id=f"{stamp:017d}::{_id_text(alias)}" if form & 4 else "",
        fee=fee,
        source=_SOURCES[source],
        ts=ts,
    )


def _activity_parts(text: str) -> tuple[int, bytes]:
    stamp, _, alias = text.partition("::")
    if len(stamp) != 17 or not (stamp.isascii() and stamp.isdigit()):
        raise _NoFit
    return int(stamp), _id_bytes(alias)


_FIXED: dict[type, tuple[Kind, Callable[[Any], bytes]]] = {
    Defined: (Kind.DEFINED, _encode_defined),
    Intended: (Kind.INTENDED, _encode_intended),
    OrderChanged: (Kind.ORDER, _encode_order),
    Filled: (Kind.FILL, _encode_fill),
}
_DECODERS: dict[int, Callable[[bytes], Fact]] = {
    Kind.DEFINED: _decode_defined,
    Kind.INTENDED: _decode_intended,
    Kind.ORDER: _decode_order,
    Kind.FILL: _decode_fill,
}
