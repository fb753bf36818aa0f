"""The policy of protective exits: a position without a stop at the venue for too long is told, and a stop is put behind it.

A stop counts for what of it the venue has proved to work: a stop, a stop-limit or a trailing stop on its own, or that of a pair.
One whose entry is not filled, whose end was asked for, or whose fate is open, protects nothing. Volatile: after a restart the time
that a position may stand alone begins anew, and what is there is found in the chains.
"""

from collections.abc import Iterable

from pyrt._core.ledger import Ledger
from pyrt._core.types import Side
from pyrt.clock import SECOND, Now
from pyrt.model import AssetClass, Breach, Instrument, Intent
from pyrt.ports import Alarm, Command, ExitWanted, Publish
from pyrt.risk.chains import Chains
from pyrt.risk.limits import Limits
from pyrt.risk.self_match import Parked

EVERYBODY = "*"
LONGEST = 60 * SECOND  # between two tries
_MS = 1_000_000

Key = tuple[int, int]  # (strategy, instrument)


class Exits:
    """Watches positions of the strategies that must have an exit."""

    def __init__(self, ledger: Ledger, chains: Chains, parked: Parked) -> None:
        self._ledger = ledger
        self._chains = chains
        self._parked = parked
        self.names: dict[int, str] = {}  # strategy -> its name
        self._alone: dict[Key, int] = {}  # venue ns since which it has no exit
        self._tries: dict[Key, tuple[int, int, int, int]] = {}  # next try, venue ns; wait after it; what lacked, what was free
        self._wanted: dict[Key, ExitWanted] = {}  # the last that was asked for
        self._refused: dict[Key, tuple[str, ...]] = {}  # why it was refused, as it was told

    def check(self, limits: Limits, instruments: Iterable[Instrument], prices: dict[int, int], now: Now) -> list[Command]:
        """Alarms and wishes for exits, at a mark. prices: of each instrument, px units, 0 = not known."""
        if not limits.require_exit:
            return []
        wanted = [n for n, name in self.names.items() if EVERYBODY in limits.require_exit or name in limits.require_exit]
        commands: list[Command] = []
        for instrument in instruments:
            for strategy in wanted:
                commands += self._check(strategy, instrument, limits, prices[instrument.id], now)
        return commands

    def _check(self, strategy: int, instrument: Instrument, limits: Limits, px: int, now: Now) -> list[Command]:
        key = (strategy, instrument.id)
        held = self._ledger.position(strategy, instrument.id).qty
        side = Side.SELL if held > 0 else Side.BUY
        lacking = abs(held) - self._chains.protection(strategy, instrument.id, side) if held else 0
        if lacking <= 0:
            self._alone.pop(key, None)
            self._tries.pop(key, None)
            self._refused.pop(key, None)
            return []
        since = self._alone.setdefault(key, now.venue)
        patience = limits.exit_within_ms * _MS
        if now.venue - since < patience or self._parked.exit_of(strategy, instrument.id, side):
            return []
        commands: list[Command] = []
        free = self._free(strategy, instrument.id)
        qty = min(lacking, free)
        at, wait, lacked, was_free = self._tries.get(key, (0, 0, 0, 0))
        if not wait:
            of = f"{instrument.quantity(lacking)} of {instrument.quantity(abs(held))} {instrument.symbol}"
            sent = "one is sent" if qty == lacking else "all is offered by other orders"
            if 0 < qty < lacking:
                sent = f"one is sent for {instrument.quantity(qty)}, the rest is offered by other orders"
            text = f"{self.names[strategy]}: {of} without a working stop for {limits.exit_within_ms / 1000:g} s; {sent}"
            commands.append(Alarm(severity="critical", code="NO_EXIT", text=text))
        if wait and (lacking != lacked or free > was_free):  # another question than the one that was refused: not so patient
            at, wait = min(at, now.venue), 0
        if now.venue < at or px <= 0 or qty <= 0:
            self._tries.setdefault(key, (now.venue, SECOND, lacking, free))
            return commands
        wait = min(max(2 * wait, patience, SECOND), LONGEST)
        self._tries[key] = (now.venue + wait, wait, lacking, free)
        return [*commands, self._wish(strategy, instrument, side, qty, px, limits.exit_distance_bps)]

    def _wish(self, strategy: int, instrument: Instrument, side: Side, qty: int, px: int, distance_bps: int) -> Publish:
        stop_px = stop_at(instrument, side, px, distance_bps)
        bounded = instrument.asset_class is AssetClass.CRYPTO  # a pair has no other stops
        wish = ExitWanted(
            strategy=strategy,
            instrument=instrument.id,
            side=side,
            qty=qty,
            stop_px=stop_px,
            reason="a position without an exit",
            limit_px=stop_at(instrument, side, stop_px, distance_bps) if bounded else 0,
        )
        return self.want(wish)

    def want(self, wish: ExitWanted) -> Publish:
        """Ask for an exit; the order that comes of it is known as one."""
        self._wanted[wish.strategy, wish.instrument] = wish
        return Publish(message=wish)

    def is_wanted(self, intent: Intent) -> bool:
        """Whether an order is the exit that was last asked for its position."""
        wish = self._wanted.get((intent.strategy, intent.instrument))
        return (
            wish is not None
            and intent.reduce_only
            and (wish.side, wish.qty, wish.stop_px) == (intent.side, intent.qty, intent.stop_px)
        )

    def refused(self, intent: Intent, instrument: Instrument, breaches: tuple[Breach, ...]) -> list[Command]:
        """The exit that was asked for is refused: tell why, once for each reason."""
        key = (intent.strategy, intent.instrument)
        more = {"SELF_MATCH": "limit", "REJECTED": "observed"}  # what makes the code clear
        why = tuple(f"{b.code} ({getattr(b, more[b.code])})" if b.code in more else b.rule or b.code for b in breaches)
        codes = tuple(b.rule or b.code for b in breaches)
        if self._refused.get(key) == codes:
            return []
        self._refused[key] = codes
        name, what = self.names.get(intent.strategy, str(intent.strategy)), "stop behind" if intent.stop_px else "way out of"
        text = f"{name}: the {what} {instrument.quantity(intent.qty)} {instrument.symbol} is refused: {', '.join(why)}; tried again"
        return [Alarm(severity="critical", code="NO_EXIT", text=text)]

    def _free(self, strategy: int, instrument: int) -> int:
        """Of a position what no open order offers yet: a stop for more would turn the position over, and be refused whole."""
        mine, account = self._ledger.position(strategy, instrument), self._ledger.account(instrument)
        same = [p for p in (mine, account) if (p.qty > 0) == (mine.qty > 0) and p.qty]  # others may hold it the other way round
        return min(p.qty - p.sells if p.qty > 0 else -p.qty - p.buys for p in same)


def stop_at(instrument: Instrument, side: Side, px: int, distance_bps: int) -> int:
    """A stop so far from a price, on the tick that is farther away."""
    if side is Side.SELL:
        away = px * (10_000 - distance_bps) // 10_000
        return max(away - away % instrument.tick_at(away), instrument.tick_at(away))
    away = -(-px * (10_000 + distance_bps) // 10_000)
    return away + -away % instrument.tick_at(away)
