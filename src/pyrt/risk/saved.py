"""The risk manager's durable state as one value, so that a start need not fold every fact again."""

from typing import TYPE_CHECKING, Any

import msgspec

from pyrt._core.dump import dump_gate, load_gate
from pyrt._core.types import Side
from pyrt.model import AccountSeen, AssetSeen, Latched
from pyrt.risk import chains_saved
from pyrt.risk.chains_saved import ChainsState
from pyrt.risk.limits import Limits

if TYPE_CHECKING:
    from pyrt.risk.projection import Projection


class RiskState(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What the facts made of risk. Approvals in flight, marks and first answers are no part of it."""

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
    raced: list[tuple[int, int, Side, int]] = []  # strategy, instrument, side of the way back, qty units of it
    broken: list[tuple[int, int]] = []  # instrument -> what the venue has of it that no fill explains, qty units


def save(risk: "Projection") -> RiskState:
    """The state as it is now; encode it before the next event."""
    latches, losses = risk._latches, risk._losses
    return RiskState(
        epoch=risk.epoch,
        limits_version=risk.limits_version,
        limits=risk.limits.canonical(),
        day=losses.day,
        equity=losses.equity,
        peak=losses.peak,
        peak_at=losses.peak_at,
        latches=list(latches.closed.values()),
        recovered=latches.recovered,
        recovered_at=latches.recovered_at,
        unexplained=latches.unexplained,
        blocked=latches.blocked,
        account=risk.rules.account,
        answered=sorted(risk._answers.answered.items()),
        chains=chains_saved.save(risk._chains),
        gate=dump_gate(risk.gate),
        peaks=sorted(losses.peaks.items()),
        limits_by=risk._in_force.by,
        sent=[(strategy, signal, n) for (strategy, signal), n in risk.permits.sent.items()],
        assets=[risk.permits.assets[instrument] for instrument in sorted(risk.permits.assets)],
        raced=[(*key, *owed) for key, owed in sorted(risk.raced.owed.items())],
        broken=sorted(latches.broken.items()),
    )


def restore(risk: "Projection", state: RiskState) -> None:
    """Go on from a state. The projection must be new, its instruments complete. Raises ValueError, KeyError, ConfigError."""
    risk.epoch = state.epoch
    risk._in_force.restore(Limits.parse(state.limits), state.limits_version, state.limits_by)
    risk._use()
    for instrument in risk._instruments:
        risk._define(instrument)
    load_gate(risk.gate, state.gate)
    chains_saved.restore(risk._chains, state.chains)
    risk.permits.sent.update(((strategy, signal), n) for strategy, signal, n in state.sent)
    for asset in state.assets:
        risk.permits.asset_seen(asset)
        risk._bound(asset.instrument)
    risk._losses.restore(state.day, state.equity, state.peak, state.peak_at, dict(state.peaks), risk.limits)
    risk.rules.account = state.account
    risk.raced.owed = {(strategy, instrument): (side, qty) for strategy, instrument, side, qty in state.raced}
    risk._answers.restore(dict(state.answered))
    risk._dirty = True
    risk._latches.restore(
        state.latches,
        dict(state.broken),
        recovered=state.recovered,
        recovered_at=state.recovered_at,
        unexplained=state.unexplained,
        blocked=state.blocked,
    )
