"""The kill drill: a session is killed at random moments and started again, then venue and journal are compared."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.processes import Run, Venue

from pyrt.execution import cid, parse_cid
from pyrt.journal.inspect import show, verify
from pyrt.journal.segments import survey
from pyrt.live.recovery import check
from pyrt.model import (
    Defined,
    ExternalSeen,
    Filled,
    Instruments,
    Intended,
    OrderChanged,
    OrderClass,
    OrderStatus,
    PositionAdjusted,
    Refused,
)

ABSENT = (OrderStatus.ABANDONED, OrderStatus.CANCELED_LOCAL, OrderStatus.REJECTED)

SYMBOLS = ("AAPL", "MSFT", "SPY", "GOOGL", "AMZN", "TSLA")
STRATEGY = '''
from pyrt import Strategy

class Busy(Strategy):
    """Crosses and rests in turn, cancels often: as many orders in every state as the market's quotes allow."""

    symbols = ("AAPL", "MSFT", "SPY", "GOOGL", "AMZN", "TSLA")
    n = 0

    def on_quote(self, quote):
        self.n += 1
        open_ = self.open_orders(quote.symbol)
        for order in open_:
            if order.status and self.n % 3 == 0:
                self.cancel(order)
        if len(open_) < 3 and 0 < quote.bid < quote.ask:
            held = self.position(quote.symbol).quantity
            if held > 0 and self.n % 4:
                self.sell(quote.symbol, min(held, 3), limit=quote.bid if self.n % 2 else quote.ask)
            else:
                self.buy(quote.symbol, 2, limit=quote.ask if self.n % 2 else quote.bid)
'''

LIMITS = """
max_order_qty = "5000"
max_order_notional = "25000"
max_position_qty = "10000"
max_position_notional = "50000"
max_strategy_qty = "10000"
max_gross_exposure = "250000"
max_net_exposure = "250000"
max_open_order_value = "250000"
max_open_orders = 200
max_daily_loss = "50000"
max_drawdown = "50000"
collar_bps = 500
passive_bps = 2000
max_slippage_bps = 100
gap_bps = 500
haircut_bps = 127
max_spread_bps = 200
max_quote_age_ms = 30000
max_trade_age_ms = 60000
duplicate_window_ms = 1
repeat_max = 127
repeat_round_trips = 127
repeat_window_ms = 1
account_orders_per_minute = 100000
strategy_orders_per_minute = 100000
symbol_orders_per_minute = 100000
symbol_order_rate_max = 127
symbol_order_rate_window_ms = 100
cancels_per_fill = 127
cancel_window_ms = 1
"""


@dataclass
class Report:
    """What a drill did and found."""

    kills: int = 0
    orders: int = 0
    groups: int = 0  # orders at the venue that are exits of others
    fills: int = 0
    states: Counter[str] = field(default_factory=Counter)
    killed_in: Counter[str] = field(default_factory=Counter)  # phase of the session that the kill met
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    log: str = ""

    def __str__(self) -> str:
        states = ", ".join(f"{n} {name}" for name, n in sorted(self.states.items()))
        phases = ", ".join(f"{n} {name}" for name, n in sorted(self.killed_in.items()))
        return (
            f"{self.kills} kills ({phases}), {self.orders} orders, {self.groups} exits of groups, {self.fills} fills, "
            f"{len(self.faults)} violations, {self.seconds:.0f} s; {states}"
        )


def drill(
    venue: Venue,
    start: Callable[..., Run],
    home: Path,
    kills: int,
    seed: int,
    *more: str,
    strategy: str = STRATEGY,
    still: bool = False,
    groups: int = 0,
) -> Report:
    """Kill and restart `kills` times, end in order, and compare. still: at the end nothing trades any more.

    groups: exits of other orders that the venue must have seen: where the machine is slow, more lives make them, three times as
    many at most.
    """
    (home.parent / "busy.py").write_text(strategy)
    (home.parent / "limits.toml").write_text(LIMITS)
    options = ["--strategy", str(home.parent / "busy.py"), "--limits", str(home.parent / "limits.toml"), *more]
    options += ["--snapshot-facts", "40"]  # starts go on from snapshots, and kills meet their writing
    rng = random.Random(seed)
    report = Report()
    begun = time.monotonic()
    while report.kills < kills or (report.kills < 3 * kills and _exits_seen(venue) < groups):
        run = start(*options)
        moment = rng.random()
        if moment < 0.65:  # most kills in the midst of trading, the others at any moment of start and recovery
            run.until("trading:")
            time.sleep(rng.random() * 1.2)
        elif moment < 0.85:
            run.until("facts replayed")
            time.sleep(rng.random() * 0.2)
        else:
            time.sleep(rng.random() * 1.5)
        log = run.log
        phase = next((p for p in ("trading:", "facts replayed", "state in") if p in log), "start")
        report.killed_in[{"facts replayed": "in recovery", "state in": "connecting", "trading:": "trading"}.get(phase, phase)] += 1
        assert run.process.poll() is None, run.log
        run.kill()
        report.kills += 1
    run = start(*options).until("trading:")
    if still:  # exits go on working at the venue when the session has ended
        for symbol in SYMBOLS:
            venue.fault("halt", symbol=symbol, seconds=36_000)
        wait_until_told(venue, home / "journal")
    wait_until_known(home / "journal")
    run.end(signal.SIGINT)
    report.log = run.log
    if run.process.returncode:
        report.faults.append(f"the last session ended with {run.process.returncode}")
    compare(venue, home / "journal", report)
    if not check(home / "journal").anchors:
        report.faults.append("no snapshot was taken")
    report.seconds = time.monotonic() - begun
    return report


def _exits_seen(venue: Venue) -> int:
    """Orders that the venue itself named: exits of others."""
    return sum(parse_cid(order["client_order_id"]) is None for order in venue.truth()["orders"])


def refused_by_the_latch(home: Path) -> int:
    """Intents of a state directory that a closed latch denied."""
    facts = [fact for _, _, fact in show(home / "journal") if isinstance(fact, Refused)]
    return sum(any(breach.code == "KILLED" for breach in fact.breaches) for fact in facts)


def wait_until_known(journal: Path, patience: float = 60.0) -> None:
    """Until no intent is UNKNOWN: one that stays so is a violation, which `compare` tells."""
    give_up = time.monotonic() + patience
    while time.monotonic() < give_up:
        states: dict[int, OrderStatus] = {}
        for _, _, fact in show(journal):
            if isinstance(fact, OrderChanged):
                states[fact.number] = fact.status
        if OrderStatus.UNKNOWN not in states.values():
            return
        time.sleep(0.5)


def wait_until_told(venue: Venue, journal: Path, patience: float = 60.0) -> None:
    """Until the journal has as many fills as the venue: one that it never gets is a violation, which `compare` tells."""
    give_up = time.monotonic() + patience
    while time.monotonic() < give_up:
        if sum(isinstance(fact, Filled) for _, _, fact in show(journal)) >= len(venue.truth()["fills"]):
            return
        time.sleep(0.1)


def compare(venue: Venue, journal: Path, report: Report) -> None:
    """Venue against journal: orders both ways, states, positions, nothing twice, everything durable first, snapshots right."""
    faults, verdict = report.faults, verify(journal)
    faults += check(journal).faults
    if verdict.exit or not verdict.closed:
        faults.append(f"the journal is not whole and closed: {verdict.text}")
    _, last = survey(journal)
    assert last is not None
    own = last.header.journal
    instruments, states, intents = Instruments(), {}, {}
    positions: Counter[int] = Counter()
    filled: Counter[int] = Counter()
    ids: dict[str, int] = {}  # venue's id -> number, of whatever has one
    for _, _, fact in show(journal):
        match fact:
            case Defined():
                instruments.add(fact.instrument)
            case Intended():
                if fact.number in intents:
                    faults.append(f"intent {fact.number} is in the journal twice")
                intents[fact.number], states[fact.number] = fact, OrderStatus.INTENT
            case OrderChanged():
                states[fact.number] = fact.status
                ids[fact.venue_order_id] = fact.number
            case ExternalSeen():
                faults.append(f"an order was taken for somebody else's: {fact}")
            case Filled():
                report.fills += 1
                positions[fact.instrument] += fact.qty if fact.side == 1 else -fact.qty
                filled[fact.number] += fact.qty
            case PositionAdjusted():
                faults.append(f"a position was adjusted: {fact}")
            case _:
                pass
    truth = venue.truth()
    exits = {n: intent for intent in intents.values() for n in _exits(intent)}
    theirs = [o for o in truth["orders"] if (parse_cid(o["client_order_id"]) or ("", 0))[0] == own]
    legs = [o for o in truth["orders"] if o not in theirs and ids.get(o["id"]) in exits]  # the venue names them itself
    faults += [f"a foreign order: {o['client_order_id']}" for o in truth["orders"] if o not in theirs and o not in legs]
    faults += _legs(legs, ids, states, exits, filled, instruments)
    count = Counter(o["client_order_id"] for o in theirs)
    faults += [f"{n} orders with cid {c}" for c, n in count.items() if n > 1]
    expected = {cid(own, n) for n, status in states.items() if status not in ABSENT and n not in exits}
    at_venue = set(count)
    known = {cid(own, n) for n in intents}
    faults += [f"at the venue without a durable intent: {c}" for c in sorted(at_venue - known)]
    faults += [f"at the venue, but {states[parse_cid(c)[1]].name} here: {c}" for c in sorted((at_venue & known) - expected)]  # type: ignore[index]
    faults += [f"not at the venue, but {states[parse_cid(c)[1]].name} here: {c}" for c in sorted(expected - at_venue)]  # type: ignore[index]
    faults += _requests(truth["requests"], known)
    for order in theirs:
        number = parse_cid(order["client_order_id"])[1]  # type: ignore[index]
        faults += _differences(order, number, states, intents, filled, instruments)
    held = {p["symbol"]: p["qty"] for p in venue.get("/v2/positions")}
    ours = {instruments[i].symbol: str(instruments[i].quantity(q).normalize()) for i, q in positions.items() if q}
    if {s: float(q) for s, q in held.items()} != {s: float(q) for s, q in ours.items()}:
        faults.append(f"positions: venue {held}, journal {ours}")
    faults += [f"UNKNOWN at the end: {n}" for n, status in states.items() if status is OrderStatus.UNKNOWN]
    report.orders, report.groups = len(theirs), len(legs)
    report.states = Counter(s.name for s in states.values())


def _exits(intended: Intended) -> range:
    """The numbers of the orders that come with an entry or a pair: the next ones."""
    kind, first = intended.intent.order_class, intended.number + 1
    return range(first, first + {OrderClass.BRACKET: 2, OrderClass.OTO: 1, OrderClass.OCO: 1}.get(kind, 0))


def _legs(
    legs: list[dict[str, Any]],
    ids: dict[str, int],
    states: dict[int, OrderStatus],
    exits: dict[int, Intended],
    filled: Counter[int],
    instruments: Instruments,
) -> list[str]:
    """Exits at the venue against ours: each once, of the right kind, as full and as final."""
    told, count = [], Counter(ids[leg["id"]] for leg in legs)
    told += [f"{n} exits at the venue are number {number}" for number, n in count.items() if n > 1]
    lost = [n for n in exits if n in states and n not in count and states[n] not in ABSENT]
    told += [f"exit {n} is {states[n].name} here, and not at the venue" for n in lost]
    for leg in legs:
        number = ids[leg["id"]]
        intent = exits[number].intent
        instrument = instruments[intent.instrument]
        opens = intent.order_class is not OrderClass.OCO
        if leg["symbol"] != instrument.symbol or (leg["side"] == "buy") != ((intent.side == 1) != opens):
            told.append(f"exit {number} is not the intended one: {leg}")
        if (instrument.qty(leg["filled_qty"]) if float(leg["filled_qty"]) else 0) != filled[number]:
            told.append(f"exit {number}: filled {leg['filled_qty']} there, {filled[number]} here")
        over = leg["status"] in ("filled", "canceled", "expired", "rejected", "replaced")
        if over != states[number].is_final:
            told.append(f"exit {number}: {leg['status']} there, {states[number].name} here")
    return told


def _requests(requests: list[dict[str, Any]], known: set[str]) -> list[str]:
    """No byte of a POST left for a cid that the journal does not have."""
    import json

    posts = [json.loads(r["body"]) for r in requests if r["method"] == "POST" and r["path"] == "/v2/orders" and r["body"]]
    return [f"a POST without a durable intent: {p['client_order_id']}" for p in posts if p["client_order_id"] not in known]


def _differences(
    order: dict[str, Any],
    number: int,
    states: dict[int, OrderStatus],
    intents: dict[int, Intended],
    filled: Counter[int],
    instruments: Instruments,
) -> list[str]:
    """One order at the venue against its intent, its state and its fills."""
    if number not in intents:
        return []
    intent = intents[number].intent
    instrument = instruments[intent.instrument]
    told = []
    if instrument.qty(order["qty"]) != intent.qty or order["symbol"] != instrument.symbol:
        told.append(f"order {number} is not the intended one: {order}")
    if (instrument.qty(order["filled_qty"]) if float(order["filled_qty"]) else 0) != filled[number]:
        told.append(f"order {number}: filled {order['filled_qty']} there, {filled[number]} here")
    over = order["status"] in ("filled", "canceled", "expired", "rejected", "replaced")
    if over != states[number].is_final:
        told.append(f"order {number}: {order['status']} there, {states[number].name} here")
    return told
