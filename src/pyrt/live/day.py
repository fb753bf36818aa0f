"""A day's books, from the journal alone: orders, fills, positions, exact profit and loss, and what a human should know of it."""

from collections import Counter
from collections.abc import Iterable
from decimal import Context, Decimal, localcontext
from pathlib import Path

import msgspec

from pyrt._core.types import Side
from pyrt.calendar import ExchangeDays
from pyrt.execution import ExecutionEngine
from pyrt.execution.orders import CORRECTIONS, OPENING, Order, correction_of
from pyrt.journal import inspect
from pyrt.market import MarketData
from pyrt.model import (
    EXTERNAL,
    AccountSeen,
    Alarmed,
    Defined,
    ExternalSeen,
    Fact,
    Filled,
    Instrument,
    Instruments,
    Intended,
    Latched,
    OrderChanged,
    PositionAdjusted,
    Refused,
    StrategyNamed,
    money,
)
from pyrt.risk import RiskManager

ZERO = Decimal(0)
EXACT = Context(prec=80)  # sums and products of money and prices; the default of 28 digits would round
_SHORT = Context(prec=28)


class OrderLine(msgspec.Struct, kw_only=True):
    """An order that lived on the day; `slippage`: what its fills cost against the price it was decided at, > 0 is worse."""

    number: int
    cid: str
    venue_order_id: str
    strategy: str
    symbol: str
    side: str
    type: str
    quantity: Decimal
    limit: Decimal | None
    stop: Decimal | None
    filled: Decimal
    average: Decimal | None  # of the fills that this journal has; None without any
    status: str
    arrival: Decimal | None
    value: Decimal | None  # of what was filled, at the price of arrival
    slippage: Decimal | None
    ts: int
    earlier: bool = False  # some of it was filled before this journal began to count
    agreed: bool | None = None  # with the venue; None = not compared


class FillLine(msgspec.Struct, kw_only=True):
    """One execution of the day; `note` says where the venue took it back or changed it."""

    venue_order_id: str
    cumulative: Decimal
    number: int
    strategy: str
    symbol: str
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    realised: Decimal  # of the shares that it closed, before fees
    ts: int
    note: str = ""
    agreed: bool | None = None


class PositionLine(msgspec.Struct, kw_only=True):
    """What the account held of an instrument at the end of the day, all strategies together; realised and fees are the day's."""

    symbol: str
    quantity: Decimal
    cost: Decimal
    mark: Decimal | None = None
    unrealised: Decimal | None = None
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    multiplier: int = 1


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was said at a time: a latch, an alarm, a refusal."""

    ts: int
    what: str
    code: str
    text: str


class Books(msgspec.Struct, kw_only=True):
    """What the journal says of one day; money is Decimal, exact."""

    day: str
    journal: str
    account: str
    begun: int = 0  # venue ns of the journal's first look at the account
    ended: int = 0  # and of its last record: what the venue did after that is news, no difference
    opening_cash: Decimal | None = None  # at that look
    cash: Decimal | None = None  # at the end of the day, as the fills moved it
    complete: bool = True  # nothing moved on a later day: these are also the present books
    orders: list[OrderLine] = []
    fills: list[FillLine] = []
    positions: list[PositionLine] = []
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    latches: list[Note] = []
    alarms: list[Note] = []
    refusals: list[Note] = []
    refused: dict[str, int] = {}  # control -> denials; an order may be denied by several
    open_latches: dict[str, str] = {}  # scope -> level and reason, at the end of the day


def read_books(directory: Path, day: str) -> Books:
    """The books of a day (YYYY-MM-DD, New York) from the journal in a directory. Raises JournalDamaged, JournalError."""
    verdict = inspect.verify(directory)
    return books_of(inspect.show(directory), day, verdict.journal)


def books_of(facts: Iterable[tuple[int, int, Fact]], day: str, journal: str) -> Books:
    """The books of a day from (seq, venue ns, fact), all from the journal's beginning."""
    clerk = _Clerk(day, journal)
    day_of = ExchangeDays()
    with localcontext(EXACT):
        for _, written, fact in facts:
            when = getattr(fact, "ts", 0) or written
            clerk.books.ended = max(clerk.books.ended, when, written)
            on = day_of(when) if when else ""
            if on <= day:
                clerk.take(fact, when, today=on == day)
            elif isinstance(fact, Filled | PositionAdjusted):
                clerk.books.complete = False
        return clerk.close()


class _Clerk:
    """Applies facts to fresh components and writes down what the day's do."""

    def __init__(self, day: str, journal: str) -> None:
        self.books = Books(day=day, journal=journal, account="")
        self._instruments = Instruments()
        self._risk = RiskManager(self._instruments, MarketData(self._instruments).refs)
        self._execution = ExecutionEngine(journal, self._instruments)
        self._names = {EXTERNAL: "external"}
        self._arrival: dict[int, int] = {}
        self._touched: dict[int, None] = {}  # orders of the day,
        self._over: dict[int, Order] = {}  # and those of them that the engine let go
        self._fills: dict[str, FillLine] = {}  # by execution id
        self._traded: dict[int, tuple[Decimal, Decimal]] = {}  # number -> quantity and its value, of every fill
        self._day: dict[int, tuple[int, int]] = {}  # instrument -> realised and fees of the day
        self._flow = ZERO

    def take(self, fact: Fact, when: int, *, today: bool) -> None:
        """One fact of the day or of an earlier one."""
        if isinstance(fact, Defined):
            self._instruments.add(fact.instrument)
        elif isinstance(fact, StrategyNamed):
            self._names[fact.strategy] = fact.name
        elif isinstance(fact, AccountSeen):
            self._seen(fact)
        elif isinstance(fact, Intended):
            self._arrival[fact.number] = fact.ref_px
        if isinstance(fact, Filled | PositionAdjusted):
            self._moved(fact, today)
        else:
            self._apply(fact)
        if today:
            self._heard(fact, when)

    def _apply(self, fact: Fact) -> None:
        for order in self._execution.apply(fact):
            if order.number in self._touched:
                self._over[order.number] = order
        self._risk.apply(fact)

    def _moved(self, fact: Filled | PositionAdjusted, today: bool) -> None:
        before = self._results(fact)
        self._apply(fact)
        realised, fees = (b - a for a, b in zip(before, self._results(fact), strict=True))
        if today:
            old = self._day.get(fact.instrument, (0, 0))
            self._day[fact.instrument] = (old[0] + realised, old[1] + fees)
        if isinstance(fact, Filled):
            self._filled(fact, realised, today)
        else:
            self._adjusted(fact)

    def _results(self, fact: Filled | PositionAdjusted) -> tuple[int, int]:
        position = self._risk.position(fact.strategy, fact.instrument)
        return position.realised, position.fees

    def _seen(self, fact: AccountSeen) -> None:
        books = self.books
        books.account = fact.account_id
        if books.opening_cash is None:
            books.opening_cash, books.begun, self._flow = Decimal(fact.cash).scaleb(-9), fact.ts, ZERO

    def _filled(self, f: Filled, realised: int, today: bool) -> None:
        i = self._instruments[f.instrument]
        qty, price = i.quantity(f.qty), i.price(f.px)
        value = qty * price * i.multiplier
        self._flow -= (value if f.side is Side.BUY else -value) + Decimal(f.fee).scaleb(-9)
        done, paid = self._traded.get(f.number, (ZERO, ZERO))
        self._traded[f.number] = (done + qty, paid + qty * price)
        if not today:
            return
        line = FillLine(
            venue_order_id=f.venue_order_id,
            cumulative=i.quantity(f.cum_qty),
            number=f.number,
            strategy=self._names.get(f.strategy, str(f.strategy)),
            symbol=i.symbol,
            side=f.side.name,
            price=price,
            quantity=qty,
            fee=Decimal(f.fee).scaleb(-9),
            realised=money(realised),
            ts=f.ts,
        )
        self._fills[f.execution_id] = line
        self.books.fills.append(line)

    def _adjusted(self, f: PositionAdjusted) -> None:
        event, execution, name = correction_of(f.reason)
        if f.reason != OPENING and event in CORRECTIONS:
            self._flow -= Decimal(f.cost).scaleb(-9)
            if execution in self._fills:
                line = self._fills[name] = self._fills[execution]
                line.note = event

    def _heard(self, fact: Fact, when: int) -> None:
        books = self.books
        if isinstance(fact, Intended | ExternalSeen | OrderChanged | Filled):
            self._touched[fact.number] = None
        elif isinstance(fact, Latched):
            books.latches.append(Note(ts=when, what=fact.scope, code=fact.code, text=f"{fact.level}: {fact.reason} ({fact.who})"))
        elif isinstance(fact, Alarmed):
            books.alarms.append(Note(ts=when, what=fact.severity, code=fact.code, text=fact.text))
        elif isinstance(fact, Refused):
            intent = fact.intent
            i = self._instruments[intent.instrument]
            who = f"{self._names.get(intent.strategy, intent.strategy)} {intent.side.name} {i.quantity(intent.qty)} {i.symbol}"
            why = "; ".join(f"{b.code}: {b.observed} against {b.limit}" for b in fact.breaches)
            books.refusals.append(Note(ts=when, what=who, code=" ".join(b.code for b in fact.breaches), text=why))
            books.refused = dict(Counter(books.refused) + Counter(b.code for b in fact.breaches))

    def close(self) -> Books:
        """The books as they stand."""
        books = self.books
        known = {**self._over, **self._execution.orders}
        books.orders = [self._order(known[n]) for n in sorted(self._touched) if n in known]
        for i in self._instruments:
            position = self._risk.account(i.id)
            realised, fees = self._day.get(i.id, (0, 0))
            if position.qty or i.id in self._day:
                line = PositionLine(symbol=i.symbol, quantity=i.quantity(position.qty), cost=money(position.cost))
                line.realised, line.fees, line.multiplier = money(realised), money(fees), i.multiplier
                books.positions.append(line)
        books.realised = sum((line.realised for line in books.positions), ZERO)
        books.fees = sum((line.fees for line in books.positions), ZERO)
        books.cash = None if books.opening_cash is None else books.opening_cash + self._flow
        books.open_latches = {scope: f"{f.level}: {f.reason}" for scope, f in self._risk.latches.items()}
        return books

    def _order(self, order: Order) -> OrderLine:
        i: Instrument = self._instruments[order.instrument]
        done, paid = self._traded.get(order.number, (ZERO, ZERO))
        arrival = self._arrival.get(order.number, 0)
        value = slippage = None
        if done and arrival:
            value = done * i.price(arrival) * i.multiplier
            slippage = (paid * i.multiplier - value) * (1 if order.side is Side.BUY else -1)
        return OrderLine(
            number=order.number,
            cid=order.cid,
            venue_order_id=order.venue_order_id,
            strategy=self._names.get(order.strategy, str(order.strategy)),
            symbol=i.symbol,
            side=order.side.name,
            type=order.type.name,
            quantity=i.quantity(order.qty),
            limit=i.price(order.limit_px) if order.limit_px else None,
            stop=i.price(order.stop_px) if order.stop_px else None,
            filled=i.quantity(order.filled),
            average=_SHORT.divide(paid, done) if done else None,
            status=order.status.name,
            earlier=order.base > 0,
            arrival=i.price(arrival) if arrival else None,
            value=value,
            slippage=slippage,
            ts=order.ts,
        )
