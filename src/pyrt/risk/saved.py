"""The risk manager's durable state as one value, so that a start need not fold every fact again."""

from typing import TYPE_CHECKING, Any

import msgspec

from pyrt._core.dump import dump_gate, load_gate
from pyrt._core.risk import Level
from pyrt.model import AccountSeen, AssetSeen, Intended, Latched
from pyrt.risk.groups import Group
from pyrt.risk.limits import Limits

if TYPE_CHECKING:
    from pyrt.risk.manager import RiskManager

_MONEY = 10**9  # facts tell money in 1e-9, the ledger counts 1e-18


class ChainState(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One order with its replacements, as `Chains` follows it."""

    root: int
    head: int
    next: int
    head_final: bool
    shown: bool
    keys: list[int]
    numbers: list[int]
    unknown: list[int]
    group: int = 0  # place in `groups`, from 1; 0 = none
    exit: int = 0  # place in its group, from 1; 0 = the entry
    proved: bool = False
    canceling: bool = False


class ChainsState(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What `Chains` follows."""

    chains: list[ChainState]
    intents: list[Intended]
    absent: list[int]
    external: list[tuple[str, int]]
    groups: list[Group] = []
    over: list[tuple[int, int, int]] = []  # the last exits that ended: number, group, exit


class RiskState(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What the facts made of a RiskManager. Approvals in flight, marks and first answers are no part of it."""

    epoch: int
    limits_version: int
    limits: str  # canonical
    day: str
    equity: int
    peak: int
    peak_at: int
    latches: list[Latched]
    recovered: bool
    recovered_at: int
    unexplained: int
    blocked: bool
    account: AccountSeen | None
    answered: list[tuple[int, int]]  # strategy -> the last source that was answered
    chains: ChainsState
    gate: dict[str, Any]  # _core.dump
    peaks: list[tuple[str, int]]  # day -> its highest P&L, 1e-9 money
    limits_by: str
    sent: list[tuple[int, int, int]]  # strategy, signal, orders of it; the oldest signal first
    assets: list[AssetSeen]


def save(risk: "RiskManager") -> RiskState:
    """The state as it is now; encode it before the next event."""
    return RiskState(
        epoch=risk.epoch,
        limits_version=risk.limits_version,
        limits=risk.limits.canonical(),
        day=risk._day,
        equity=risk._equity,
        peak=risk._peak,
        peak_at=risk._peak_at,
        latches=list(risk.latches.values()),
        recovered=risk._recovered,
        recovered_at=risk._recovered_at,
        unexplained=risk._unexplained,
        blocked=risk._blocked,
        account=risk.rules.account,
        answered=sorted(risk._answered.items()),
        chains=risk._chains.save(),
        gate=dump_gate(risk.gate),
        peaks=sorted(risk._peaks.items()),
        limits_by=risk._limits_by,
        sent=[(strategy, signal, n) for (strategy, signal), n in risk.permits.sent.items()],
        assets=[risk.permits.assets[instrument] for instrument in sorted(risk.permits.assets)],
    )


def restore(risk: "RiskManager", state: RiskState) -> None:
    """Go on from a state. The manager must be new, its instruments complete. Raises ValueError, KeyError, ConfigError."""
    risk.epoch, risk.limits_version = state.epoch, state.limits_version
    risk._use(Limits.parse(state.limits))
    for instrument in risk._instruments:
        risk._define(instrument)
    load_gate(risk.gate, state.gate)
    risk._chains.restore(state.chains)
    risk._peaks, risk._limits_by = dict(state.peaks), state.limits_by
    risk.permits.sent.update(((strategy, signal), n) for strategy, signal, n in state.sent)
    for asset in state.assets:
        risk.permits.asset_seen(asset)
        risk._bound(asset.instrument)
    risk._day, risk._equity, risk._peak, risk._peak_at = state.day, state.equity, state.peak, state.peak_at
    if state.day:
        risk.gate.begin_day(state.equity * _MONEY, state.peak * _MONEY)
        risk._look_back()
    risk.latches = {latch.scope: latch for latch in state.latches}
    for latch in state.latches:
        risk.gate.latch(latch.scope, Level[latch.level])
    risk._recovered, risk._recovered_at = state.recovered, state.recovered_at
    risk._unexplained, risk._blocked = state.unexplained, state.blocked
    risk.rules.account = state.account
    risk._answered, risk._forgotten = dict(state.answered), dict(state.answered)
    risk._dirty = True
    risk._open()
