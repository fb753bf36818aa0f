"""RiskManager: what it answers, what it journals, and that facts alone rebuild it."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.room import LOOSE

from pyrt._core.risk import Level
from pyrt._core.types import Side, ref_dtype
from pyrt.clock import SECOND, Now
from pyrt.errors import ConfigError
from pyrt.model import (
    AccountSeen,
    Approved,
    BaselineSet,
    ExternalSeen,
    Filled,
    Instrument,
    Instruments,
    Intended,
    Intent,
    Latched,
    OrderChanged,
    OrderStatus,
    OrderType,
    PositionAdjusted,
    Recovered,
    Refused,
    ReplaceIntent,
    TimeInForce,
)
from pyrt.ports import Alarm, Append, CancelIntent, Kill, Publish, Resume, SetTimer, Start, StreamState, Sync, TimerFired
from pyrt.risk import Limits, RiskManager
from pyrt.risk.broker_rules import BrokerRules

BUY, SELL = Side.BUY, Side.SELL
PX = QTY = 10**9
T0 = 1_800_000_000 * SECOND


class Desk:
    """A risk manager in a session of one: facts are applied as they are appended, and kept."""

    def __init__(self, limits=LOOSE, *, start=True, **more):
        self.instruments = Instruments()
        for i, symbol in enumerate(("AAPL", "MSFT"), 1):
            self.instruments.add(Instrument(id=i, symbol=symbol, lot=1))
        self.refs = np.zeros(16, ref_dtype)
        self.more = {"limits": limits, **more}
        self.risk = RiskManager(self.instruments, self.refs, **self.more)
        self.facts = []
        self.now = Now(T0, 1000 * SECOND)
        self.number = 0
        self.quote(100 * PX)
        if start:
            self.tell(Start(epoch=1))
            self.fact(
                AccountSeen(
                    account_id="a",
                    cash=10**14,
                    buying_power=10**14,
                    equity=10**14,
                    last_equity=10**14,
                    multiplier=1,
                    blocked=False,
                    ts=T0,
                )
            )
            self.fact(Recovered(state_hash="", unexplained=0, ts=T0))
            self.tell(StreamState(stream="data", up=True))

    def quote(self, px, instrument=1):
        for i in (1, 2):
            self.refs[i]["quote_ts"] = self.now.venue
            if i == instrument or not self.refs[i]["bid_px"]:
                self.refs[i]["bid_px"], self.refs[i]["ask_px"] = px, px + 20_000_000

    def later(self, ns):
        self.now = Now(self.now.venue + ns, self.now.mono + ns)

    def fact(self, fact):
        self.facts.append(fact)
        self.risk.apply(fact)

    def tell(self, event):
        commands = self.risk.on(event, self.now)
        for c in commands:
            if isinstance(c, Append):
                self.fact(c.fact)
        return commands

    def intent(self, source, side=BUY, qty=QTY, px=100 * PX, *, strategy=3, instrument=1, **more):
        return Intent(
            strategy=strategy,
            source=source,
            instrument=instrument,
            side=side,
            type=OrderType.LIMIT,
            tif=TimeInForce.DAY,
            qty=qty,
            limit_px=px,
            **more,
        )

    def ask(self, source, *args, **more):
        return answer(self.tell(self.intent(source, *args, **more)))

    def order(self, approved, replaces=0):
        """Execution's part: the approval becomes a fact."""
        self.number += 1
        a = approved
        self.fact(
            Intended(
                number=self.number,
                intent=a.intent,
                epoch=a.epoch,
                approval=a.approval,
                limits_version=a.limits_version,
                ref_px=a.ref_px,
                replaces=replaces,
                ts=self.now.venue,
            )
        )
        return self.number

    def change(self, number, status):
        self.fact(OrderChanged(number=number, status=status, ts=self.now.venue))

    def fill(self, number, intent, qty, px=100 * PX, *, fee=0):
        self.fact(
            Filled(
                number=number,
                strategy=intent.strategy,
                instrument=intent.instrument,
                side=intent.side,
                px=px,
                qty=qty,
                cum_qty=qty,
                venue_order_id=f"v{number}",
                fee=fee,
                ts=self.now.venue,
            )
        )

    def working(self, source, *args, **more):
        approved = self.ask(source, *args, **more)
        number = self.order(approved)
        self.change(number, OrderStatus.ACCEPTED)
        return number, approved.intent

    def bought(self, qty=10 * QTY, source=900):
        number, intent = self.working(source, BUY, qty)
        self.fill(number, intent, qty)
        self.change(number, OrderStatus.FILLED)

    def replayed(self):
        fresh = RiskManager(self.instruments, np.zeros(16, ref_dtype), **self.more)
        for fact in self.facts:
            fresh.apply(fact)
        return fresh


def answer(commands):
    return next(c.message for c in commands if isinstance(c, Publish))


def codes(refused):
    assert isinstance(refused, Refused)
    return {b.code for b in refused.breaches}


@pytest.mark.row("S050")
def test_approved_carries_what_execution_must_know():
    desk = Desk()
    commands = desk.tell(desk.intent(1))
    approved = answer(commands)
    assert isinstance(approved, Approved)
    assert (approved.epoch, approved.approval, approved.limits_version) == (1, 1, 1)
    assert approved.ref_px == 100 * PX + 10_000_000
    assert approved.valid_until_mono == desk.now.mono + SECOND
    assert desk.ask(2, px=99 * PX).approval == 2
    assert any(isinstance(c, SetTimer) for c in commands)


@pytest.mark.row("S050", "S061")
def test_refused_is_journaled_and_published_with_every_number():
    desk = Desk()
    commands = desk.tell(desk.intent(1, BUY, 6000 * QTY, 150 * PX))
    refused = answer(commands)
    assert Append(fact=refused, sync=Sync.SOON) in commands
    told = {b.code: (b.limit, b.observed) for b in refused.breaches}
    assert set(told) == {
        "ORDER_QTY",
        "ORDER_NOTIONAL",
        "POSITION_LIMIT",
        "PRICE_COLLAR",
        "SLIPPAGE",
        "GROSS_EXPOSURE",
        "NET_EXPOSURE",
        "OPEN_ORDER_VALUE",
        "BUYING_POWER",
    }
    assert told["ORDER_QTY"] == ("5000", "6000")
    assert told["ORDER_NOTIONAL"] == ("25000", "900000")
    assert told["POSITION_LIMIT"] == ("50000", "900000")
    assert told["PRICE_COLLAR"] == ("105.0105", "150")
    assert desk.risk.ledger.open_orders == 0


def test_nothing_passes_before_recovery_and_an_unknown_instrument_has_no_limits():
    desk = Desk(start=False)
    assert "NOT_RECONCILED" in codes(desk.ask(1))
    assert codes(desk.ask(2, instrument=9)) == {"LIMIT_MISSING"}


@pytest.mark.row("S052")
def test_two_intents_that_fit_alone_but_not_together():
    desk = Desk(Limits.of({"max_position_qty": 100}, base=LOOSE))
    first, second = desk.ask(1, qty=60 * QTY, px=99 * PX), desk.ask(1, qty=60 * QTY, px=98 * PX, strategy=4)
    assert isinstance(first, Approved)
    assert codes(second) == {"POSITION_LIMIT"}


def test_the_same_intent_gets_its_first_answer_again():
    desk = Desk()
    first = desk.ask(1)
    assert desk.ask(1) is first
    assert desk.ask(1, qty=5 * QTY) is first
    assert desk.risk.account(1).buys == QTY
    desk.order(first)
    refused = desk.ask(2, qty=10**6 * QTY)
    again = desk.replayed()
    desk.risk = again  # a restart answers from the journal
    assert desk.ask(1).intent == first.intent
    assert desk.ask(2) == refused
    assert again.account(1).buys == QTY


def test_an_approval_that_became_no_order_gives_its_reservation_back():
    desk = Desk()
    desk.ask(1)
    desk.later(2 * SECOND)
    desk.tell(StreamState(stream="data", up=True))
    assert desk.risk.account(1).buys == QTY  # execution may have taken it in its last moment
    desk.later(1)
    desk.tell(StreamState(stream="data", up=True))
    assert desk.risk.account(1).buys == 0
    number = desk.order(desk.ask(2))
    desk.later(10 * SECOND)
    desk.tell(StreamState(stream="data", up=True))
    assert desk.risk.account(1).buys == QTY  # a fact: only a final event frees it
    desk.change(number, OrderStatus.CANCELED)
    assert desk.risk.account(1).buys == 0


def test_what_execution_refuses_gives_its_reservation_back_at_once():
    desk = Desk()
    desk.working(1, qty=10 * QTY)
    new = desk.ask(2, px=99 * PX)
    change = answer(desk.tell(ReplaceIntent(replaces=1, intent=desk.intent(3, qty=15 * QTY))))
    assert desk.risk.account(1).buys == 16 * QTY
    for approved in (new, change):
        desk.fact(Refused(intent=approved.intent, breaches=(), ts=T0))
    assert desk.risk.account(1).buys == 10 * QTY
    assert isinstance(desk.ask(2, px=99 * PX), Refused)
    assert desk.risk.state_digest() == desk.replayed().state_digest()


def test_what_a_fact_holds_does_not_depend_on_approvals_in_flight(monkeypatch):
    monkeypatch.setattr(BrokerRules, "broken", lambda *_: [])  # the venue would not take the second order
    desk = Desk()
    desk.fact(PositionAdjusted(instrument=1, strategy=0, qty=-100 * QTY, cost=-10_000 * 10**9, reason="held before", ts=T0))
    first = desk.ask(1, qty=60 * QTY, px=99 * PX)
    desk.order(desk.ask(2, qty=60 * QTY, px=98 * PX))  # with the first it would do more than cover, alone it does not
    desk.fact(Refused(intent=first.intent, breaches=(), ts=T0))
    assert desk.risk.ledger.reservation(3 << 48 | 2).cost == 0
    assert desk.risk.state_digest() == desk.replayed().state_digest()


def test_unknown_counts_in_full_and_blocks_entries_until_it_is_proved():
    desk = Desk()
    desk.bought()
    number = desk.order(desk.ask(1, qty=5 * QTY, px=99 * PX))
    desk.change(number, OrderStatus.SENT)
    desk.change(number, OrderStatus.UNKNOWN)
    assert desk.risk.account(1).buys == 5 * QTY
    assert codes(desk.ask(2, px=98 * PX)) == {"NOT_RECONCILED"}
    assert isinstance(desk.ask(3, px=99 * PX, instrument=2), Approved)
    assert isinstance(desk.ask(4, SELL, QTY, 101 * PX), Approved)
    desk.risk = desk.replayed()
    desk.risk._refs[:] = desk.refs
    assert "NOT_RECONCILED" in codes(desk.ask(5, px=98 * PX))
    desk.change(number, OrderStatus.SENT)
    assert "NOT_RECONCILED" in codes(desk.ask(6, px=98 * PX))
    desk.change(number, OrderStatus.ABANDONED)
    assert isinstance(desk.ask(7, px=98 * PX), Approved)
    assert desk.risk.account(1).buys == QTY
    desk.change(number, OrderStatus.ACCEPTED)  # proved absent, and yet it came
    assert desk.risk.account(1).buys == 6 * QTY


def test_replace_reserves_the_larger_and_follows_the_chain():
    desk = Desk()
    number, _ = desk.working(1, qty=10 * QTY)
    commands = desk.tell(ReplaceIntent(replaces=1, intent=desk.intent(2, qty=15 * QTY, px=99 * PX)))
    approved = answer(commands)
    assert (type(approved), approved.replaces) == (Approved, 1)
    assert desk.risk.account(1).buys == 15 * QTY
    assert codes(answer(desk.tell(ReplaceIntent(replaces=1, intent=desk.intent(3, qty=12 * QTY))))) == {"PARENT_EXCEEDED"}
    second = desk.order(approved, replaces=number)
    desk.change(number, OrderStatus.PENDING_REPLACE)
    desk.fill(number, approved.intent, 4 * QTY)
    assert desk.risk.account(1)[0] == 4 * QTY
    assert desk.risk.account(1).buys == 11 * QTY
    desk.change(second, OrderStatus.ACCEPTED)
    desk.change(number, OrderStatus.REPLACED)
    assert desk.risk.account(1).buys == 11 * QTY
    third = desk.order(answer(desk.tell(ReplaceIntent(replaces=2, intent=desk.intent(4, qty=5 * QTY)))), replaces=second)
    assert desk.risk.account(1).buys == 11 * QTY
    desk.change(third, OrderStatus.REJECTED)
    assert desk.risk.account(1).buys == 11 * QTY
    desk.change(second, OrderStatus.CANCELED)
    assert desk.risk.account(1).buys == 0
    assert codes(answer(desk.tell(ReplaceIntent(replaces=2, intent=desk.intent(5))))) == {"PARENT_EXCEEDED"}
    assert desk.replayed().state_digest() == desk.risk.state_digest()


def test_a_head_that_ends_while_its_replace_is_open_counts_until_the_answer():
    desk = Desk()
    number, intent = desk.working(1, qty=10 * QTY)
    second = desk.order(answer(desk.tell(ReplaceIntent(replaces=1, intent=desk.intent(2, qty=12 * QTY)))), replaces=number)
    desk.fill(number, intent, 10 * QTY)
    desk.change(number, OrderStatus.FILLED)
    assert desk.risk.account(1).buys == 2 * QTY
    desk.change(second, OrderStatus.REJECTED)
    assert desk.risk.account(1).buys == 0


def external(status, filled=0):
    return ExternalSeen(
        number=50,
        venue_order_id="x",
        cid="c",
        instrument=1,
        side=SELL,
        type=OrderType.LIMIT,
        tif=TimeInForce.DAY,
        qty=10 * QTY,
        limit_px=101 * PX,
        stop_px=0,
        filled_qty=filled,
        status=status,
        ts=T0,
    )


def test_an_external_order_counts_in_full_until_it_is_final():
    desk = Desk()
    desk.fact(PositionAdjusted(instrument=1, strategy=0, qty=30 * QTY, cost=3000 * 10**9, reason="held before", ts=T0))
    desk.fact(external(OrderStatus.PARTIAL, filled=4 * QTY))
    assert desk.risk.account(1).sells == 6 * QTY
    assert desk.risk.position(0, 1).cost == 3000 * 10**18
    assert codes(desk.ask(1, px=101 * PX)) == {"SELF_MATCH"}
    desk.fact(
        Filled(number=0, strategy=0, instrument=1, side=SELL, px=101 * PX, qty=QTY, cum_qty=5 * QTY, venue_order_id="x", ts=T0)
    )
    assert desk.risk.account(1).sells == 5 * QTY
    desk.fact(external(OrderStatus.CANCELED, filled=5 * QTY))
    assert desk.risk.account(1).sells == 0
    assert desk.risk.account(1).qty == 29 * QTY


def test_a_fill_that_nobody_expected_is_booked_and_told():
    desk = Desk()
    number, intent = desk.working(1, qty=QTY)
    desk.fill(number, intent, 2 * QTY)
    desk.fill(77, intent, QTY)
    alarms = [c for c in desk.tell(StreamState(stream="data", up=True)) if isinstance(c, Alarm)]
    assert [a.code for a in alarms] == ["UNEXPECTED_FILL"] * 2
    assert desk.risk.position(3, 1).qty == 3 * QTY


@pytest.mark.row("S049", "S055", "S059")
def test_daily_loss_latches_survives_a_restart_and_lets_exits_out():
    desk = Desk(Limits.of({"max_daily_loss": 50}, base=LOOSE), day_of=lambda ns: f"day {ns // (86_400 * SECOND)}")
    desk.bought(10 * QTY)
    desk.quote(95 * PX + 10_000_000)  # 49.90 down
    assert not [c for c in desk.tell(TimerFired(key="risk.mark", at=0, clock=1)) if isinstance(c, Append)]
    desk.quote(95 * PX)
    fired = desk.tell(TimerFired(key="risk.mark", at=0, clock=1))
    assert [c.fact.code for c in fired if isinstance(c, Append)] == ["DAILY_LOSS"]
    assert any(isinstance(c, SetTimer) for c in fired)
    desk.quote(100 * PX)  # the market comes back; the latch stays
    desk.tell(TimerFired(key="risk.mark", at=0, clock=1))
    assert codes(desk.ask(1)) == {"KILLED"}
    desk.later(86_400 * SECOND)
    desk.quote(100 * PX)
    assert codes(desk.ask(2)) == {"KILLED"}  # a new day alone opens nothing
    desk.risk = desk.replayed()
    desk.risk._refs[:] = desk.refs
    assert codes(desk.ask(3)) == {"KILLED"}
    assert isinstance(desk.ask(4, SELL, 10 * QTY, 101 * PX), Approved)
    assert [c.code for c in desk.tell(Resume(scope="account", who="", why="x"))] == ["RESUME_REFUSED"]
    assert [c.sync for c in desk.tell(Resume(scope="account", who="me", why="looked at it"))] == [Sync.BEFORE_ACT]
    assert isinstance(desk.ask(5, px=99 * PX), Approved)


def test_the_day_begins_once_and_not_again_after_a_restart():
    desk = Desk(day_of=lambda ns: f"day {ns // (86_400 * SECOND)}")
    desk.bought(10 * QTY)
    desk.quote(99 * PX)
    desk.tell(TimerFired(key="risk.mark", at=0, clock=1))
    assert len([f for f in desk.facts if isinstance(f, BaselineSet)]) == 1
    desk.risk = desk.replayed()
    desk.tell(StreamState(stream="data", up=True))
    desk.risk._refs[:] = desk.refs
    desk.tell(StreamState(stream="data", up=True))
    assert len([f for f in desk.facts if isinstance(f, BaselineSet)]) == 1
    desk.risk.gate.mark()
    assert desk.risk.gate.day_pnl == -10 * 10**18
    desk.later(86_400 * SECOND)
    desk.quote(99 * PX)
    desk.tell(StreamState(stream="data", up=True))
    assert [f.equity for f in desk.facts if isinstance(f, BaselineSet)] == [0, -10 * 10**9]
    assert desk.risk.gate.day_pnl == 0


def test_kill_and_resume():
    desk = Desk()
    desk.bought()
    killed = desk.tell(Kill(level="HALTED", scope="strategy:3", reason="test", who="me"))
    assert [c.sync for c in killed if isinstance(c, Append)] == [Sync.SOON]
    assert codes(desk.ask(1, SELL, QTY, 101 * PX)) == {"KILLED"}
    assert isinstance(desk.ask(1, strategy=4), Approved)
    assert desk.tell(Kill(level="REDUCING", scope="strategy:3", reason="test", who="me")) == []  # upward only
    desk.fact(Latched(level="REDUCING", scope="strategy:3", code="X", reason="", who="risk", ts=T0))
    assert desk.risk.gate.level("strategy:3") == Level.HALTED
    assert desk.replayed().gate.level("strategy:3") == Level.HALTED
    desk.tell(Resume(scope="strategy:3", who="me", why="done"))
    assert isinstance(desk.ask(2, px=99 * PX), Approved)
    assert [c.code for c in desk.tell(Resume(scope="strategy:3", who="me", why="done"))] == ["RESUME_REFUSED"]
    for level, scope in (
        ("ACTIVE", "account"),
        ("KILLED", "planet"),
        ("KILLED", "strategy:x"),
        ("KILLED", "strategy:65539"),  # would be strategy 3 in 16 bits
        ("KILLED", "instrument:1048576"),
        ("KILLED", "instrument:99999999999"),
    ):
        assert [c.code for c in desk.tell(Kill(level=level, scope=scope, reason="", who="me"))] == ["KILL_REFUSED"]


def test_repeats_latch_the_strategy():
    desk = Desk(Limits.of({"repeat_max": 2}, base=LOOSE))
    for i in (1, 2):
        desk.order(desk.ask(i, px=(100 - i) * PX))
    assert "REPEAT_EXEC" in codes(desk.ask(3, px=97 * PX))
    assert desk.risk.latches["strategy:3"].code == "REPEAT_EXEC"
    desk.later(3600 * SECOND)
    desk.quote(100 * PX)
    assert codes(desk.ask(4, px=96 * PX)) == {"KILLED"}


def test_looser_limits_need_a_name_and_are_durable_first():
    desk = Desk()
    looser, tighter = Limits.of({"max_order_qty": 9000}, base=LOOSE), Limits.of({"max_order_qty": 1}, base=LOOSE)
    assert [c.code for c in desk.risk.propose(looser, who="", why="", now=desk.now)] == ["LIMITS_REFUSED"]
    assert [c.code for c in desk.risk.propose(looser, who="me", why="more", now=desk.now)] == ["LIMITS_REFUSED"]
    told = {"who": "me", "why": "more", "now": desk.now, "token": desk.risk.confirmation(looser)}
    assert [c.sync for c in desk.risk.propose(looser, **told)] == [Sync.BEFORE_ACT]
    other = Limits.of({"max_order_qty": 9001}, base=LOOSE)
    assert [c.code for c in desk.risk.propose(other, **told)] == ["LIMITS_REFUSED"]  # a token confirms what it was told for
    (tight,) = desk.risk.propose(tighter, who="", why="", now=desk.now)
    assert (tight.sync, tight.fact.version) == (Sync.SOON, 2)
    desk.fact(tight.fact)
    assert codes(desk.ask(1, qty=2 * QTY)) == {"ORDER_QTY"}
    assert desk.ask(2).limits_version == 2
    assert desk.replayed().limits == tighter
    with pytest.raises(ConfigError):
        desk.risk.propose(msgspec.structs.replace(LOOSE, repeat_max=1000), who="me", why="x", now=desk.now)


def test_a_blocked_account_takes_nothing():
    desk = Desk()
    seen = next(f for f in desk.facts if isinstance(f, AccountSeen))
    desk.fact(msgspec.structs.replace(seen, blocked=True))
    assert codes(desk.ask(1)) == {"NOT_RECONCILED"}


def test_a_new_epoch_forgets_approvals_in_flight():
    desk = Desk()
    desk.ask(1)
    desk.tell(Start(epoch=2))
    assert desk.risk.account(1).buys == 0
    assert codes(desk.ask(2)) == {"NOT_RECONCILED"}
    desk.fact(Recovered(state_hash="", unexplained=0, ts=T0))
    assert (desk.ask(3).epoch, desk.ask(4, px=99 * PX).approval) == (2, 2)


def test_cancels_are_never_denied():
    desk = Desk()
    assert desk.tell(CancelIntent(strategy=3, source=1)) == []


STATUSES = [
    OrderStatus.SENT,
    OrderStatus.UNKNOWN,
    OrderStatus.ACCEPTED,
    OrderStatus.PARTIAL,
    OrderStatus.PENDING_CANCEL,
    OrderStatus.PENDING_REPLACE,
    OrderStatus.FILLED,
    OrderStatus.CANCELED,
    OrderStatus.EXPIRED,
    OrderStatus.REJECTED,
    OrderStatus.REPLACED,
    OrderStatus.ABANDONED,
    OrderStatus.CANCELED_LOCAL,
]
move = st.tuples(st.integers(0, 11), st.integers(0, 40), st.sampled_from([BUY, SELL]), st.integers(1, 20), st.integers(95, 105))


def live(desk, moves):
    """A life of intents, facts and approvals that come to nothing; `desk.facts` then holds its journal."""
    orders = []
    for source, (verb, pick, side, qty, px) in enumerate(moves, 1):
        desk.later((pick + 1) * SECOND // 4)
        number, intent = orders[pick % len(orders)] if orders else (0, None)
        if verb <= 3:
            got = desk.ask(source, side, qty * QTY, px * PX, strategy=3 + pick % 2, instrument=1 + pick % 2)
            if isinstance(got, Approved) and verb:
                orders.append((desk.order(got), got.intent))
        elif verb == 4:
            desk.quote(px * PX, 1 + pick % 2)
        elif verb == 5 and intent:
            new = desk.intent(source, intent.side, qty * QTY, px * PX, strategy=intent.strategy, instrument=intent.instrument)
            got = answer(desk.tell(ReplaceIntent(replaces=intent.source, intent=new)))
            if isinstance(got, Approved) and pick % 3:
                orders.append((desk.order(got, replaces=number), got.intent))
        elif verb in (6, 7) and intent:
            desk.fill(number, intent, qty * QTY // 2, px * PX, fee=pick)
        elif verb in (8, 9) and intent:
            desk.change(number, STATUSES[pick % len(STATUSES)])
        elif verb == 10:
            seen = next(f for f in desk.facts if isinstance(f, AccountSeen))
            desk.fact(msgspec.structs.replace(seen, ts=desk.now.venue - pick * SECOND))
        elif verb == 11:
            desk.tell(TimerFired(key="risk.mark", at=0, clock=1))


@pytest.mark.row("S051")
@settings(max_examples=60, deadline=None)
@given(st.lists(move, min_size=5, max_size=60))
def test_the_same_facts_give_the_same_state(moves):
    desk = Desk(day_of=lambda ns: f"day {ns // (60 * SECOND)}")
    live(desk, moves)
    assert desk.replayed().state_digest() == desk.risk.state_digest()


def test_every_kind_of_fact_changes_the_digest():
    desk = Desk()
    seen = {desk.risk.state_digest()}
    number, intent = desk.working(1, qty=10 * QTY)
    for do in (
        lambda: desk.fill(number, intent, QTY),
        lambda: desk.change(number, OrderStatus.UNKNOWN),
        lambda: desk.change(number, OrderStatus.CANCELED),
        lambda: desk.fact(external(OrderStatus.ACCEPTED)),
        lambda: desk.tell(Kill(level="KILLED", scope="system", reason="x", who="me")),
        lambda: desk.fact(BaselineSet(day="d", equity=5, ts=T0)),
        lambda: desk.tell(Start(epoch=9)),
    ):
        do()
        digest = desk.risk.state_digest()
        assert digest not in seen
        seen.add(digest)
    desk.fact(Recovered(state_hash="", unexplained=0, ts=T0))
    before = desk.risk.state_digest()
    desk.ask(77, px=98 * PX)
    desk.risk.gate.mark()
    refused = {f.intent.source for f in desk.facts if isinstance(f, Refused)}
    assert refused == {77}  # killed; and no decision alone is state
    assert desk.risk.state_digest() == before
