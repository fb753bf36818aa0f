"""A deterministic world around one ExecutionEngine: a venue, a net that loses, delays, doubles and reorders, a journal of
which only the durable part survives a crash, and lives that end at any command. One seed is one history.
"""

import heapq
import random
from collections.abc import Callable
from typing import Any

from tests.reference.venue import Refusal, Venue

from pyrt._core.types import Side, format_units
from pyrt.clock import SECOND, Now
from pyrt.execution import ExecutionEngine, Settings
from pyrt.model import (
    Approved,
    CancelIntent,
    Filled,
    Instrument,
    Instruments,
    Intended,
    Intent,
    Latched,
    OrderChanged,
    OrderStatus,
    OrderType,
    Refused,
    TimeInForce,
)
from pyrt.ports import (
    Alarm,
    AllCancelled,
    Append,
    Cancel,
    CancelAll,
    CancelResult,
    Command,
    Event,
    Found,
    Kill,
    Lookup,
    LookupResult,
    OrderRequest,
    Outcome,
    Publish,
    QueryFailed,
    Replace,
    SetTimer,
    Start,
    StreamState,
    Submit,
    SubmitResult,
    Sync,
    TakeSnapshot,
    TimerFired,
    VenueSnapshot,
)

EPOCH = 1_770_000_000 * SECOND
JOURNAL = "k3v9q2xa"
MS = SECOND // 1000
NEVER_WRONG = {"APPEARED", "TWO_ORDERS", "CID_TAKEN", "CID_FORGOTTEN", "OVERFILL", "BREAK", "VANISHED"} | {
    "CASH_BREAK",
    "POSITION_BREAK",
    "UNEXPLAINED",
}
ABSENT = (OrderStatus.ABANDONED, OrderStatus.REJECTED, OrderStatus.CANCELED_LOCAL)


class Violation(AssertionError):
    """An invariant broke."""


class Life:
    """One process: its engine, its timers, its monotonic clock."""

    def __init__(self, engine: ExecutionEngine, offset: int, begun: int) -> None:
        self.engine, self.offset = engine, offset
        self.timers: dict[str, int] = {}
        self.gate = 0  # until then commands wait for the disk
        self.streaming = False
        self.approvals = 0
        self.born_with = set(engine.orders)
        self.begun = begun


class World:
    """Runs chaos for a while, heals, and checks the invariants.

    hostile: the venue breaks its own promise, in that a look-up may deny an order that is there and a request may land after
    deadline and settle; then a wrong proof of absence is forgiven (the order is adopted, cancelled and alarmed), nothing else.
    killed: everything is stopped when there is more to cancel than usual.
    """

    def __init__(self, seed: int, *, hostile: bool = False, killed: bool = False, trace: bool = False) -> None:
        self.rng = random.Random(seed)
        self.settings = Settings()
        self.hostile = hostile
        self.trace = [] if trace else None
        self.t, self.serial, self.heap = 0, 0, []
        self.chaos_until, self.faulty = 40 * SECOND, True
        self.venue, self.facts, self.durable = Venue(), [], 0
        self.life: Life | None = None
        self.wanted: dict[int, Intent] = {}  # source -> intent
        self.alarms: list[str] = []
        self.crashes = self.events = self.all_cancelled = 0
        self._prepare()
        if killed:
            for after in range(10):
                self.later(25 * SECOND + after * 300 * MS, self._wish)
            self.later(30 * SECOND, self._kill)

    # ---------------------------------------------------------------------------------------- time
    def later(self, after: int, do: Callable[..., None], *args: Any, life: Life | None = None) -> None:
        self.serial += 1
        heapq.heappush(self.heap, (self.t + after, self.serial, life, do, args))

    def chance(self, p: float) -> bool:
        return self.faulty and self.rng.random() < p

    def delay(self, most: int = 300 * MS) -> int:
        return self.rng.randrange(MS, most) if self.faulty else 5 * MS

    def run(self) -> None:
        """The whole history. Raises Violation."""
        while self.heap and self.t < self.chaos_until:
            self._tick()
        self.faulty = False
        if self.life is None:
            self._boot()
        elif not self.life.streaming:
            self._stream(True)
        healed = self.t
        while self.heap and self.t < healed + 40 * SECOND and (self.t < healed + SECOND or self.faults()):
            self._tick()
        slow = [fault for fault in self.faults() if not fault.startswith(("positions", "external", "late"))]
        if slow:
            raise Violation(f"liveness: own orders are not settled 40 s after healing: {slow}")
        # What the engine cannot know to ask for (others' orders, a lie about ours) is found by the next reconciliation.
        while self.heap and self.t < healed + 80 * SECOND and self.faults():
            self._tick()
        self.check()

    def _tick(self) -> None:
        self.t, _, life, do, args = heapq.heappop(self.heap)
        if life is not None and life is not self.life:
            return
        self.events += 1
        do(*args)
        self._spread()

    # ---------------------------------------------------------------------------------------- lives
    def _prepare(self) -> None:
        rng = self.rng
        if rng.random() < 0.5:
            self._foreign()
            self._fill()
        self.venue.events.clear()
        self.later(rng.randrange(3 * SECOND), self._boot)
        for _ in range(rng.randrange(1, 9)):
            self.later(rng.randrange(self.chaos_until), self._wish)
        for _ in range(rng.randrange(12)):
            self.later(rng.randrange(self.chaos_until), self._fill)
        for _ in range(rng.randrange(4)):
            self.later(rng.randrange(self.chaos_until), self._cancel_wish)
        for _ in range(rng.randrange(3)):
            self.later(rng.randrange(self.chaos_until), self._replace_wish)
        for _ in range(rng.randrange(3)):
            self.later(rng.randrange(self.chaos_until), self._foreign)
        for _ in range(rng.randrange(2)):
            self.later(rng.randrange(self.chaos_until), self._foreign_cancel)
        for _ in range(rng.randrange(4)):
            self.later(rng.randrange(self.chaos_until), self._crash)
        for _ in range(rng.randrange(3)):
            self.later(rng.randrange(self.chaos_until), self._stream, False)
        if rng.random() < 0.1:
            self.later(rng.randrange(self.chaos_until), self._kill)

    def _boot(self) -> None:
        if self.life is not None:
            return
        instruments = Instruments()
        instruments.add(Instrument(id=1, symbol="AAPL"))
        engine = ExecutionEngine(JOURNAL, instruments, settings=self.settings)
        for fact in self.facts:
            engine.apply(fact)
        self.durable = len(self.facts)
        self.life = Life(engine, self.rng.randrange(1 << 40), self.t)
        self.feed(Start(epoch=engine.epoch + 1))
        self.later(self.delay(), self._stream, True, life=self.life)

    def _crash(self) -> None:
        if self.life is None or not self.faulty:
            return
        self.crashes += 1
        self.life = None
        self.facts = self.facts[: self.rng.randint(self.durable, len(self.facts))]
        self.durable = len(self.facts)
        self.later(self.rng.randrange(20 * SECOND), self._boot)

    def _stream(self, up: bool) -> None:
        life = self.life
        if life is None or life.streaming == up:
            return
        life.streaming = up
        self.feed(StreamState(stream="trading", up=up))
        if not up and self.life is life:
            self.later(self.delay(8 * SECOND), self._stream, True, life=life)

    def now(self) -> Now:
        assert self.life is not None
        return Now(venue=EPOCH + self.t, mono=self.t + self.life.offset)

    def feed(self, event: Event) -> None:
        life = self.life
        if life is None:
            return
        commands = life.engine.on(event, self.now())
        if self.trace is not None:
            self.trace.append((self.t / SECOND, event, commands))
        dies_at = self.rng.randrange(len(commands)) if commands and self.chance(0.003) else -1
        for i, command in enumerate(commands):
            self._watch(command, life)
            self._perform(command, life)
            if i == dies_at:
                self._crash()
                return

    def _watch(self, command: Command, life: Life) -> None:
        """What must hold at every command, not only at the end."""
        fact = command.fact if isinstance(command, Append) else None
        if isinstance(fact, OrderChanged):
            past = [f.status for f in self.facts if isinstance(f, OrderChanged) and f.number == fact.number]
            filled = sum(f.qty for f in self.facts if isinstance(f, Filled) and f.number == fact.number)
            own = any(isinstance(f, Intended) and f.number == fact.number for f in self.facts)
            if own and fact.status.is_final and fact.filled_qty > filled:
                raise Violation(f"invariant 5: {fact} came before its fills")
            if fact.status is OrderStatus.CANCELED_LOCAL and OrderStatus.UNKNOWN in past:
                raise Violation(f"invariant 4: {fact} of an order whose attempt was ambiguous")
            if past and past[-1].is_final and past[-1] not in ABSENT and not fact.status.is_final:
                raise Violation(f"{fact} reopens an order that was {past[-1].name}")
        elif isinstance(fact, Refused):
            if (fact.intent.strategy, fact.intent.source) in {(o.strategy, o.source) for o in life.engine.orders.values()}:
                raise Violation(f"{fact} of an intent that became an order")
        elif isinstance(command, Submit | Replace):
            if command.request.number in life.born_with:
                raise Violation("an order of an earlier life is sent again")
            if any(isinstance(f, Latched) for f in self.facts):
                raise Violation("invariant 20: an order is sent after the kill")
        elif isinstance(command, Alarm) and command.code == "APPEARED" and "was REJECTED" in command.text:
            raise Violation(f"invariant 4: {command.text}")

    def _perform(self, command: Command, life: Life) -> None:
        match command:
            case Append():
                self.facts.append(command.fact)
                life.engine.apply(command.fact)
                wait = self.delay(30 * MS) if command.sync is Sync.BEFORE_ACT else self.delay(10 * MS)
                if command.sync is Sync.BEFORE_ACT:
                    life.gate = max(life.gate, self.t + wait)
                self.later(wait, self._synced, len(self.facts), life=life)
            case SetTimer():
                life.timers[command.key] = command.at
                self.later(max(0, command.at - self.t - life.offset), self._fire, command.key, command.at, life=life)
            case Alarm():
                self.alarms.append(command.code)
            case Publish():
                if isinstance(command.message, Kill):
                    self.later(0, self.feed, command.message, life=life)
            case Submit():
                self.later(max(0, life.gate - self.t), self._post, command, life=life)
            case Replace():
                self.later(max(0, life.gate - self.t), self._post, command, life=life)
            case Cancel():
                self.later(max(0, life.gate - self.t), self._delete, command, life=life)
            case CancelAll():
                self.later(max(0, life.gate - self.t), self._delete_all, command, life=life)
            case Lookup():
                self.later(max(0, life.gate - self.t) + self.delay(), self._look, command, life=life)
            case TakeSnapshot():
                self.later(max(0, life.gate - self.t), self._snapshot, command, life=life)

    def _synced(self, count: int) -> None:
        self.durable = max(self.durable, count)

    def _fire(self, key: str, at: int) -> None:
        assert self.life is not None
        if self.life.timers.get(key) == at:
            del self.life.timers[key]
            self.feed(TimerFired(key=key, at=at, clock=1))

    # ---------------------------------------------------------------------------------------- the net
    def _answer(self, event: Event, after: int) -> None:
        self.later(after, self.feed, event, life=self.life)

    def _post(self, command: Submit | Replace) -> None:
        assert self.life is not None
        request = command.request
        known = any(isinstance(f, Intended) and f.number == request.number for f in self.facts[: self.durable])
        if not known:
            raise Violation(f"invariant 1: {request.cid} is sent and its intent is not durable")
        result: dict[str, Any] = {"number": request.number, "attempt": command.attempt}
        full = (self.settings.deadline + self.settings.settle) * (2 if self.hostile else 1)
        if EPOCH + self.t > command.valid_until or self.chance(0.08):
            self._answer(SubmitResult(outcome=Outcome.NOT_SENT, **result), self.delay())
        elif self.chance(0.05):
            retry = self.now().mono + self.delay(3 * SECOND)
            self._answer(SubmitResult(outcome=Outcome.RATE_LIMITED, retry_at_mono=retry, **result), self.delay())
        elif self.chance(0.1):  # lost on the way
            self._answer(SubmitResult(outcome=Outcome.AMBIGUOUS, **result), self.delay(self.settings.deadline))
        elif self.chance(0.15):  # held up: lands when nobody waits any more
            self.later(self.rng.randrange(full), self._land, command, None)
            self._answer(SubmitResult(outcome=Outcome.AMBIGUOUS, **result), self.delay(self.settings.deadline))
        elif self.chance(0.15):  # 504 after accepting
            self.later(self.delay(), self._land, command, None)
            self._answer(SubmitResult(outcome=Outcome.AMBIGUOUS, **result), self.delay(self.settings.deadline))
        else:
            self.later(self.delay(), self._land, command, self.life)

    def _land(self, command: Submit | Replace, life: Life | None) -> None:
        request, now = command.request, EPOCH + self.t
        result: dict[str, Any] = {"number": request.number, "attempt": command.attempt}
        try:
            if self.chance(0.1):
                raise Refusal(403, 40310000, "insufficient buying power")
            if isinstance(command, Submit):
                seen = self.venue.submit(request, now)
            else:
                seen = self.venue.replace(command.venue_order_id, request, now)
            answer = SubmitResult(outcome=Outcome.ACCEPTED, order=seen, http=200, **result)
        except Refusal as e:
            outcome = Outcome.DUPLICATE if e.code == 40010001 else Outcome.REJECTED
            answer = SubmitResult(outcome=outcome, http=e.http, code=e.code, text=e.text, **result)
        if life is not None:
            self.later(self.delay(), self.feed, answer, life=life)

    def _delete(self, command: Cancel) -> None:
        result: dict[str, Any] = {"number": command.number, "venue_order_id": command.venue_order_id}
        if self.chance(0.1):
            self._answer(CancelResult(accepted=False, **result), self.delay(self.settings.deadline))
            return
        try:
            self.venue.cancel(command.venue_order_id, EPOCH + self.t)
            answer = CancelResult(accepted=True, http=204, **result)
        except Refusal as e:
            answer = CancelResult(accepted=False, http=e.http, code=e.code, text=e.text, **result)
        if self.chance(0.1):
            answer = CancelResult(accepted=False, **result)
        self._answer(answer, self.delay())

    def _delete_all(self, command: CancelAll) -> None:
        """One DELETE for all: lost, late, or in part; the answer says so, or never comes."""
        assert self.life is not None
        self.all_cancelled += 1
        begun = EPOCH + self.life.begun
        if strangers := [row.id for row in self.venue.working() if row.request.cid.startswith("human") and row.created_at < begun]:
            raise Violation(f"all is cancelled while {strangers} work, which are not ours")
        answered, late = not self.chance(0.2), self.chance(0.2)
        taken: list[str] = []
        refused: list[str] = []
        if late:
            self.later(self.rng.randrange(self.settings.deadline), self._end_all, taken, refused)
        elif answered or self.chance(0.5):
            self._end_all(taken, refused)
        answer = AllCancelled(call=command.call, http=207, taken=tuple(taken), refused=tuple(refused))
        if late or not answered:
            answer = AllCancelled(call=command.call, text="no answer")
        self._answer(answer, self.delay(self.settings.deadline if late or not answered else 300 * MS))

    def _end_all(self, taken: list[str], refused: list[str]) -> None:
        for row in self.venue.working():
            if self.chance(0.1):
                refused.append(row.id)
            else:
                self.venue.cancel(row.id, EPOCH + self.t)
                taken.append(row.id)

    def _look(self, command: Lookup) -> None:
        row = self.venue.by_cid.get(command.cid)
        if self.chance(0.2):
            answer = LookupResult(number=command.number, found=Found.FAILED)
        elif row is None or (self.hostile and self.chance(0.6)):
            answer = LookupResult(number=command.number, found=Found.ABSENT)
        else:
            answer = LookupResult(number=command.number, found=Found.FOUND, order=row.show())
        self._answer(answer, self.delay())

    def _snapshot(self, command: TakeSnapshot) -> None:
        if self.chance(0.2):
            self._answer(QueryFailed(query=command.query, text="reset"), self.delay(3 * SECOND))
            return
        self._read(command, {"begun": EPOCH + self.t}, ["account", "positions", "orders", "fills"])

    def _read(self, command: TakeSnapshot, parts: dict[str, Any], left: list[str]) -> None:
        since = command.since
        if left:
            read = {
                "account": self.venue.account,
                "positions": self.venue.show_positions,
                "orders": lambda: self.venue.show_orders(since),
                "fills": lambda: self.venue.show_fills(since),
            }
            parts[left[0]] = read[left[0]]()
            self.later(self.delay(), self._read, command, parts, left[1:], life=self.life)
        else:
            self.feed(VenueSnapshot(query=command.query, since=since, **parts))

    def _spread(self) -> None:
        """Send what the venue just told down the stream, as bad as streams are."""
        events, self.venue.events = self.venue.events, []
        if self.life is None or not self.life.streaming:
            return
        for event in events:
            if not self.chance(0.15):
                self._answer(event, self.delay(2 * SECOND))
            if self.chance(0.1):
                self._answer(event, self.delay(5 * SECOND))

    # ---------------------------------------------------------------------------------------- people
    def _intent(self) -> Intent:
        source, rng = len(self.wanted) + 1, self.rng
        intent = Intent(
            strategy=1,
            source=source,
            instrument=1,
            side=rng.choice((Side.BUY, Side.SELL)),
            type=OrderType.LIMIT,
            tif=TimeInForce.DAY,
            qty=rng.randrange(1, 6) * SECOND,
            limit_px=100 * SECOND + source * 10 * MS,  # its own price: names the intent at the venue
            valid_until=EPOCH + self.t + rng.choice((2, 30, 30)) * SECOND,
        )
        self.wanted[source] = intent
        return intent

    def _approve(self, replaces: int = 0) -> None:
        life = self.life
        if life is None or not life.engine.recovered:
            return
        life.approvals += 1
        approved = Approved(
            intent=self._intent(),
            epoch=life.engine.epoch,
            approval=life.approvals,
            limits_version=1,
            ref_px=0,
            valid_until_mono=self.now().mono + SECOND,
            replaces=replaces,
        )
        self.feed(approved)
        if self.chance(0.1):
            self.feed(approved)

    def _wish(self) -> None:
        if self.life is not None and not self.life.engine.recovered and self.faulty:
            self.later(self.delay(4 * SECOND), self._wish)
        self._approve()

    def _cancel_wish(self) -> None:
        if self.wanted:
            self.feed(CancelIntent(strategy=1, source=self.rng.choice(list(self.wanted))))

    def _replace_wish(self) -> None:
        if self.wanted:
            self._approve(self.rng.choice(list(self.wanted)))

    def _kill(self) -> None:
        if self.life is not None:
            latch = Latched(level="HALTED", scope="system", code="KILLED", reason="drill", who="test", ts=EPOCH + self.t)
            self._perform(Append(fact=latch, sync=Sync.SOON), self.life)  # the risk manager's part
            self.feed(Kill(level="HALTED", scope="system", reason="drill", who="test"))

    def _fill(self) -> None:
        rows = self.venue.working()
        if self.rng.random() < 0.1:  # an execution that crossed the cancel and is told after it
            rows = [row for row in self.venue.rows.values() if row.status == "canceled" and row.left > 0] or rows
        if rows:
            row = self.rng.choice(rows)
            qty = self.rng.choice((row.left, SECOND, SECOND))
            self.venue.fill(row.id, min(qty, row.left), "100.25", EPOCH + self.t)

    def _foreign(self) -> None:
        self.serial += 1
        side = self.rng.choice((Side.BUY, Side.SELL))
        symbol = self.rng.choice(("AAPL", "MSFT"))
        request = OrderRequest(
            number=0,
            cid=f"human-{self.serial}",
            symbol=symbol,
            side=side,
            type=OrderType.LIMIT,
            tif=TimeInForce.GTC,
            qty=format_units(self.rng.randrange(1, 6) * SECOND),
            limit_price="99",
        )
        self.venue.submit(request, EPOCH + self.t)

    def _foreign_cancel(self) -> None:
        rows = self.venue.working()
        if rows:
            self.venue.cancel(self.rng.choice(rows).id, EPOCH + self.t)

    # ---------------------------------------------------------------------------------------- invariants
    def faults(self) -> list[str]:
        """What does not hold, after healing."""
        life = self.life
        if life is None or not life.engine.recovered:
            return ["not recovered"]
        engine, wrong = life.engine, []
        if engine.unresolved or any(o.status is OrderStatus.INTENT for o in engine.open_orders()):
            wrong.append("an order's fate is open")
        theirs = {row.request.symbol: 0 for row in self.venue.rows.values()} | {s: q for s, q in self.venue.positions.items() if q}
        ours = {instrument_of(engine, number): qty for number, qty in engine.positions.items()}
        if ours != {s: q for s, q in theirs.items() if q} or engine.unexplained:
            wrong.append(f"positions: venue {theirs}, ours {ours}, unexplained {dict(engine.unexplained)}")
        at_venue = {cid for cid in self.venue.by_cid if not cid.startswith("human")}
        here = {o.cid for o in engine.orders.values() if not o.external and o.venue_order_id}
        if at_venue != here:
            known = {o.cid: o.status for o in engine.orders.values()}
            denied = self.hostile and here < at_venue and all(known.get(cid) in ABSENT for cid in at_venue - here)
            kind = "late " if denied else ""  # it landed after its absence was proved, and the stream lost it
            wrong.append(f"{kind}orders: venue {at_venue - here}, ours {here - at_venue}")
        for order in engine.orders.values():
            row = self.venue.rows.get(order.venue_order_id)
            if row is None:
                if order.status not in ABSENT:
                    wrong.append(f"{order.cid} is {order.status.name} and not at the venue")
            elif order.filled != row.filled or order.is_open != (row.status not in ("filled", "canceled", "replaced")):
                kind = "external " if order.external else "late " if order.status.is_final else ""
                wrong.append(f"{kind}{order.cid}: {order.status.name} {order.filled}, venue {row.status} {row.filled}")
        if any(isinstance(f, Latched) for f in self.facts) and any(not o.external for o in engine.open_orders()):
            wrong.append("an order survived the kill")
        return wrong

    def check(self) -> None:
        """Raises Violation where an invariant does not hold."""
        wrong = self.faults()
        if wrong:
            raise Violation(f"invariants 3, 5: {wrong}")
        prices = [row.request.limit_price for row in self.venue.rows.values() if not row.request.cid.startswith("human")]
        if len(set(prices)) != len(prices):
            raise Violation(f"invariant 2: one intent became two orders: {sorted(prices)}")
        strays = NEVER_WRONG & set(self.alarms) - ({"APPEARED", "VANISHED"} if self.hostile else set())
        if strays:
            raise Violation(f"invariant 4: alarms {strays}")
        assert self.life is not None
        fresh = ExecutionEngine(JOURNAL, aapl(), settings=self.settings)
        for fact in self.facts:
            fresh.apply(fact)
        if fresh.state_digest() != self.life.engine.state_digest():
            raise Violation("invariant 6: replay differs from live")


def aapl() -> Instruments:
    instruments = Instruments()
    instruments.add(Instrument(id=1, symbol="AAPL"))
    return instruments


def instrument_of(engine: ExecutionEngine, number: int) -> str:
    symbols = {1: "AAPL", 2: "MSFT"}
    return symbols[number]


def explain(seed: int, **options: Any) -> World:
    """Run a seed with a trace; for the eyes."""
    world = World(seed, trace=True, **options)
    try:
        world.run()
    except Violation as e:
        print(e)
    return world
