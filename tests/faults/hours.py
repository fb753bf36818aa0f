"""Histories with the exchange's hours in force: a close, a night in which nobody lives, an opening, around changes of the clocks.

The table of sessions is written by hand, from the exchange's own pages; the product computes its own.
"""

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tests.faults.kernel import MS, SECOND
from tests.faults.references import Frames, ns_of, px_of
from tests.faults.trader import SYMBOLS, Chaos
from tests.faults.venue import CENT, SHARE, VenueClock
from tests.reference.bars import Trade, bars, epoch

from pyrt._core.types import Flag, RecordType, market_dtype, trade_dtype
from pyrt.model import Intended, OrderType, TimeInForce

if TYPE_CHECKING:
    from tests.faults.world import Simulation

INTERVAL = 2 * SECOND
LATE = SECOND  # that a print comes late, at most; and what becomes of it later again
SURE = 2 * LATE + 2 * SECOND  # after which a bar is what it stays


def at(text: str) -> int:
    """Ns UTC of an instant of the table."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


class Night(NamedTuple):
    """When a history begins, shortly before something happens; when the world goes on after a night, "" = there is none."""

    begin: str
    wake: str


NIGHTS = (
    Night("2026-03-06 20:59:52", "2026-03-09 13:29:55"),  # the clocks change in between: the opening is an hour earlier
    Night("2026-10-30 19:59:52", "2026-11-02 14:29:55"),  # and an hour later
    Night("2026-11-27 17:59:52", "2026-11-30 14:29:55"),  # a half day
    Night("2026-12-24 17:59:52", "2026-12-28 14:29:55"),  # another, and a holiday
    Night("2026-03-03 23:59:52", "2026-03-04 14:29:55"),  # midnight of UTC, after hours
    Night("2026-07-02 19:59:52", "2026-07-06 13:29:55"),  # a holiday that is kept on a Friday
)
# Pre-market, opening, close, end of the after hours.
SESSIONS = tuple(
    (at(f"{day} {pre}"), at(f"{day} {opens}"), at(f"{day} {closes}"), at(f"{last} {post}"))
    for day, pre, opens, closes, last, post in (
        ("2026-03-03", "09:00", "14:30", "21:00", "2026-03-04", "01:00"),
        ("2026-03-04", "09:00", "14:30", "21:00", "2026-03-05", "01:00"),
        ("2026-03-06", "09:00", "14:30", "21:00", "2026-03-07", "01:00"),
        ("2026-03-09", "08:00", "13:30", "20:00", "2026-03-10", "00:00"),
        ("2026-07-02", "08:00", "13:30", "20:00", "2026-07-03", "00:00"),
        ("2026-07-06", "08:00", "13:30", "20:00", "2026-07-07", "00:00"),
        ("2026-10-30", "08:00", "13:30", "20:00", "2026-10-31", "00:00"),
        ("2026-11-02", "09:00", "14:30", "21:00", "2026-11-03", "01:00"),
        ("2026-11-27", "09:00", "14:30", "18:00", "2026-11-27", "22:00"),
        ("2026-11-30", "09:00", "14:30", "21:00", "2026-12-01", "01:00"),
        ("2026-12-24", "09:00", "14:30", "18:00", "2026-12-24", "22:00"),
        ("2026-12-28", "09:00", "14:30", "21:00", "2026-12-29", "01:00"),
    )
)


class Hourly(Chaos):
    """Chaos that trades outside the regular session as well, and is told bars."""

    interval = "2s"
    hours: "Hours"

    def on_start(self) -> None:
        super().on_start()
        self.hours.started()

    def on_stop(self) -> None:
        super().on_stop()
        self.hours.stopped()

    def on_bar(self, bar: Any) -> None:
        self.hours.bar(bar)

    def _enter(self, symbol: str, quote: Any) -> None:
        if self._rng.random() < 0.5:
            super()._enter(symbol, quote)
            return
        qty, free = self._rng.randrange(1, 30), self._free(symbol)
        verb, away = (self.sell, -2) if free > 0 and self._rng.random() < 0.5 else (self.buy, 2)
        px = (int(quote.bid_px) + int(quote.ask_px)) // 2 // CENT + away
        qty = min(qty, free) if verb == self.sell else qty
        verb(symbol, qty, limit=f"{px / 100:.2f}", tif="day", extended_hours=True)


class Hours(Frames):
    """Prints that come late or are taken back; the judge of sessions and bars."""

    def __init__(self, sim: "Simulation") -> None:
        super().__init__()
        self._sim = sim
        self._rng = random.Random(sim.seed ^ 0xF22)
        self.begin()
        listeners = sim.venue.floor.on_market
        listeners[listeners.index(sim.venue.data.publish)] = self.publish
        sim.beliefs.unordered = True

    # ------------------------------------------------------------------------------------------------ what is told
    def publish(self, records: Any, now: int) -> None:
        """A batch of the market: some of its prints come later, or are taken back or corrected later."""
        tell, rng, sim = self._sim.venue.data.publish, self._rng, self._sim
        keep = np.ones(len(records), dtype=bool)
        for place in np.flatnonzero(records["type"] == int(RecordType.TRADE)).tolist() if sim.faulty else ():
            row, dice = records[place : place + 1].view(trade_dtype).copy(), rng.random()
            if dice < 0.1:
                keep[place] = False
                sim.kernel.later(rng.randrange(100 * MS, LATE), self._later, row, sim.note("late print"))
            elif dice < 0.2:
                sim.kernel.later(rng.randrange(100 * MS, LATE), self._later, _undone(row, rng), sim.note("print taken back"))
        tell(records[keep], now)

    def _later(self, rows: Any, _: str) -> None:
        rows["ts_event"][rows["seq"] > 0] = self._sim.venue.floor.now  # it is told now what became of it
        self._sim.venue.data.publish(rows.view(market_dtype), self._sim.venue.floor.now)

    # ------------------------------------------------------------------------------------------------ what was heard
    def begin(self) -> None:
        """A life begins."""
        self._trades: dict[str, dict[int, Trade]] = {symbol: {} for symbol in SYMBOLS}  # by id, in order of arrival
        self._bars: dict[tuple[str, int], Any] = {}  # symbol and start -> the last that was told
        self._wires: set[int] = set()
        self._since = 0  # venue ns
        self._until = 1 << 62

    def started(self) -> None:
        """From here on strategies are told."""
        self._since = VenueClock.begin + self._sim.kernel.now

    def stopped(self) -> None:
        """And from here on no more."""
        self._until = VenueClock.begin + self._sim.kernel.now

    def message(self, wire: Any, message: dict[str, Any]) -> None:
        """A message of the data stream."""
        kind = message.get("T")
        if kind not in ("t", "x", "c"):
            return
        self._wires.add(id(wire))
        ts, told = ns_of(message["t"]), self._trades[message["S"]]
        if kind == "t":
            told[message["i"]] = Trade(ts, px_of(message["p"]), round(message["s"]) * SHARE)
        elif kind == "x":
            told.pop(message["i"], None)
        else:
            old = told.pop(message["oi"], None)
            if old is not None:
                told[message["ci"]] = Trade(old.ts, px_of(message["cp"]), round(message["cs"]) * SHARE)

    def bar(self, bar: Any) -> None:
        """The strategy is told a bar."""
        key, before = (bar.symbol, bar.start), self._bars.get((bar.symbol, bar.start))
        self._sim.note("bar told")
        if bar.interval != INTERVAL or bar.start % INTERVAL or not (bar.trades or bar.revision):
            self._sim.violate("18", f"a bar of {bar.interval} ns from {bar.start} on with {bar.trades} trades")
        elif before is not None and bar.revision <= before.revision:
            self._sim.violate("18", f"{bar.symbol}: the bar of {bar.start} is told again and not amended")
        self._bars[key] = bar

    # ------------------------------------------------------------------------------------------------ the judgement
    def ended(self) -> None:
        """A life is over: each bar of its time is what its trades make, and there is no other."""
        if len(self._wires) != 1 or not self._since:  # what was lost between two connections has tests of its own
            return
        newest = max((trade.ts for told in self._trades.values() for trade in told.values()), default=0)
        first, last = (self._since // INTERVAL + 1) * INTERVAL, (min(newest, self._until) - SURE) // INTERVAL * INTERVAL
        for symbol, told in self._trades.items():
            wanted = {bar.start: bar for bar in bars(told.values(), epoch(INTERVAL)) if first <= bar.start < last}
            shown = {start: bar for (of, start), bar in self._bars.items() if of == symbol and first <= start < last}
            for start in sorted(wanted.keys() | shown.keys()):
                self._sim.note("bar judged")
                if _same(wanted.get(start), shown.get(start)):
                    continue
                text = f"{symbol}: the bar of {start} is {_text(shown.get(start))}, its trades make {wanted.get(start)}"
                self._sim.violate("18", text)

    def decided(self, fact: Intended) -> None:
        """An order was approved: its market is open."""
        intent, ts = fact.intent, fact.ts
        if fact.replaces or intent.tif in (TimeInForce.OPG, TimeInForce.CLS):
            return
        extended = intent.extended_hours and intent.type is OrderType.LIMIT
        spans = [(pre, post) if extended else (opens, closes) for pre, opens, closes, post in SESSIONS]
        self._sim.note("session judged")
        if not any(begin <= ts < end for begin, end in spans):
            self._sim.violate("18", f"order {fact.number} was approved at {datetime.fromtimestamp(ts // SECOND, UTC)}: no session")


def is_open(ns: int) -> bool:
    """Whether a regular session is on."""
    return any(opens <= ns < closes for _, opens, closes, _ in SESSIONS)


def next_prints(ns: int) -> int:
    """The first instant from `ns` on at which anybody trades, extended hours included."""
    return min((max(pre, ns) for pre, _, _, post in SESSIONS if post > ns), default=1 << 62)


def _undone(row: Any, rng: random.Random) -> Any:
    """What becomes of a print, as the venue's own market tells it: it is taken back, or corrected."""
    out = np.concatenate([row, row])
    out["seq"] = row["ts_event"]
    out["type"][0] = int(RecordType.TRADE_CANCEL)
    if rng.random() < 0.5:
        return out[:1]
    out["flags"] |= int(Flag.CORRECTED)
    out["trade_id"][1] += 1 << 32
    out["px"][1] += rng.choice((-3, -1, 1, 3)) * CENT
    return out


def _same(wanted: Any, shown: Any) -> bool:
    if shown is None or not shown.trades:  # all of its prints were taken back
        return wanted is None
    if wanted is None:
        return False
    return (wanted.open, wanted.high, wanted.low, wanted.close, wanted.volume, wanted.trades) == _values(shown)


def _values(bar: Any) -> tuple[int, ...]:
    return bar.open_px, bar.high_px, bar.low_px, bar.close_px, bar.volume_qty, bar.trades


def _text(bar: Any) -> str:
    return "not there" if bar is None else f"{_values(bar)}, revision {bar.revision}"
