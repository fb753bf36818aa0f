"""Who may trade what: strategies and their symbols, orders of one signal, restricted lists, the venue's word, a day's volume."""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from pyrt._core.codes import Code, Failure
from pyrt._core.risk import OFF, Gate
from pyrt.clock import DAY
from pyrt.model import AssetClass, AssetSeen, Instrument, Intended, Intent
from pyrt.ports import HistoryTold, ListTold
from pyrt.risk.limits import Limits

ADV_DAYS = 20
REMEMBERED = 4096  # signals whose orders are counted
FOREVER = (1 << 63) - 1
NIGHT = DAY // 3  # from 20:00 to 4:00 New York; clocks change on Sundays, when no night before a session is traded


class Permits:
    """What the gate cannot know by itself; tells it, and finds what is beyond it."""

    def __init__(self, gate: Gate, limits: Limits) -> None:
        self._gate = gate
        self._limits = limits
        self._senders: dict[int, frozenset[int]] = {}  # strategy -> its instruments; empty = nobody told
        self.assets: dict[int, AssetSeen] = {}
        self._volumes: dict[int, int] = {}  # instrument -> the average day's, qty units
        self._list: ListTold | None = None
        self.listed: frozenset[str] = frozenset()
        self.sent: OrderedDict[tuple[int, int], int] = OrderedDict()  # (strategy, signal) -> orders that are facts
        self._waiting: dict[int, tuple[int, int]] = {}  # key of an approval -> the same

    # ------------------------------------------------------------------------------------------------ what is told
    def authorise(self, strategy: int, instruments: Iterable[int]) -> None:
        """Only such strategies may trade, each its own instruments."""
        self._senders[strategy] = frozenset(instruments)

    def use(self, limits: Limits) -> None:
        """Other limits; the caller tells the gate each instrument's bounds again."""
        self._limits = limits
        self._read()

    def list_told(self, event: ListTold) -> None:
        """The restricted list was read, or could not be; the caller tells the gate each instrument's bounds again."""
        self._list = event
        self._read()

    def _read(self) -> None:
        told, limits = self._list, self._limits
        self.listed = frozenset() if told is None or not limits.restricted_file else frozenset(told.names)
        if not limits.restricted_file:
            until = FOREVER
        elif told is None or told.error or (limits.restricted_sha256 and told.sha256 != limits.restricted_sha256.lower()):
            until = 0
        else:
            until = told.at + DAY
        self._gate.lists(until)

    def history_told(self, event: HistoryTold) -> None:
        """The last days; the caller tells the gate the instrument's bounds again."""
        last = event.volumes[-ADV_DAYS:]
        if len(last) == ADV_DAYS:  # fewer days are no average
            self._volumes[event.instrument] = sum(last) // ADV_DAYS
        else:
            self._volumes.pop(event.instrument, None)
        closes, lows = event.closes, event.lows
        # Rule 201: a fall of a tenth below the close before restricts short sales for the rest of that day and the next.
        fell = len(closes) > 1 and bool(lows) and lows[-1] * 10 <= closes[-2] * 9
        self._gate.ssr(event.instrument, closes[-1] * 9 // 10 if closes else 0, FOREVER if fell else 0)

    def asset_seen(self, fact: AssetSeen) -> None:
        """A fact: what the venue says of an instrument."""
        self.assets[fact.instrument] = fact
        self._gate.borrow(fact.instrument, fact.ts + DAY if fact.tradable and fact.shortable and fact.easy_to_borrow else 0)

    def bounds(self, instrument: Instrument) -> dict[str, int | None]:
        """An instrument's limits in the gate's units."""
        asset = self.assets.get(instrument.id)
        adv = self._volumes.get(instrument.id)
        return self._limits.bounds(instrument, adv, self.listed, asset is None or asset.tradable)

    def pre_open(self, instrument: Instrument, pre_open: int) -> int:
        """When extended hours begin, venue ns."""
        asset = self.assets.get(instrument.id)
        by_night = self._limits.overnight and asset is not None and asset.overnight
        return pre_open - NIGHT if by_night and instrument.asset_class == AssetClass.US_EQUITY else pre_open

    # ------------------------------------------------------------------------------------------------ sends of a signal
    def approved(self, intent: Intent) -> None:
        """An approval is on its way to become an order."""
        if intent.signal:
            self._waiting[intent.key] = (intent.strategy, intent.signal)

    def expired(self, key: int) -> None:
        """It became none."""
        self._waiting.pop(key, None)

    def intended(self, fact: Intended) -> None:
        """A fact: an order."""
        intent = fact.intent
        if self._waiting:
            self.expired(intent.key)
        if intent.signal:
            who = (intent.strategy, intent.signal)
            self.sent[who] = self.sent.get(who, 0) + 1
            if len(self.sent) > REMEMBERED:
                self.sent.popitem(last=False)

    # ------------------------------------------------------------------------------------------------ what is found
    def is_free(self, intent: Intent) -> bool:
        """Whether no control here denies it without a look: no opinion led to it, and its strategy may trade the instrument."""
        return not intent.signal and self.may(intent)

    def may(self, intent: Intent) -> bool:
        """Whether its strategy may trade its instrument."""
        return not self._senders or intent.instrument in self._senders.get(intent.strategy, ())

    def find(self, intent: Intent, reduces: Callable[[], bool]) -> list[tuple[str, Failure, bool]]:
        """(name of the limit, what it found, whether it fails) of each control here that looks at the intent.

        reduces: whether it takes nothing but the strategy's own; asked only where that matters.
        """
        found: list[tuple[str, Failure, bool]] = []
        if self._senders:
            barred = intent.instrument not in self._senders.get(intent.strategy, ()) and not reduces()
            found.append(("symbols of the strategy", Failure(Code.UNAUTHORISED, 0, int(barred), "count"), barred))
        most = self._limits.max_sends_per_signal
        if intent.signal and (most is None or most < OFF):
            who = (intent.strategy, intent.signal)
            sends = self.sent.get(who, 0) + sum(w == who for w in self._waiting.values()) + 1
            limit = 0 if most is None else int(most)
            many = sends > limit and not reduces()
            found.append(("max_sends_per_signal", Failure(Code.REPEAT_EXEC, limit, sends, "count"), many))
        return found

    def state(self) -> bytes:
        """The durable part, for the state hash."""
        seen = sorted((i, a.tradable, a.shortable, a.easy_to_borrow, a.overnight, a.ts) for i, a in self.assets.items())
        return repr((list(self.sent.items()), seen)).encode()
