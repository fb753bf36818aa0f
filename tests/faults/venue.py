"""The simulated venue without its port: the exchange, and the server's own edge, routes, floor and stream sessions, called
directly. What happens here is the truth that the oracle compares with.
"""

import random
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import numpy as np
from tests.faults.kernel import MS, SECOND, Kernel
from tests.faults.plan import Plan

from pyrt._core.types import RecordType, market_dtype
from pyrt.calendar import Calendar
from pyrt.model import Instrument
from pyrt.venues.sim.exchange import corrections
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import FINAL, VenueRefusal
from pyrt.venues.sim.server import access, api, edge
from pyrt.venues.sim.server.account_rest import AccountRest
from pyrt.venues.sim.server.data_stream import DataHub
from pyrt.venues.sim.server.faults import Faults
from pyrt.venues.sim.server.feeds import STOCKS
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.server.reference_rest import ReferenceRest
from pyrt.venues.sim.server.trading_rest import TradingRest
from pyrt.venues.sim.server.trading_stream import TradingHub
from pyrt.venues.sim.server.truth import Truth
from pyrt.venues.sim.times import format_time, parse_time

MONDAY = 1_772_463_846 * SECOND  # 2026-03-02T15:04:06Z
CENT = 10_000_000
SHARE = 10**9
KEY, SECRET = "PKFAULTS0000000000", "secretOfTheFaultsHarness000000000000"
TICK = 200 * MS
ROW = struct.Struct("<HHIQqqqqqq")  # a quote, or a trade: its price, quantity and number in the quote's first places


class VenueClock:
    """Stands in for the module `time` in the venue."""

    kernel: Kernel
    begin = MONDAY  # venue ns at the instant 0 of the world

    @classmethod
    def monotonic_ns(cls) -> int:
        return cls.kernel.now

    @classmethod
    def monotonic(cls) -> float:
        return cls.kernel.now / 1e9

    @classmethod
    def time(cls) -> float:
        return (cls.begin + cls.kernel.now) / 1e9


class Tape:
    """A market: prices walk by cents on a grid of instants; a trade now and then, a quote with little size."""

    def __init__(self, instruments: list[Instrument], rng: random.Random, begin: int) -> None:
        self._rng = rng
        self._instruments = instruments
        self._mid = {i.id: 10_000 for i in instruments}
        self._now = begin
        self._ids = 0
        self.trades: list[tuple[int, str, int, int, int]] = []  # ts, symbol, px, qty, id
        self.prints: Callable[[int], int] = lambda ns: ns  # the first instant from one on at which anybody trades
        self.quiet: dict[int, int] = {}  # instrument -> venue ns until which nothing happens in it

    next_event = 0

    def advance(self, until: int) -> Any:
        rows = bytearray()
        at = self._now // TICK * TICK + TICK
        while at <= until:
            for instrument in self._instruments:
                if self._rng.random() < 0.6 and at >= self.quiet.get(instrument.id, 0):
                    rows += self._event(instrument, at)
            at = self.prints(at + TICK)
        self._now = until
        return np.frombuffer(rows, market_dtype)

    def _event(self, instrument: Instrument, at: int) -> bytes:
        rng, number = self._rng, instrument.id
        # Pulled back towards 100.00, so that collars and limits stay where the strategies think they are.
        step = rng.randrange(-3, 4) - (self._mid[number] > 10_050) + (self._mid[number] < 9_950)
        mid = self._mid[number] = self._mid[number] + step
        bid, ask = rng.randrange(1, 40) * SHARE, rng.randrange(1, 40) * SHARE
        made = ROW.pack(RecordType.QUOTE, 0, number, 0, at, 0, (mid - 1) * CENT, (mid + 1) * CENT, bid, ask)
        if rng.random() < 0.5:
            px, qty = (mid + rng.randrange(-2, 3)) * CENT, rng.randrange(1, 60)
            self._ids += 1
            self.trades.append((at, instrument.symbol, px, qty, self._ids))
            made += ROW.pack(RecordType.TRADE, 0, number, 0, at, 0, px, qty * SHARE, self._ids, 0)
        return made

    def history_bars(self, *_: Any) -> Any:
        raise AssertionError("no print is corrected here")


class NoBars:
    """Stands in for the bars of the data stream, to which nobody here subscribes."""

    @staticmethod
    def take(records: Any, now: int) -> dict[str, Any]:
        return {}


class Request(dict[Any, Any]):
    """What a handler of the server reads of a request."""

    body_exists = True
    remote = "127.0.0.1"

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        super().__init__()
        url = urlsplit(target)
        self.method, self.path, self.query_string, self.headers = method, url.path, url.query, headers
        self.query = dict(parse_qsl(url.query, keep_blank_values=True))
        self.match_info: dict[str, str] = {}
        self.body = body
        self.content_length = len(body)

    async def read(self) -> bytes:
        return self.body


class Calm:
    """Stands in for the server's mishaps: ours happen on the way."""

    @staticmethod
    def storm(entry: Any, *, data: bool) -> None:
        return None

    @staticmethod
    async def answered(request: Any, entry: Any, serve: Callable[..., Any], *, data: bool) -> Any:
        return await serve(request)


class Reply(msgspec.Struct):
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Venue:
    """Everything behind the net."""

    def __init__(
        self, kernel: Kernel, rng: random.Random, symbols: tuple[str, ...], *, rate_limit: int, plan: Plan, begin: int = 0
    ) -> None:
        VenueClock.kernel, VenueClock.begin = kernel, begin or MONDAY
        self.kernel = kernel
        listed = [Instrument(id=i, symbol=s) for i, s in enumerate(symbols, 1)]
        self.exchange = Exchange(
            listed,
            cash="1000000",
            start=VenueClock.begin,
            seed=rng.randrange(1 << 30),
            latency=plan.latency,
            second_leg=plan.second_leg,
            calendar=Calendar() if begin else None,
            always_open=not begin,
        )
        self.tape = Tape(listed, random.Random(rng.randrange(1 << 60)), VenueClock.begin)
        self.floor = Floor(self.tape, self.exchange, VenueClock.begin, 1.0)  # type: ignore[arg-type]
        self.floor.clock = msgspec.structs.replace(self.floor.clock, origin=0)
        self.truth = Truth()
        faults = Faults(self.truth, lambda: self.floor.now)
        self.access = access.Access()
        self.access.add(KEY, SECRET, self.exchange.default)
        self.trading = TradingHub(self.floor, self.access, faults, self.truth)
        import asyncio

        self.data = DataHub(self.floor, listed, self.access, faults, self.truth, feed=STOCKS, interest=asyncio.Event())
        self.data.bars = NoBars()  # type: ignore[assignment]
        self._limits = limits = access.RateLimits(rate_limit)
        self._silent = not plan.told  # of the budget
        self._edge = edge.Edge(self.floor, self.access, Calm(), self.truth, limits, access.RateLimits(0))  # type: ignore[arg-type]
        self._routes = [
            (row.method, _pattern(row.path), api._serving(row))
            for rest in (TradingRest(self.floor), AccountRest(self.floor), ReferenceRest(self.floor, None))  # type: ignore[arg-type]
            for row in rest.routes()
        ]
        self.refused = 0  # requests over the limit
        self.sent: list[int] = []  # instants of counted requests
        self.strange: Counter[str] = Counter()  # symbol -> qty units that others ordered, or the venue itself made or undid
        self.touched: set[str] = set()  # ids of orders whose fills are not what was ordered, with those of their group

    # ------------------------------------------------------------------------------------------------ requests
    def handle(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        """One request, at this instant."""
        request = Request(method, target, headers, body)
        if request.path == "/sim/clock":
            self.floor.catch_up()
            return Reply(200, {}, msgspec.json.encode(self.floor.reading()))
        if request.path.startswith("/v2/stocks/trades"):
            return Reply(200, {}, self._trades(request.query))
        handler: Any = _missing
        for verb, pattern, serve in self._routes:
            if verb == method and (found := pattern.fullmatch(request.path)):
                request.match_info, handler = found.groupdict(), serve
                break
        entry = self.truth.request(method, request.path, request.query_string, self.floor.now, self.kernel.now)
        request[edge.ENTRY] = entry
        try:
            self._edge._admitted(request, handler, entry).send(None)  # type: ignore[arg-type]
        except StopIteration as end:
            response = end.value
        else:
            raise AssertionError("a handler waits")
        self.refused += response.status == 429
        entry.status = response.status
        told = {} if self._silent else dict(response.headers)
        return Reply(response.status, told, bytes(response.body or b""))

    @contextmanager
    def in_part(self, rng: random.Random) -> Iterator[None]:
        """Meanwhile some cancels fail inside the venue."""
        real = self.exchange._refuse_cancel

        def fail(row: Any) -> None:
            real(row)
            if rng.random() < 0.5:
                raise VenueRefusal(500, 50010000, "internal server error occurred")

        self.exchange._refuse_cancel = fail  # type: ignore[method-assign]
        try:
            yield
        finally:
            self.exchange._refuse_cancel = real  # type: ignore[method-assign]

    def _trades(self, query: dict[str, str]) -> bytes:
        start, end, symbol = parse_time(query["start"]), parse_time(query["end"]), query["symbols"]
        rows = [
            {"t": format_time(at), "p": px / SHARE, "s": qty, "i": number, "x": "V", "c": ["@"], "z": "C"}
            for at, name, px, qty, number in self.tape.trades
            if name == symbol and start <= at <= end
        ]
        return msgspec.json.encode({"trades": {symbol: rows}, "next_page_token": None})

    # ------------------------------------------------------------------------------------------------ what is done to it
    def foreign(self, rng: random.Random, symbol: str, *, at_once: bool = False) -> None:
        """Somebody trades this account by hand; `at_once`: at whatever price, so that no order of his stays open."""
        side = rng.choice(("buy", "sell"))
        cents = self.tape._mid[1] + rng.choice((-300, -5, 2, 5, 300))
        body = {"symbol": symbol, "qty": str(rng.randrange(1, 30)), "side": side, "type": "limit", "time_in_force": "day"}
        body |= {"type": "market"} if at_once else {"limit_price": f"{cents / 100:.2f}"}
        try:
            self.exchange.submit(body, self.floor.catch_up())
            self.strange[symbol] += int(body["qty"]) * SHARE
        except VenueRefusal:
            return
        finally:
            self.floor.pass_on()

    def cancel_any(self, rng: random.Random) -> None:
        """Somebody cancels an order by hand."""
        rows = self.open_rows()
        if rows:
            try:
                self.exchange.cancel(rng.choice(rows).id, self.floor.catch_up())
            except VenueRefusal:
                return
            finally:
                self.floor.pass_on()

    def overfill(self, rng: random.Random) -> bool:
        """A fill beyond what was ordered, on an order that was ours."""
        now = self.floor.catch_up()
        rows = [row for row in self.exchange.state.rows if row.cid.startswith("p1-")]
        if not rows:
            return False
        row, qty = rng.choice(rows), rng.randrange(1, 5)
        self.touch(row, qty * SHARE)
        self.exchange.force_fill(row.id, str(qty), "100.00", now)
        self.floor.pass_on()
        return True

    def bust(self, rng: random.Random) -> bool:
        """An execution is taken back, or corrected."""
        now = self.floor.catch_up()
        fills = [fill for fill in self.exchange.state.fills if not fill.busted]
        if not fills:
            return False
        fill = rng.choice(fills)
        self.touch(self.exchange.state.rows[fill.number - 1], fill.qty)
        if rng.random() < 0.5:
            corrections.bust(self.exchange, fill.id, now)
        else:
            qty = rng.randrange(1, 20)
            self.touch(self.exchange.state.rows[fill.number - 1], qty * SHARE)
            corrections.correct(self.exchange, fill.id, str(qty), "100.01", now)
        self.floor.pass_on()
        return True

    def touch(self, row: Any, qty: int) -> None:
        """So much is about to be filled, or taken back, of which no order says anything: all of the order's fills are in doubt."""
        self.strange[row.symbol] += qty + (0 if row.id in self.touched else row.qty)
        rows = self.exchange.state.rows
        self.touched |= {other.id for other in rows if other is row or (row.group and other.group == row.group)}

    def raise_limit(self, limit: int) -> int:
        """Let more requests a minute in from now on."""
        self._limits._limit = limit
        for window in self._limits._windows.values():
            window.limit = limit
        return limit

    # ------------------------------------------------------------------------------------------------ the truth
    @property
    def crowded(self) -> bool:
        """Whether so much of the budget is spent, or may be, that what only reads has to wait."""
        return self._silent or any(2 * window._used > window.limit for window in self._limits._windows.values())

    def open_rows(self) -> list[Any]:
        return [row for row in self.exchange.state.rows if row.status not in FINAL]

    def row_of(self, cid: str) -> Any:
        return next((row for row in self.exchange.state.rows if row.cid == cid), None)

    def first_of(self, row: Any) -> Any:
        """The order whose request made this one: itself, or of an exit the entry or take-profit as it was sent."""
        return self.exchange.state.rows[row.group - 1] if row.group else row

    def leg_of(self, cid: str, role: str) -> Any:
        """The exit that the venue made of a request; None = it has none."""
        first = self.row_of(cid)
        rows = self.exchange.state.rows
        return next((row for row in rows if first is not None and row.group == first.number and row.role == role), None)

    def positions(self) -> dict[str, int]:
        """Symbol to qty units, without those that are flat."""
        account = self.exchange.state.accounts[self.exchange.default]
        named = self.exchange.assets_.instruments
        return {named[number].symbol: held.qty for number, held in account.positions.items() if held.qty}


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)(?::(.+?))?\}", lambda m: f"(?P<{m[1]}>{m[2] or '[^/]+'})", path))


async def _missing(request: Any) -> Any:
    return edge.problem(404, 40410000, "endpoint not found.")
