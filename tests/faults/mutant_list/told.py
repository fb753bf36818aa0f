"""Broken versions of what hears the market, of what follows the journal, and of what a strategy's mistake closes."""

from tests.faults.mutant_list.mutant import CALM, DEATHS, SAFE, SECOND, Mutant, one
from tests.faults.themes import MARKET, TABLES

_LIMITS = "pyrt.risk.limits"
_FEED = "pyrt.journal.projection_feed"
_SESSION = "pyrt.session"
_CALENDAR = "pyrt.calendar"
ILL = {**CALM, "pace": 0.05, "hasty": True, "events": dict.fromkeys(MARKET, 3)}
# Books of no use, and then nothing: what is left is old.
OLD = {**ILL, "events": {"crossed book": 3, "empty book": 3, "quiet symbol": 9}}
WIDE = {**ILL, "events": {"absurd price": 12}}
HALTS = {**ILL, "events": {"halt": 4, "market halt": 4}}
BEHIND = {**CALM, "pace": 0.03, "hasty": True, "events": dict.fromkeys(TABLES, 3)}
SUMMER, HALF = {**CALM, "night": 1}, {**CALM, "night": 2}
RUINED = {**CALM, "pace": 1.0, "chaos": 40 * SECOND, "events": {"tables ruined": 9}}  # so few facts that all have room meanwhile
MISTAKES = {**DEATHS, "lives": 400.0, "pace": 0.05, "chances": {"strategy raises": 0.05}}

TOLD: tuple[Mutant, ...] = (
    one(
        "old-quote-is-young",
        "a quote is a reference however old it is",
        _LIMITS,
        '"max_age": self.max_quote_age_ms,',
        '"max_age": 3_600_000,',
        OLD,
        SAFE,
    ),
    one(
        "old-trade-is-young",
        "a trade is a reference however old it is",
        _LIMITS,
        '"max_trade_age": self.max_trade_age_ms,',
        '"max_trade_age": 3_600_000,',
        OLD,
        SAFE,
    ),
    one(
        "wide-quote-is-a-reference",
        "a quote is a reference however wide it is",
        _LIMITS,
        '            "slippage_absolute": int(',
        '            "max_spread_bps": 10**9,\n            "slippage_absolute": int(',
        WIDE,
        SAFE,
    ),
    one(
        "breaker-not-heard",
        "a stop of the whole market stops nothing",
        "pyrt.risk.hours",
        "            self._gate.halt_market(True)",
        "            pass",
        HALTS,
        SAFE,
    ),
    one(
        "statuses-not-asked-for",
        "the stream is not asked for halts",
        "pyrt.live.runner",
        "statuses=symbols - pairs)",
        "statuses=frozenset())",
        HALTS,
        SAFE,
    ),
    one(
        "tables-skip-what-failed",
        "what the tables could not take in is taken for done",
        _FEED,
        "                self._behind = True\n                self._repair(e)",
        "                self._repair(e)",
        RUINED,
        SAFE,
    ),
    one(
        "tables-wait-without-a-bound",
        "whatever waits for the tables stays in memory",
        _FEED,
        "if self._behind or len(self._queue) >= self._limit:",
        "if self._behind:",
        BEHIND,
        SAFE,
    ),
    one(
        "tables-before-the-disk",
        "the tables take in what is not durable yet",
        _FEED,
        "while self._queue and self._queue[0][0] <= durable and",
        "while self._queue and",
        BEHIND,
        SAFE,
    ),
    one(
        "tables-are-waited-for",
        "a fact is handed to the tables, and their thread is given time",
        _FEED,
        "            self._queue.append((seq, fact))",
        "            self._queue.append((seq, fact))\n            self._closing.wait(0.001)",
        BEHIND,
        SAFE,
    ),
    one(
        "clocks-never-change",
        "New York is five hours behind all the year",
        _CALENDAR,
        'NEW_YORK = ZoneInfo("America/New_York")',
        'NEW_YORK = ZoneInfo("Etc/GMT+5")',
        SUMMER,
        SAFE,
    ),
    one(
        "half-day-is-a-whole-one",
        "a session ends at four in the afternoon on every day",
        _CALENDAR,
        "    return early if half else time(16)",
        "    return time(16)",
        HALF,
        SAFE,
    ),
    one(
        "amended-bar-is-kept-back",
        "a bar that late prints changed is not told again",
        _SESSION,
        "            wanted = self._bar_wants.get(key)\n            if not wanted:",
        '            wanted = self._bar_wants.get(key)\n            if not wanted or bars[i]["revision"]:',
        SUMMER,
        SAFE,
    ),
    one(
        "called-again-after-it-raised",
        "a strategy that raised is called again",
        _SESSION,
        "        self.halted.add(number)\n",
        "",
        MISTAKES,
        SAFE,
    ),
    one(
        "enters-again-after-it-raised",
        "what a strategy's mistake closes is open again after a restart",
        _SESSION,
        '        self._told.append(Kill(level="REDUCING", scope=f"strategy:{number}", reason=reason, who="session"))',
        "        reason",
        MISTAKES,
        SAFE,
    ),
)
