"""A session's durable state as bytes: what every fact of its journal made, so that a start can go on from there.

Equal facts give equal bytes, live and replayed; their hash is what an anchor in the journal names. A state is only a short cut
through the journal: one that another program wrote (VERSION, or the shape of what is kept) is passed over, and the facts are
replayed instead.
"""

from hashlib import blake2b

import msgspec

from pyrt.desk import DeskState
from pyrt.errors import PyrtError
from pyrt.execution.orders import Order
from pyrt.execution.saved import Fill, OrdersState
from pyrt.model import Instrument
from pyrt.risk.saved import RiskState
from pyrt.session import Session

VERSION = 7  # raise it where a fact comes to mean something else to a component, or a component keeps more


class SessionState(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What the facts made of every component."""

    instruments: list[Instrument]
    names: list[tuple[str, int]]
    execution: OrdersState
    risk: RiskState
    desk: DeskState


_shape = msgspec.json.encode([msgspec.json.schema(kind) for kind in (SessionState, Order, Fill)])
MADE_BY = blake2b(b"%d" % VERSION + _shape, digest_size=16).digest()  # the state's first bytes: who can read it
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(SessionState).decode


class Passed(Exception):
    """A state that this program does not go on from, and why."""


def state_of(session: Session) -> bytes:
    """The state as it is now: call it between two inbox entries."""
    return MADE_BY + _pack(
        SessionState(
            instruments=list(session.instruments),
            names=list(session._names.items()),
            execution=session.execution.save(),
            risk=session.risk.save(),
            desk=session.desk.save(),
        )
    )


def hash_of(state: bytes) -> bytes:
    """The hash of a state's bytes."""
    return blake2b(state, digest_size=16).digest()


def restore(session: Session, state: bytes) -> None:
    """Put a state into a session that is new, in place of the facts that made it. Raises Passed; the session is worthless then."""
    if state[: len(MADE_BY)] != MADE_BY:
        raise Passed("another version of pyrt wrote it")
    try:
        whole = _unpack(memoryview(state)[len(MADE_BY) :])
        for instrument in whole.instruments:
            session.instruments.add(instrument)
        session._names.update(whole.names)
        session.execution.restore(whole.execution)
        session.risk.restore(whole.risk)
        session.desk.restore(whole.desk)
    except (msgspec.MsgspecError, PyrtError, LookupError, ValueError, TypeError, OverflowError) as e:
        raise Passed(f"it does not fit together: {type(e).__name__}: {e}") from None
    if state_of(session) != state:
        raise Passed("what it restores is not what it says")
