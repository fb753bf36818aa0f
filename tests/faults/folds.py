"""The journal's records folded by fresh components: what was appended and is still there, and nothing else."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pyrt._core.log import ANCHOR, USER
from pyrt.calendar import ExchangeDays
from pyrt.execution import ExecutionEngine
from pyrt.execution.orders import Order, Orders
from pyrt.journal import codec, snapshots
from pyrt.live.recovery import Silent
from pyrt.live.state import hash_of, state_of
from pyrt.market import MarketData
from pyrt.model import Fact, Instruments, Latched, Recovered
from pyrt.risk import RiskManager
from pyrt.session import Session

if TYPE_CHECKING:
    from tests.faults.world import Simulation

History = dict[int, tuple[int, bytes]]  # seq -> kind and payload


def facts(history: History) -> Iterator[tuple[int, Fact | None]]:
    """(seq, fact) in order; None for a record of the format itself."""
    for seq in sorted(history):
        kind, payload = history[seq]
        yield seq, codec.decode(kind, codec.VERSION, payload) if kind >= USER else None


def fact_of(record: tuple[int, bytes]) -> Fact | None:
    """What a record tells; None where it is one of the journal's own."""
    kind, payload = record
    return codec.decode(kind, codec.VERSION, payload) if kind >= USER else None


def anchors(history: History) -> dict[int, bytes]:
    """The hash of the state after each record that an anchor names."""
    told = (snapshots.anchor_of(payload) for kind, payload in history.values() if kind == ANCHOR)
    return {anchor.seq: anchor.state_hash for anchor in told}


def latches(history: History) -> dict[str, str]:
    """Scope -> the level that its last fact gave it."""
    told = (history[seq] for seq in sorted(history) if b"Latched" in history[seq][1])
    facts_ = (codec.decode(kind, codec.VERSION, payload) for kind, payload in told if kind >= USER)
    return {fact.scope: fact.level for fact in facts_ if isinstance(fact, Latched)}


def replayed(sim: "Simulation") -> tuple[list[str], tuple[str, str]]:
    """Where a recovery or an anchor noted another state than facts alone come to; and what they come to at the end."""
    instruments = Instruments()
    market = MarketData(instruments)
    risk = RiskManager(instruments, market.refs, limits=sim.limits, day_of=ExchangeDays())
    execution = ExecutionEngine(sim.oracle.journal, instruments, settings=sim.settings)
    session = Session(instruments=instruments, market=market, risk=risk, execution=execution, shell=Silent())
    anchored, wrong = anchors(sim.oracle.history), []
    for seq, fact in facts(sim.oracle.history):
        if isinstance(fact, Recovered) and fact.state_hash != (now := execution.state_digest()):
            wrong.append(f"the state at a recovery was {fact.state_hash}, a replay comes to {now}")
        if fact is not None:
            session.replay([fact])
        if seq in anchored and hash_of(state_of(session)) != anchored[seq]:
            wrong.append(f"a replay does not come to the state that is anchored after record {seq}")
    return wrong, (execution.state_digest(), risk.state_digest())


def orders_of(sim: "Simulation", session: Any) -> list[Order]:
    """Every order of the journal: those that the session let go as its facts have them."""
    if session.execution._orders.last_number <= sim.plan.kept:
        return list(session.execution.orders.values())
    whole = Orders(sim.oracle.journal, session.instruments, sim.settings.valid_for)
    whole.past.kept = 1 << 60
    for _, fact in facts(sim.oracle.history):
        if fact is not None:
            whole.apply(fact)
    return [session.execution.orders.get(number, order) for number, order in whole.by_number.items()]
