"""The option stream: /v1beta1/indicative and opra, msgpack alone, quotes of named contracts and prints of any."""

import struct
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
from aiohttp import web

from pyrt._core.types import NO_PRICE, RecordType, quote_dtype
from pyrt.clock import MINUTE, SECOND
from pyrt.model import AssetClass
from pyrt.venues.sim.exchange.contracts import Options
from pyrt.venues.sim.market import options
from pyrt.venues.sim.market.options import GRID, Contract, Quote
from pyrt.venues.sim.market.options_archive import EXCHANGE, QUOTE_CONDITION, TRADE_CONDITION
from pyrt.venues.sim.server.access import Access
from pyrt.venues.sim.server.data_session import Session, SessionHub, Subscriptions, refusal
from pyrt.venues.sim.server.faults import Faults
from pyrt.venues.sim.server.feeds import OPTION_PATHS, Feed
from pyrt.venues.sim.server.floor import Floor, Records
from pyrt.venues.sim.server.mishaps import offset_ns
from pyrt.venues.sim.server.truth import Connection, Truth

FEED = Feed(
    AssetClass.OPTION,
    ("trades", "quotes"),
    ("bars", "updatedBars", "dailyBars", "orderbooks", "statuses", "lulds", "news", "imbalances", "corrections", "cancelErrors"),
    (),
)
FRAME_MESSAGES = 1000
_TIME = struct.Struct(">Iq")


class OptionSubscriptions(Subscriptions):
    """The wanted contracts of one client; a star for trades alone."""

    def change(self, action: str, message: dict[str, Any], limit: int) -> int:
        """Apply a message as a whole or not at all; the error code, 0 = done."""
        quotes = message.get("quotes")
        if action == "subscribe" and isinstance(quotes, list) and "*" in quotes:
            return 413
        return super().change(action, message, limit)

    def wants(self, channel: str) -> frozenset[str]:
        """The symbols of a channel, perhaps with a star."""
        return frozenset(self._wanted[channel])


class OptionSession(Session):
    """One socket of the option stream."""

    def __init__(
        self, hub: "SessionHub[Any]", ws: web.WebSocketResponse, request: web.Request, codec: str, entry: Connection
    ) -> None:
        super().__init__(hub, ws, request, codec, entry)
        self.subscriptions: OptionSubscriptions = OptionSubscriptions({}, FEED, 1)
        self.told: dict[str, Quote] = {}  # the last quote of each contract

    async def run(self) -> None:
        """As every data stream; a client that wants JSON hears that there is none."""
        if self.codec == "json":
            self.say({"T": "success", "msg": "connected"})
            self.say(refusal(412))
            self.outbox.close(1008)
            await self.outbox.run()
            return
        await super().run()


class OptionHub(SessionHub[OptionSession]):
    """All sockets of the option stream at one path, and what the contracts' market says to each."""

    make = OptionSession
    feed = FEED
    rows = 1

    def __init__(self, floor: Floor, desk: Options, access: Access, faults: Faults, truth: Truth, **limits: Any) -> None:
        """`limits`: as of SessionHub."""
        super().__init__(floor, access, faults, truth, **limits)
        self.ids = {}  # none by table: contracts come and go
        self._desk = desk
        self._spots: dict[int, int] = {}  # of underlyings, before the next batch
        self._made_of: dict[int, tuple[int, int]] = {}  # spot and minute that an underlying's quotes were last made of
        self._until = 0
        self._skew = 0  # ns of a fault of the clock
        floor.on_market.append(self.publish)

    def publish(self, records: Records, now: int) -> None:
        """Make the quotes and prints of the time that has gone by, for the contracts that somebody wants."""
        begin, self._until = max(self._until, now - MINUTE), now  # after a jump of the clock, from a minute before
        if not self.is_wanted:
            self._spots.clear()
            return
        self._skew = offset_ns(self.faults)
        quotes, prints = self._wanted()
        paths = self._paths({c.underlying for c in (*quotes, *prints)}, records)
        messages: list[Any] = []  # time, channel, symbol, message, quote
        for instant in range((begin // GRID + 1) * GRID, now // GRID * GRID + 1, GRID):
            if not self._floor.exchange.hours.is_open(instant):
                continue
            for contract in quotes:
                self._quoted(contract, paths, instant, messages)
        for contract in prints:
            self._printed(contract, paths, begin + 1, now, messages)
        messages.sort(key=lambda each: each[0])
        for session in self._sessions.copy():
            self._send(session, messages)

    def _wanted(self) -> tuple[list[Contract], list[Contract]]:
        quotes: set[str] = set()
        prints: set[str] = set()
        for session in self._sessions:
            quotes |= session.subscriptions.wants("quotes")
            prints |= session.subscriptions.wants("trades")
        listed = self._desk.contracts.values()
        return self._find(quotes), list(listed) if "*" in prints else self._find(prints)

    def _find(self, symbols: Iterable[str]) -> list[Contract]:
        return [self._desk.contract(symbol) for symbol in sorted(symbols) if self._desk.lists(symbol)]

    def _paths(self, underlyings: set[int], records: Records) -> "dict[int, Path]":
        """The mids of the underlyings through a batch."""
        found: dict[int, Path] = {}
        for number in underlyings:
            rows = records[(records["instrument"] == number) & (records["type"] == int(RecordType.QUOTE))].view(quote_dtype)
            rows = rows[(rows["bid_px"] != NO_PRICE) & (rows["ask_px"] != NO_PRICE)]
            mids = (rows["bid_px"] + rows["ask_px"]) // 2
            path = Path(rows["ts_event"], mids, self._spots.get(number, 0))
            found[number], self._spots[number] = path, int(mids[-1]) if len(mids) else path.before or self._desk.spot(number)
        return found

    def _quoted(self, contract: Contract, paths: "dict[int, Path]", at: int, messages: list[Any]) -> None:
        spot = paths[contract.underlying].at(at)
        made_of = spot, at // MINUTE
        if not spot or at > contract.expires or self._made_of.get(contract.id) == made_of:
            return
        self._made_of[contract.id] = made_of
        shown = options.quote(contract, spot, at)
        body = {
            "T": "q",
            "S": contract.symbol,
            "t": stamp(at + self._skew),
            "bx": EXCHANGE,
            "bp": shown.bid / 1e9,
            "bs": shown.bid_qty,
            "ax": EXCHANGE,
            "ap": shown.ask / 1e9,
            "as": shown.ask_qty,
            "c": QUOTE_CONDITION,
        }
        messages.append((at, "quotes", contract.symbol, body, shown))

    def _printed(self, contract: Contract, paths: "dict[int, Path]", start: int, end: int, messages: list[Any]) -> None:
        for found in options.prints(contract, start, end):
            spot = paths[contract.underlying].at(found.at)
            if not spot or not self._floor.exchange.hours.is_open(found.at):
                continue
            shown = options.quote(contract, spot, found.at)
            px = shown.ask if found.lifts else shown.bid
            if px:
                body = {
                    "T": "t",
                    "S": contract.symbol,
                    "t": stamp(found.at + self._skew),
                    "p": px / 1e9,
                    "s": found.qty,
                    "x": EXCHANGE,
                    "c": TRADE_CONDITION,
                }
                messages.append((found.at, "trades", contract.symbol, body, None))

    def _send(self, session: OptionSession, messages: list[Any]) -> None:
        trades, quotes = session.subscriptions.wants("trades"), session.subscriptions.wants("quotes")
        chosen = []
        for _, channel, symbol, body, shown in messages:
            if channel == "trades" and (symbol in trades or "*" in trades):
                chosen.append(body)
            elif channel == "quotes" and symbol in quotes and session.told.get(symbol) != shown:
                session.told[symbol] = shown
                chosen.append(body)
        self.messages += len(chosen)
        for begin in range(0, len(chosen), FRAME_MESSAGES):
            session.send(msgspec.msgpack.encode(chosen[begin : begin + FRAME_MESSAGES]))


class Path:
    """The mids of one underlying through a batch; px units."""

    def __init__(self, times: Any, mids: Any, before: int) -> None:
        self._times, self._mids, self.before = times, mids, before

    def at(self, instant: int) -> int:
        """The mid of the last quote before an instant, 0 = not known."""
        place = int(np.searchsorted(self._times, instant))
        return int(self._mids[place - 1]) if place else self.before


def stamp(ns: int) -> msgspec.msgpack.Ext:
    """A msgpack timestamp to the nanosecond."""
    seconds, rest = divmod(ns, SECOND)
    return msgspec.msgpack.Ext(-1, _TIME.pack(rest, seconds))


def option_hubs(floor: Floor, access: Access, faults: Faults, truth: Truth, *, opra: bool, **settings: Any) -> dict[str, OptionHub]:
    """The hubs of a venue by path; `opra`: whether the plan holds that feed. None where the exchange has no options."""
    desk = floor.exchange.options
    if desk is None:
        return {}
    granted = dict(zip(OPTION_PATHS, (True, opra), strict=True))
    return {path: OptionHub(floor, desk, access, faults, truth, granted=has, **settings) for path, has in granted.items()}
