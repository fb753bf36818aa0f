"""A running session in numbers: what the console view draws and `pyrt status` asks a run for."""

import time
from collections import deque
from decimal import Decimal

import msgspec

from pyrt._core.types import NO_PRICE, Flag, from_units
from pyrt.clock import interval_ns
from pyrt.execution.orders import Order
from pyrt.live.plan import Live
from pyrt.model import EXTERNAL, Alarmed, Instruments, Message, Signal, money
from pyrt.session import Session

SHOWN = 8  # rows of a list


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument: its quote and its last closed bar; None where nothing was seen yet."""

    symbol: str
    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None
    bar_close: Decimal | None
    bar_volume: Decimal | None
    halted: bool = False
    no_data: bool = False  # the venue leaves it out of what was subscribed


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy's position."""

    strategy: str
    symbol: str
    quantity: Decimal
    average: Decimal
    realised: Decimal


class Working(msgspec.Struct, frozen=True, kw_only=True):
    """An order that may still fill."""

    number: int
    strategy: str
    symbol: str
    side: str
    type: str
    quantity: Decimal
    filled: Decimal
    limit: Decimal | None
    stop: Decimal | None
    status: str

    @property
    def terms(self) -> str:
        """Type and prices."""
        prices = [f"{name} {px}" for name, px in (("stop", self.stop), ("limit", self.limit)) if px is not None]
        return " ".join(prices) or self.type.lower()


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Everything worth a look; money is Decimal in the account's currency, latencies are ns."""

    venue: str
    account: str
    state: str  # "recovering", "trading", "stopping"
    seconds: float
    venue_ns: int
    markets: list[Market]
    positions: list[Held]
    orders: list[Working]
    open_orders: int
    signals: list[str]
    alarms: list[str]
    counts: dict[str, int]
    rates: dict[str, float]  # a second, over the last seconds
    refusals: dict[str, int]
    latches: dict[str, str]  # scope -> level and reason
    realised: Decimal
    unrealised: Decimal
    fees: Decimal
    day_pnl: Decimal
    drawdown: Decimal
    limits_version: int
    tick_to_order: tuple[int, int] | None  # p50, p99
    sync: tuple[int, int]  # p50, p99 of write and sync
    unresolved: int


class Watch:
    """Gathers Figures. Its `hear` is a listener of the session; `look` runs on the session's loop and waits for nothing."""

    def __init__(self) -> None:
        self._signals: deque[Signal] = deque(maxlen=SHOWN)
        self._alarms: deque[Alarmed] = deque(maxlen=SHOWN)
        self._seen: deque[tuple[float, dict[str, int]]] = deque(maxlen=40)
        self._begun = time.monotonic()

    def hear(self, message: Message) -> None:
        """Keep what passes by and is not part of the session's state."""
        if isinstance(message, Signal):
            self._signals.append(message)
        elif isinstance(message, Alarmed) and message.severity != "info":
            self._alarms.append(message)

    def look(self, live: Live) -> Figures:
        """The session as it is now."""
        session, shell, runner = live.session, live.shell, live.runner
        risk, execution = session.risk, session.execution
        pnl = risk.pnl()
        took = shell.journal.sync_latency
        names = {EXTERNAL: "external", **session.names}
        symbols = {i.id: i.symbol for i in session.instruments}
        open_orders = execution.open_orders()
        return Figures(
            venue=runner.plan.link.name,
            account=runner.plan.link.account_id,
            state="stopping" if runner.stopping.is_set() else "trading" if session.running else "recovering",
            seconds=time.monotonic() - self._begun,
            venue_ns=shell.now().venue,
            markets=_markets(live),
            positions=held(session, names),
            orders=[working(o, session.instruments, names) for o in open_orders[-SHOWN:]],
            open_orders=len(open_orders),
            signals=[
                f"{names.get(s.strategy, s.strategy)} {s.action} {symbols[s.instrument]} {s.confidence:.2f}" for s in self._signals
            ],
            alarms=[f"{a.code}: {a.text}" for a in self._alarms],
            counts=dict(session.counts),
            rates=self._rates(dict(session.counts)),
            refusals=dict(session.refusals),
            latches={scope_name(s, names, session.instruments): f"{f.level}: {f.reason}" for s, f in risk.latches.items()},
            realised=money(pnl.realised),
            unrealised=money(pnl.unrealised),
            fees=money(pnl.fees),
            day_pnl=money(risk.gate.day_pnl),
            drawdown=money(risk.gate.drawdown),
            limits_version=risk.limits_version,
            tick_to_order=percentiles(shell.latencies.copy()),
            sync=(took["p50"], took["p99"]),
            unresolved=execution.unresolved,
        )

    def _rates(self, counts: dict[str, int]) -> dict[str, float]:
        now = time.monotonic()
        self._seen.append((now, counts))
        then, old = self._seen[0]
        passed = now - then
        return {name: (n - old.get(name, 0)) / passed if passed > 0 else 0.0 for name, n in counts.items()}


def percentiles(values: list[int]) -> tuple[int, int] | None:
    """(p50, p99) of some values; None of none."""
    if not values:
        return None
    values.sort()
    last = len(values) - 1
    return values[last // 2], values[last * 99 // 100]


def _markets(live: Live) -> list[Market]:
    session = live.session
    refs = session.market.refs
    intervals: dict[str, int] = {}
    for strategy in session.strategies.values():
        for symbol in strategy.symbols:
            intervals.setdefault(symbol, interval_ns(strategy.interval))
    rows = []
    told = live.shell.states.get("data")
    without = () if told is None else told.without
    for instrument in session.instruments:
        if instrument.symbol not in intervals:
            continue
        ref = refs[instrument.id]
        bars = session.desk.bars(instrument, intervals[instrument.symbol], 1)
        rows.append(
            Market(
                symbol=instrument.symbol,
                bid=_price(ref["bid_px"]),
                ask=_price(ref["ask_px"]),
                last=_price(ref["last_px"]),
                bar_close=_price(bars["close_px"][0]) if len(bars) else None,
                bar_volume=instrument.quantity(int(bars["volume"][0])) if len(bars) else None,
                halted=bool(int(ref["flags"]) & Flag.HALTED),
                no_data=instrument.symbol in without,
            )
        )
    return rows


def held(session: Session, names: dict[int, str]) -> list[Held]:
    """The positions of each strategy, those closed with a result included."""
    rows = []
    for number, name in names.items():
        for instrument in session.instruments:
            position = session.risk.position(number, instrument.id)
            if not position.qty and not position.realised:
                continue
            quantity = instrument.quantity(position.qty)
            average = money(position.cost) / quantity if quantity else Decimal(0)
            row = Held(
                strategy=name, symbol=instrument.symbol, quantity=quantity, average=average, realised=money(position.realised)
            )
            rows.append(row)
    return rows


def working(order: Order, instruments: Instruments, names: dict[int, str]) -> Working:
    """An order in whole units."""
    instrument = instruments[order.instrument]
    return Working(
        number=order.number,
        strategy=names.get(order.strategy, str(order.strategy)),
        symbol=instrument.symbol,
        side=order.side.name,
        type=order.type.name,
        quantity=instrument.quantity(order.qty),
        filled=instrument.quantity(order.filled),
        limit=instrument.price(order.limit_px) if order.limit_px else None,
        stop=instrument.price(order.stop_px) if order.stop_px else None,
        status=order.status.name,
    )


def scope_name(scope: str, names: dict[int, str], instruments: Instruments) -> str:
    """A latch's scope with a name in the place of its number."""
    kind, _, number = scope.partition(":")
    if kind == "strategy":
        return f"strategy:{names.get(int(number), number)}"
    if kind == "instrument" and int(number) in instruments:
        return f"instrument:{instruments[int(number)].symbol}"
    return scope


def _price(px: int) -> Decimal | None:
    return None if px in (0, NO_PRICE) else from_units(int(px))
