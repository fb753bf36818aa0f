"""No order goes by a price that is none: each decision is held against what the venue's data stream told the process until then."""

from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from tests.faults.kernel import MS, SECOND
from tests.faults.market import AGES
from tests.faults.trader import SYMBOLS
from tests.faults.venue import CENT, VenueClock

from pyrt._core.types import Side
from pyrt.model import Intended

if TYPE_CHECKING:
    from tests.faults.world import Simulation

QUOTE_AGE, TRADE_AGE = AGES["max_quote_age_ms"] * MS, AGES["max_trade_age_ms"] * MS
SPREAD = 200  # basis points; a wider quote is no reference
ON_ITS_WAY = SECOND  # what was told has arrived by then
HALTS, RESUMPTIONS = ("H", "2"), ("T", "3")


class Told(msgspec.Struct):
    """What the stream told of a symbol: its last quote, its last trades."""

    bid: int = 0  # px units; 0 = an empty side
    ask: int = 0
    quoted: int = 0  # venue ns; 0 = never
    trades: deque[tuple[int, int]] = msgspec.field(default_factory=lambda: deque(maxlen=64))  # ts, px
    gap: bool = False  # something was missed since the last quote
    halted: bool = False
    on: Any = None  # the connection that told of the halt
    at: int = 0  # when it did


class Frames:
    """Messages of the data stream as they reach the process, read by other means than its own."""

    def __init__(self) -> None:
        self._part = b""

    def frame(self, wire: Any, frame: Any) -> None:
        """A frame of the data stream reaches the process."""
        self._part += frame.get_payload_as_bytes()
        if not frame.fin:
            return
        whole, self._part = self._part, b""
        decode = msgspec.msgpack.decode if wire.session.codec == "msgpack" else msgspec.json.decode
        try:
            messages = decode(whole)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        for message in messages if isinstance(messages, list) else []:
            if isinstance(message, dict):
                self.message(wire, message)

    def message(self, wire: Any, message: dict[str, Any]) -> None:
        """One of them."""
        raise AssertionError(message)


class References(Frames):
    """A process's knowledge of the market, made of the frames that reached it, by other means than its own."""

    def __init__(self, sim: "Simulation") -> None:
        super().__init__()
        self._sim = sim
        self.begin()

    def begin(self) -> None:
        """A life begins."""
        self._of = {symbol: Told() for symbol in SYMBOLS}
        self._stopped = False  # the whole market
        self._stopped_on: Any = None  # the connection that told so
        self._stopped_at = 0
        self._wire: Any = None  # that told data last
        self._since = 0  # instant of its first data

    def message(self, wire: Any, message: dict[str, Any]) -> None:
        """What is told of prices and halts."""
        kind = message.get("T")
        if kind not in ("q", "t", "s", "subscription"):
            return
        if wire is not self._wire and self._wire is not None:
            for told in self._of.values():
                told.gap = True
        if kind == "subscription":
            if self._wire is not None and wire is not self._wire:
                self._wire, self._since = wire, self._sim.kernel.now
            return
        if wire is not self._wire:
            self._wire, self._since = wire, self._sim.kernel.now
        told = self._of[message["S"]]
        if kind == "q":
            self._quote(told, message)
        elif kind == "t":
            told.trades.append((ns_of(message["t"]), px_of(message["p"])))
        else:
            if message["sc"] in (*HALTS, *RESUMPTIONS):
                told.halted, told.on, told.at = message["sc"] in HALTS, wire, self._sim.kernel.now
            if message.get("rc") == "MWC1":
                self._stopped, self._stopped_on, self._stopped_at = True, wire, self._sim.kernel.now
            elif message["sc"] in RESUMPTIONS:
                self._stopped = False

    @staticmethod
    def _quote(told: Told, message: dict[str, Any]) -> None:
        told.bid = px_of(message["bp"]) if message["bs"] else 0
        told.ask = px_of(message["ap"]) if message["as"] else 0
        told.quoted, told.gap = ns_of(message["t"]), False

    # ------------------------------------------------------------------------------------------------ the judgement
    def decided(self, fact: Intended) -> None:
        """An order was decided, and is to leave: what it went by."""
        session = self._sim.shell.session if self._sim.shell is not None else None
        if session is None or self._sim.meddled:
            return
        symbol = session.instruments[fact.intent.instrument].symbol
        told, name = self._of[symbol], f"order {fact.number} of {symbol}"
        self._sim.note("reference judged")
        halted = told.halted and not self._passed(told.on, told.at, symbol)
        if halted or (self._stopped and not self._passed(self._stopped_on, self._stopped_at, symbol)):
            self._sim.violate("15", f"{name} was approved, and the stream had told that {symbol} is halted")
        elif self._must_know(symbol):
            self._sim.violate("15", f"{name} was approved, and the venue had told that {symbol} is halted, to a stream that was up")
        if (
            fact.intent.side is not Side.BUY or fact.replaces
        ):  # nothing is sold short here: a sale reduces, and may go by what is old
            return
        quote, trades = self._usable(told, fact.ts), self._traded(told, symbol, fact.ts)
        if quote:
            self._sim.note("by a quote")
            if fact.ref_px != quote:
                self._sim.violate("15", f"{name} went by {fact.ref_px}, the quote that was told has its middle at {quote}")
        elif fact.ref_px in trades:
            self._sim.note("by a trade")
        else:
            about = f"bid {told.bid}, ask {told.ask}, {(fact.ts - told.quoted) / 1e9:.3f} s old, gap {told.gap}"
            self._sim.violate(
                "15", f"{name} went by {fact.ref_px}: no quote to go by ({about}), no such trade in {TRADE_AGE / 1e9:.0f} s"
            )

    def _usable(self, told: Told, now: int) -> int:
        """The middle of the last quote where it is a reference, else 0."""
        if told.gap or not 0 < told.bid < told.ask or not -QUOTE_AGE <= now - told.quoted <= QUOTE_AGE:
            return 0
        middle = told.bid + (told.ask - told.bid) // 2
        return middle if (told.ask - told.bid) * 10_000 <= middle * SPREAD else 0

    def _traded(self, told: Told, symbol: str, now: int) -> set[int]:
        """Prices of trades that are young enough; the venue's history may have told those that the stream did not."""
        if told.gap:
            return set()
        tape = self._sim.venue.tape.trades[-500:]
        all_ = [*told.trades, *((at, px) for at, name, px, _, _ in tape if name == symbol)]
        return {px for at, px in all_ if now - TRADE_AGE <= at <= now + TRADE_AGE}

    def _passed(self, on: Any, at: int, symbol: str) -> bool:
        """Whether a halt that an earlier connection told is over at the venue: a deal behind the stream's return proves it."""
        return on is not self._wire and not 0 <= self._halted_since(symbol) <= at

    def _halted_since(self, symbol: str) -> int:
        """The instant at which the halt began that is on at the venue; -1 = none is."""
        begun = self._sim.venue.exchange.state.halts.get(1 + SYMBOLS.index(symbol))
        return begun[0] - VenueClock.begin if begun is not None else -1

    def _must_know(self, symbol: str) -> bool:
        """Whether a halt was told to this very connection, long enough ago."""
        since, wire = self._halted_since(symbol), self._wire
        up = wire is not None and not (wire.silent or wire.deaf or wire.closed) and self._since < since
        return up and self._sim.kernel.now > since + ON_ITS_WAY


def px_of(price: float) -> int:
    return round(price * 100) * CENT


def ns_of(at: Any) -> int:
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    return round(at.timestamp() * 1000) * MS
