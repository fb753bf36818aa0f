"""Gains and losses of a day and of the last days: the baseline, the peaks, and which limits a mark crosses (R20, R21)."""

from collections.abc import Iterator

from pyrt._core.risk import Gate
from pyrt.clock import Now
from pyrt.model import BaselineSet
from pyrt.ports import Append, Command, Sync
from pyrt.risk.figures import MONEY, text
from pyrt.risk.limits import Limits

ALWAYS = "always"  # the one day of a manager without day_of
MOST_DAYS = 250  # whose peaks are kept
PEAK_STEPS = 100  # a peak is journaled when it rose by this part of max_drawdown


class Losses:
    """The day's baseline and highest, as journaled, and the peaks of the days before. Money in units of 1e-9."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.day = ""
        self.equity = 0  # the day's baseline
        self.peak = 0
        self.peak_at = 0  # venue ns at which it was
        self.peaks: dict[str, int] = {}  # of the last days
        self._limits: Limits | None = None  # those whose bounds these are, 1e-18 money; a limit that is off has none
        self._bounds: tuple[int | None, int | None, int | None] = (None, None, None)
        self._step: int | None = None  # by which the peak must rise to be journaled, 1e-9 money; None = it never is

    def mark(self, pnl: int, day: str, limits: Limits, every: int, now: Now) -> list[Command]:
        """The facts that a mark makes: another day's baseline, or a higher peak. pnl: 1e-18 money."""
        if self.begins(day):
            return [Append(fact=BaselineSet(day=day, equity=pnl // MONEY, ts=now.venue), sync=Sync.SOON)]
        return self._raise_peak(limits, every, now)

    def begins(self, day: str) -> bool:
        """Whether it is another day's first mark; a clock that steps back begins none."""
        return day > self.day or (day != self.day and self.day == ALWAYS)

    def crossed(self, limits: Limits) -> Iterator[tuple[str, str]]:
        """The code of each limit that the last mark crosses, and what it says."""
        self._use(limits)
        daily, drawdown, days = self._bounds
        if daily is not None and (seen := -self._gate.day_pnl) >= daily:
            yield "DAILY_LOSS", f"{text(seen, 'money')} of {limits.max_daily_loss}"
        if drawdown is not None and (seen := self._gate.drawdown) >= drawdown:
            yield "DRAWDOWN", f"{text(seen, 'money')} of {limits.max_drawdown}"
        if days is not None and (seen := self._gate.days_drawdown) >= days:
            yield "DRAWDOWN", f"{text(seen, 'money')} of {limits.max_days_drawdown}"

    def bounds(self, limits: Limits, every: int) -> tuple[tuple[int | None, int | None, int | None], tuple[int | None, int]]:
        """What a mark is held against, 1e-18 money: losses that close a latch; and the peak that is a fact from a venue ns on."""
        self._use(limits)
        peak = None if self._step is None else (self.peak + self._step) * MONEY
        return self._bounds, (peak, self.peak_at + every)

    def _use(self, limits: Limits) -> None:
        if limits is not self._limits:
            losses = (limits.max_daily_loss, limits.max_drawdown, limits.max_days_drawdown)
            daily, drawdown, days = (None if x is None or not x.is_finite() else int(x * 10**18) for x in losses)
            self._limits, self._bounds = limits, (daily, drawdown, days)
            self._step = None if drawdown is None else drawdown // MONEY // PEAK_STEPS

    def _raise_peak(self, limits: Limits, every: int, now: Now) -> list[Command]:
        # The peak outlives a restart to within a hundredth of the drawdown, and is journaled once a mark at most.
        self._use(limits)
        peak = self._gate.peak_pnl // MONEY
        if self._step is None or peak - self.peak < self._step or now.venue < self.peak_at + every:
            return []
        fact = BaselineSet(day=self.day, equity=self.equity, peak=max(peak, self.peak + 1), ts=now.venue)
        return [Append(fact=fact, sync=Sync.SOON)]

    # ------------------------------------------------------------------------------------------------ facts
    def baseline_set(self, fact: BaselineSet, limits: Limits) -> None:
        """A day began, or its peak rose."""
        self.day = fact.day
        self.equity = fact.equity
        self.peak = fact.equity if fact.peak is None else fact.peak
        self.peak_at = fact.ts
        self.peaks[fact.day] = max(self.peaks.get(fact.day, self.peak), self.peak)
        if len(self.peaks) > MOST_DAYS:
            del self.peaks[min(self.peaks)]
        self._gate.begin_day(self.equity * MONEY, self.peak * MONEY)
        self.look_back(limits)

    def look_back(self, limits: Limits) -> None:
        """Tell the gate the highest of as many days as the limits count."""
        if self.peaks:
            self._gate.days(max(self.peaks[day] for day in sorted(self.peaks)[-limits.drawdown_days :]) * MONEY)

    def restore(self, day: str, equity: int, peak: int, peak_at: int, peaks: dict[str, int], limits: Limits) -> None:
        """Go on from a snapshot."""
        self.day, self.equity, self.peak, self.peak_at, self.peaks = day, equity, peak, peak_at, peaks
        if day:
            self._gate.begin_day(equity * MONEY, peak * MONEY)
            self.look_back(limits)
