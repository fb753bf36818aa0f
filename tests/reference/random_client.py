"""A client that does anything on the exchange: after every step the account is what requests, events and the market make of it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from operator import itemgetter
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from tests.reference.account import FINAL, AccountOracle, Market, Order, number

from pyrt._core.types import NO_PRICE, RecordType, market_dtype, quote_dtype, trade_dtype
from pyrt.calendar import Calendar
from pyrt.model import Instrument
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import VenueRefusal

SECOND = UNIT = 10**9
BEGIN = 1_772_463_846 * SECOND  # 2026-03-02T15:04:06Z, a Monday
NEW_YORK = ZoneInfo("America/New_York")
SYMBOLS = {"AAPL": 10_000, "SIRI": 245}  # cents at the beginning: a second one around the margin rules' 2.50
INSTRUMENTS = [Instrument(id=n, symbol=symbol) for n, symbol in enumerate(SYMBOLS, 1)]
HOLIDAYS = {"2026-04-03", "2026-05-25", "2026-06-19"}  # what the longest runs meet
TYPES = ("limit", "limit", "limit", "market", "stop", "stop_limit")
TIFS = ("day", "gtc", "day", "gtc", "ioc", "fok")
VERBS = (
    ("submit",) * 8 + ("quote",) * 7 + ("trade",) * 4 + ("replace",) * 3 + ("cancel", "cancel", "close", "close", "wait", "rare")
)
SIZE = 2**16
Operation = tuple[int, int, int, int, int, int]


def local(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // SECOND, NEW_YORK)


def at(day: datetime, hour: int, minute: int = 0) -> int:
    return int(day.replace(hour=hour, minute=minute, second=0, microsecond=0).timestamp()) * SECOND


def sessions(ns: int) -> list[datetime]:
    """The days from that of `ns` on on which the exchange opens."""
    days = (local(ns).replace(hour=12) + timedelta(days=n) for n in range(7))
    return [day for day in days if is_session(day)]


def is_session(day: datetime) -> bool:
    return day.weekday() < 5 and day.date().isoformat() not in HOLIDAYS


class Desk:
    """A client that does anything, the venue, and the oracle beside it."""

    def __init__(self, *, multiplier: int = 2, cash: int = 20_000, hours: bool = False) -> None:
        self.hours = hours
        self.settings: dict[str, Any] = {"always_open": not hours, "calendar": Calendar() if hours else None}
        self.exchange = Exchange(INSTRUMENTS, cash=str(cash), multiplier=multiplier, start=BEGIN, **self.settings)
        fractionable = {symbol: self.exchange.asset(symbol)["fractionable"] for symbol in SYMBOLS}
        markets = {symbol: Market() for symbol in SYMBOLS}
        self.oracle = AccountOracle(multiplier, cash * UNIT * UNIT, markets, fractionable)
        self.mid = dict(SYMBOLS)
        self.now = BEGIN
        self.fills: list[dict[str, Any]] = []
        self.counts: dict[str, int] = {}
        for n in range(len(SYMBOLS)):
            self.quote(n, 0, 0, 20, 30)

    # ------------------------------------------------------------------------------------------------ the loop
    def run(self, operations: Sequence[Operation]) -> None:
        for verb, a, b, c, d, e in operations:
            name = VERBS[verb % len(VERBS)]
            self.tick(1 + e % 1000)
            getattr(self, name)(a, b, c, d, e)
            self.check()
        self.wind_up()

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def tick(self, ns: int) -> None:
        """Time passes; the venue and the oracle see days end and orders expire."""
        end = self.now + ns
        for edge, happens in self.edges(end):
            self.exchange.advance(edge)
            self.listen()
            happens()
        self.exchange.advance(end)
        self.now = end
        self.listen()
        assert all(not o.expires or o.expires > self.now for o in self.oracle.open), "an order outlived its session"

    def edges(self, end: int) -> list[tuple[int, Any]]:
        """The ends of days, and both ends of sessions, from now to `end`."""
        days = [local(self.now).replace(hour=12) + timedelta(days=n) for n in range((end - self.now) // (86_400 * SECOND) + 3)]
        closes = [(at(day, 16), self.oracle.session_ended) for day in days if self.hours and is_session(day)]
        opens = [(at(day, 9, 30), self.oracle.session_began) for day in days if self.hours and is_session(day)]
        midnights = [(at(day, 0), self.oracle.new_day) for day in days]
        return sorted((edge for edge in closes + opens + midnights if self.now < edge[0] <= end), key=itemgetter(0))

    def is_open(self, ns: int, *, extended: bool = False) -> bool:
        day = local(ns)
        if not self.hours:
            return True
        begin, end = (at(day, 4), at(day, 20)) if extended else (at(day, 9, 30), at(day, 16))
        return is_session(day) and begin <= ns < end

    def expiry(self, body: dict[str, Any]) -> int:
        if self.hours and body["time_in_force"] == "gtc":
            return at(local(self.now) + timedelta(days=90), 16, 15)
        if not self.hours or body["time_in_force"] != "day":
            return 0
        hour = 20 if body.get("extended_hours") else 16
        return next(end for end in (at(day, hour) for day in sessions(self.now)) if end > self.now)

    def listen(self) -> None:
        for _, update in self.exchange.take_updates():
            order = self.oracle.orders[update["order"]["id"]]
            told = datetime.fromisoformat(update["timestamp"][:19]).replace(tzinfo=UTC)
            ns = int(told.timestamp()) * SECOND
            if update["event"] == "expired":
                assert ns == order.expires
            self.oracle.event(update, is_open=self.is_open(ns, extended=order.extended))
            if update["event"] in ("fill", "partial_fill"):
                self.fills.append(update)
            self.count(update["event"])

    # ------------------------------------------------------------------------------------------------ the market
    def quote(self, a: int, b: int, c: int, d: int, e: int) -> None:
        symbol = list(SYMBOLS)[a % len(SYMBOLS)]
        self.mid[symbol] = max(150, self.mid[symbol] + b % 13 - 6)
        bid, ask = self.mid[symbol] - 1 - c % 3, self.mid[symbol] + 1 + c // 3 % 3
        bid_qty, ask_qty = d % 61, e % 61  # 0: that side shows nothing
        record = np.zeros(1, dtype=quote_dtype)
        record["bid_px"], record["ask_px"] = bid * UNIT // 100 if bid_qty else NO_PRICE, ask * UNIT // 100 if ask_qty else NO_PRICE
        record["bid_qty"], record["ask_qty"] = bid_qty * UNIT, ask_qty * UNIT
        nothing = Fraction(0)
        self.oracle.markets[symbol].quote(
            Fraction(bid, 100) if bid_qty else nothing,
            Fraction(bid_qty),
            Fraction(ask, 100) if ask_qty else nothing,
            Fraction(ask_qty),
        )
        self.send(record, RecordType.QUOTE, symbol)

    def trade(self, a: int, b: int, c: int, d: int, e: int) -> None:
        symbol = list(SYMBOLS)[a % len(SYMBOLS)]
        cents, qty = max(140, self.mid[symbol] + b % 15 - 7), 1 + c % 50
        record = np.zeros(1, dtype=trade_dtype)
        record["px"], record["qty"] = cents * UNIT // 100, qty * UNIT
        self.oracle.markets[symbol].trade(Fraction(cents, 100), Fraction(qty))
        self.oracle.trade(symbol, Fraction(cents, 100), is_open=self.is_open(self.now))
        self.send(record, RecordType.TRADE, symbol)
        self.oracle.markets[symbol].printed = (Fraction(0), Fraction(0))

    def send(self, record: Any, kind: RecordType, symbol: str) -> None:
        record["type"], record["instrument"], record["ts_event"] = int(kind), list(SYMBOLS).index(symbol) + 1, self.now
        self.exchange.on_market(record.view(market_dtype))
        self.listen()

    # ------------------------------------------------------------------------------------------------ requests
    def submit(self, a: int, b: int, c: int, d: int, e: int) -> None:
        symbol, kind = list(SYMBOLS)[a % len(SYMBOLS)], TYPES[b % len(TYPES)]
        shares = Fraction(1 + c % 40 * (1 + c % 7)) if d % 8 else Fraction(1 + c % 300, 8)
        body: dict[str, Any] = {"symbol": symbol, "qty": number(shares), "side": ("buy", "sell")[a // 64 % 2]}
        body |= {"type": kind, "time_in_force": TIFS[d // 8 % len(TIFS)]}
        cents = self.mid[symbol] + e % 31 - 15
        if kind in ("limit", "stop_limit"):
            body["limit_price"] = number(Fraction(cents, 100))
        if kind in ("stop", "stop_limit"):
            body["stop_price"] = number(Fraction(max(100, cents + b // 64 % 17 - 8), 100))
        if d // 512 % 8 == 0:
            body["extended_hours"] = True
        if e // 64 % 4 == 0:
            body["client_order_id"] = f"mine-{e // 256 % 64}"
        wanted = self.oracle.verdict(body)
        answer = self.ask(wanted, self.exchange.submit, body, self.now)
        if answer is not None:
            assert answer["status"] == ("pending_new" if self.works(body) else "accepted")
            order = self.oracle.accepted(body, answer, self.expiry(body))
            assert answer["position_intent"] == f"{body['side']}_to_{'open' if order.opening else 'close'}"
        self.listen()

    def works(self, body: dict[str, Any]) -> bool:
        return self.is_open(self.now, extended=bool(body.get("extended_hours")))

    def ask(self, wanted: tuple[int, int] | None, verb: Any, *args: Any, **named: Any) -> Any:
        """A request and its verdict; a refusal changes nothing."""
        self.count(verb.__name__)
        if wanted is None:
            return verb(*args, **named)
        before = (self.exchange.account(), self.exchange.orders(limit=10**9), self.exchange.positions())
        with pytest.raises(VenueRefusal) as refused:
            verb(*args, **named)
        assert (refused.value.http, refused.value.code) == wanted, refused.value.body
        assert before == (self.exchange.account(), self.exchange.orders(limit=10**9), self.exchange.positions())
        self.count("refused")
        return None

    def pick(self, a: int) -> Order | None:
        """Mostly an open order, now and then one that is over."""
        among = self.oracle.open if a % 8 else list(self.oracle.orders.values())
        return among[a // 8 % len(among)] if among else None

    def replace(self, a: int, b: int, c: int, d: int, e: int) -> None:
        old = self.pick(a)
        if old is None:
            return
        patch: dict[str, Any] = {}
        if b % 2:
            patch["qty"] = str(1 + c % 60)
        cents = self.mid[old.symbol] + d % 31 - 15
        if old.limit and b // 2 % 2:
            patch["limit_price"] = number(Fraction(cents, 100))
        if old.stop and b // 4 % 2:
            patch["stop_price"] = number(Fraction(max(100, cents + e % 9 - 4), 100))
        merged = {
            "symbol": old.symbol,
            "qty": patch.get("qty", number(old.qty)),
            "side": old.side,
            "type": old.type,
            "time_in_force": old.tif,
            "limit_price": patch.get("limit_price") or number(old.limit),
            "stop_price": patch.get("stop_price") or number(old.stop),
            "extended_hours": old.extended,
        }
        if old.type == "trailing_stop":
            how, distance = ("trail_price", old.trail) if old.trail else ("trail_percent", old.percent)
            if e % 2:
                distance = Fraction(1 + e % 90, 100)
                patch["trail"] = number(distance)
            merged[how] = number(distance)
        answer = self.ask(self.replace_verdict(old, merged), self.exchange.replace, old.id, patch, self.now)
        if answer is not None:
            assert answer["id"] != old.id
            assert answer["replaces"] == old.id
            assert self.exchange.order(old.id)["replaced_by"] == answer["id"]
            self.oracle.accepted(merged, answer, self.expiry(merged), old)
        self.listen()

    def replace_verdict(self, old: Order, merged: dict[str, Any]) -> tuple[int, int] | None:
        if old.status not in ("new", "partially_filled"):
            return 422, 42210000
        if Fraction(merged["qty"]) <= old.base + old.filled:
            return 422, 40010001
        return self.oracle.verdict(merged, old)

    def cancel(self, a: int, b: int, c: int, d: int, e: int) -> None:
        order = self.pick(a)
        if order is not None:
            wanted = (422, 42210000) if order.status in FINAL else None
            self.ask(wanted, self.exchange.cancel, order.id, self.now)
            self.listen()
            assert order.status in FINAL

    def close(self, a: int, b: int, c: int, d: int, e: int) -> None:
        symbol = list(SYMBOLS)[a % len(SYMBOLS)]
        held = self.oracle.held(symbol).qty
        how: dict[str, str] = {}
        qty = abs(held)
        if b % 3 == 1:
            qty = Fraction(1 + c % 20)
            how["qty"] = number(qty)
        elif b % 3 == 2:
            percent = Fraction(1 + c % 1000, 10)
            qty = Fraction(int(qty * percent / 100 * UNIT), UNIT)
            how["percentage"] = number(percent)
        body = {
            "symbol": symbol,
            "qty": number(qty),
            "side": "sell" if held > 0 else "buy",
            "type": "market",
            "time_in_force": "day",
        }
        wanted: tuple[int, int] | None = (404, 40410000)
        if held:
            wanted = (422, 40010001) if not qty else self.oracle.verdict(body)
        answer = self.ask(wanted, self.exchange.close_position, symbol, self.now, **how)
        if answer is not None:
            self.oracle.accepted(body, answer, self.expiry(body))
        self.listen()

    def wait(self, a: int, b: int, c: int, d: int, e: int) -> None:
        longest = (SECOND, 60 * SECOND, 3600 * SECOND, 30 * 3600 * SECOND)[a % 4]
        self.tick(b * longest // SIZE + 1)

    def rare(self, a: int, b: int, c: int, d: int, e: int) -> None:
        if a % 4 == 0:
            self.count("cancel_all")
            mine = {order.id for order in self.oracle.open}
            assert {id_ for id_, http, _ in self.exchange.cancel_all(self.now) if http == 200} == mine
            self.listen()
            assert not self.oracle.open
        elif a % 4 == 1:
            self.count("restart")
            data = self.exchange.save()
            self.exchange = Exchange.load(data, INSTRUMENTS, **self.settings)
            for market in self.oracle.markets.values():
                market.restart()
            self.listen()

    # ------------------------------------------------------------------------------------------------ what must hold
    def check(self) -> None:
        oracle, exchange = self.oracle, self.exchange
        oracle.books_balance()
        oracle.groups_hold()
        oracle.nobody_idles(is_open=self.is_open(self.now), is_extended=self.is_open(self.now, extended=True))
        shown, wanted = exchange.account(), oracle.account()
        other = {key: (shown[key], value) for key, value in wanted.items() if shown[key] != value}
        assert not other, other
        open_ = {order["id"]: order for order in exchange.orders(limit=10**9)}
        assert set(open_) == {order.id for order in oracle.open}
        for order in oracle.open:
            row, shown_qty = open_[order.id], None if order.notional else number(order.qty)
            assert (row["status"], row["qty"], row["filled_qty"]) == (order.status, shown_qty, number(order.filled))
        positions = {position["symbol"]: position for position in exchange.positions()}
        assert set(positions) == {symbol for symbol, held in oracle.positions.items() if held.qty}
        for symbol, position in positions.items():
            figures = oracle.position(symbol)
            assert {key: position[key] for key in figures} == figures, {
                k: (position[k], v) for k, v in figures.items() if v != position[k]
            }

    def wind_up(self) -> None:
        """The end: nothing open reserves nothing, and the activities are the fills."""
        self.exchange.cancel_all(self.now)
        self.listen()
        self.check()
        assert self.oracle.reserved == 0
        told = [(u["order"]["id"], u["price"], u["qty"]) for u in self.fills]
        rows: list[dict[str, Any]] = []
        while page := self.exchange.activities(types=["FILL"], direction="asc", page_token=rows[-1]["id"] if rows else None):
            rows += page
        assert [(row["order_id"], row["price"], row["qty"]) for row in rows] == told
        assert not {row["id"] for row in rows} & {u["execution_id"] for u in self.fills}
        assert len({row["id"] for row in rows}) == len(rows)


def random_operations(seed: int, count: int) -> list[Operation]:
    rng = Random(seed)
    return [tuple(rng.randrange(SIZE) for _ in range(6)) for _ in range(count)]  # type: ignore[misc]
