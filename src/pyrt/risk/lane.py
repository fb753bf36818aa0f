"""What the native lane is told of risk: when it may decide at once, for whom, and what a mark is held against."""

from typing import TYPE_CHECKING

from pyrt._core.lane import Lane
from pyrt.model import AssetClass, Intent
from pyrt.risk.losses import ALWAYS

if TYPE_CHECKING:
    from pyrt.risk.manager import RiskManager

FOREVER = 1 << 62
QUARTER = 900 * 1_000_000_000  # ns; every date of the world begins at one


class RiskLane:
    """The lane of one risk manager. `prefix` begins every cid of the journal, `remainder` is that of it."""

    def __init__(self, risk: "RiskManager", prefix: str, remainder: int) -> None:
        self.core = Lane(risk.gate, risk.rules.screen, prefix, remainder)
        self._risk = risk
        self._day: tuple[str, int, int] = ("", 0, 0)  # a date, and from when until when it surely lasts, venue ns
        self._held_against: tuple[object, ...] = ()

    def open(self, venue: int, number: int) -> None:
        """Let it take the next decision, unless a control has a say that it does not know. number: of the last order."""
        risk, losses, in_force = self._risk, self._risk._losses, self._risk._in_force
        day, since, until = self._day
        if not since <= venue < until:
            day, since, until = self._day = self._span(venue)
        if day != losses.day or not self._is_plain():
            self.core.close()
            return
        against = (in_force.limits, losses.peak, losses.peak_at)
        if against != self._held_against:
            closing, peak = losses.bounds(in_force.limits, risk._mark_every)
            self.core.losses(*closing, *peak, bool(in_force.limits.require_exit))
            self._held_against = against
        self.core.open(risk.epoch, risk._approval, in_force.version, number, since, until, risk._dirty, risk._mark_at)

    def _is_plain(self) -> bool:
        """Whether nothing beside the gate, the broker's rules and the marks has a say about a plain order."""
        r = self._risk
        return (
            r._latches.recovered
            and r._answers.is_settled
            and r._parked.is_empty
            and not (r._alarms or r.raced.owed or r._whole_limited)
        )

    def _span(self, venue: int) -> tuple[str, int, int]:
        day_of = self._risk._day_of
        if day_of is None:
            return ALWAYS, 0, FOREVER
        end = (venue // QUARTER + 1) * QUARTER
        day = day_of(venue)
        return (day, venue, end) if day_of(end - 1) == day else (day, venue, venue + 1)

    def learn(self, intent: Intent, venue: int) -> None:
        """The rules decided about an intent: what they know of its strategy and instrument from here on."""
        risk = self._risk
        instrument = risk._defined.get(intent.instrument)
        if instrument is None or instrument.asset_class is not AssetClass.US_EQUITY or not risk.permits.may(intent):
            return
        asset = risk.permits.assets.get(instrument.id, instrument)
        since, until = risk._hours.known(instrument.id)
        if asset.tradable and since <= venue < until:
            i = instrument
            pair = (intent.strategy, i.id, i.symbol, i.qty_exp, i.tick, i.sub_tick)
            self.core.learn(*pair, since, min(until, FOREVER), asset.shortable, asset.easy_to_borrow)
