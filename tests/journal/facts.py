"""Any fact, for hypothesis, and one of each kind that fits its fixed record."""

import types
import typing
import uuid

from hypothesis import strategies as st

from pyrt import model, ports
from pyrt._core.types import Side

I64 = st.integers(-(2**63), 2**63 - 1)
U64 = st.integers(0, 2**64 - 1)
NUMBERS = st.one_of(st.integers(0, 1000), I64, U64)
IDS = st.one_of(
    st.just(""),
    st.uuids().map(str),
    st.uuids().map(lambda u: str(u).upper()),
    st.uuids().map(lambda u: u.hex),
    st.builds("{:017d}::{}".format, st.integers(0, 10**18), st.uuids()),
    st.just(str(uuid.UUID(int=0))),
)
TEXTS = st.one_of(st.text(max_size=60), st.text(alphabet="aé\0", max_size=60), IDS, st.sampled_from(["stream", "activity", "USD"]))


def strategy_of(kind: typing.Any) -> st.SearchStrategy[typing.Any]:
    """Values of a field's type."""
    if kind is int:
        return NUMBERS
    if kind is str:
        return TEXTS
    if kind is bool:
        return st.booleans()
    if kind is float:
        return st.floats(allow_nan=False)
    if kind is type(None):
        return st.none()
    if isinstance(kind, types.UnionType):
        return st.one_of(*map(strategy_of, typing.get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, model.IntEnum):
        return st.sampled_from(kind)
    if typing.get_origin(kind) is tuple:
        return st.lists(strategy_of(typing.get_args(kind)[0]), max_size=3).map(tuple)
    hints = {name: t for name, t in typing.get_type_hints(kind).items() if name != "__match_args__"}
    inner = {name for name, t in hints.items() if kind in typing.get_args(t)}  # a group's first order holds orders: one level
    fields = {name: strategy_of(t) for name, t in hints.items() if name not in inner}
    return st.builds(kind, **fields, **{name: st.lists(st.builds(kind, **fields), max_size=2).map(tuple) for name in inner})


FACTS = {kind: strategy_of(kind) for kind in typing.get_args(model.Fact)}
EVENTS = {kind: strategy_of(kind) for kind in typing.get_args(ports.Event)}
ANY = st.one_of(*FACTS.values())


def intended(number: int, ts: int = 0) -> model.Intended:
    intent = model.Intent(
        strategy=1,
        source=number,
        instrument=1,
        side=Side.BUY,
        type=model.OrderType.LIMIT,
        tif=model.TimeInForce.DAY,
        qty=10**9,
        limit_px=190 * 10**9,
        valid_until=ts + 30,
    )
    return model.Intended(
        number=number, intent=intent, epoch=1, approval=number, limits_version=1, ref_px=190 * 10**9, root=number, ts=ts
    )


def order(number: int, status: model.OrderStatus, filled_qty: int = 0, ts: int = 0) -> model.OrderChanged:
    return model.OrderChanged(number=number, status=status, venue_order_id=str(uuid.UUID(int=number)), filled_qty=filled_qty, ts=ts)


def fill(number: int, qty: int, cum_qty: int, side: Side = Side.BUY, ts: int = 0) -> model.Filled:
    return model.Filled(
        number=number,
        strategy=1,
        instrument=1,
        side=side,
        px=190 * 10**9,
        qty=qty,
        cum_qty=cum_qty,
        venue_order_id=str(uuid.UUID(int=number)),
        execution_id=str(uuid.UUID(int=number << 64 | cum_qty)),
        source="stream",
        ts=ts,
    )


def defined(id_: int = 1, symbol: str = "AAPL") -> model.Defined:
    return model.Defined(instrument=model.Instrument(id=id_, symbol=symbol))
