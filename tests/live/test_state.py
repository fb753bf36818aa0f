"""A snapshot of any instant, with the facts after it, gives what all facts give: in bytes, in digests, in decisions."""

import random
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.reference.room import BUY, SELL, T0, Room
from tests.sizes import size

from pyrt.journal import Journal
from pyrt.live import state
from pyrt.live.recovery import bare, recover
from pyrt.model import (
    AccountSeen,
    Alarmed,
    Defined,
    EpochOpened,
    ExternalSeen,
    Filled,
    Instrument,
    Intended,
    Intent,
    Latched,
    OrderChanged,
    OrderStatus,
    OrderType,
    PositionAdjusted,
    Refused,
    TimeInForce,
)
from pyrt.ports import Kill, Resume, Submit, Sync, TradeUpdate, VenueOrder
from pyrt.risk.chains import Chain
from pyrt.risk.chains_saved import ChainState
from pyrt.strategies import Strategy


class Trader(Strategy):
    symbols = ("AAPL", "MSFT")


class Scalper(Trader):
    pass


def history(seed: int, steps: int = 60) -> tuple[Room, list[tuple[int, bytes]]]:
    """A random life with everything in it, and its state at some instants: (facts until then, state)."""
    rng = random.Random(seed)
    traders = (Trader(), Scalper())
    room = Room(*traders)
    kept: list[tuple[int, bytes]] = []
    for _ in range(steps):
        _act(rng, room, traders)
        if rng.random() < 0.3:
            kept.append((len(room.shell.facts), state.state_of(room.session)))
    kept.append((len(room.shell.facts), state.state_of(room.session)))
    return room, kept


def _act(rng: random.Random, room: Room, traders: tuple[Strategy, ...]) -> None:
    trader, symbol = rng.choice(traders), rng.choice(("AAPL", "MSFT"))
    orders = trader.open_orders(symbol)
    working = [n for n, o in room.working.items() if o.status in ("new", "partially_filled") and not o.id.startswith("x")]
    match rng.choice(("order", "order", "order", "order", "venue", "venue", "fill", "fill", "fill", "change", "rare")):
        case "order":
            price = rng.choice((None, 99, 98, 101))
            quantity = rng.choice((1, 5, 10, 10**6))
            (trader.buy if rng.random() < 0.6 else trader.sell)(symbol, quantity, limit=price)
            room.quote(symbol)
        case "venue":
            room.reject() if rng.random() < 0.2 else room.accept()
            room.cancelled()
        case "fill":
            for number in rng.sample(working, min(2, len(working))):
                left = float(room.working[number].qty) - float(room.working[number].filled_qty)
                room.fill(number, rng.choice(("", "1")) if left > 1 else "", price=rng.choice(("99.5", "100")))
        case "change":
            for order in orders[:1]:
                if order.status in (OrderStatus.ACCEPTED, OrderStatus.PARTIAL) and order.limit and rng.random() < 0.6:
                    trader.replace(order, limit=order.limit - 1)
                else:
                    trader.cancel(order)
            room.quote(symbol)
        case "rare":
            _rare(rng, room)
    room.tick(rng.choice((10**6, 10**9)))


def _rare(rng: random.Random, room: Room) -> None:
    serial = len(room.shell.facts)
    scope = rng.choice(("strategy:2", "instrument:2"))
    match rng.choice(("kill", "resume", "stranger", "bust", "mark")):
        case "kill":
            room.step(Kill(level=rng.choice(("REDUCING", "HALTED")), scope=scope, reason="drill", who="test"))
        case "resume":
            room.step(Resume(scope=scope, who="test", why="over"))
        case "stranger":
            side = rng.choice((BUY, SELL))
            shown = VenueOrder(
                id=f"x{serial}", cid=f"human-{serial}", symbol="MSFT", side=side, type="limit", tif="gtc", qty="3", filled_qty="0",
                limit_price="50" if side is BUY else "150", status="new", created_at=room.now.venue, updated_at=room.now.venue,
            )  # fmt: skip
            room.step(TradeUpdate(event="new", order=shown, ts=room.now.venue))
            if rng.random() < 0.5:
                over = msgspec.structs.replace(shown, status="canceled", updated_at=room.now.venue)
                room.step(TradeUpdate(event="canceled", order=over, ts=room.now.venue))
        case "bust":
            fills = [f for f in room.shell.facts if isinstance(f, Filled) and f.number in room.working]
            if fills:
                fill = rng.choice(fills)
                order = room.working[fill.number]
                update = TradeUpdate(event="trade_bust", order=order, ts=room.now.venue, execution_id=fill.execution_id)
                room.step(update)
        case "mark":
            if "risk.mark" in room.shell.timers:
                room.fire("risk.mark")


def replayed(facts: list, begin: bytes = b"", **options) -> Room:
    room = Room(start=False, **options) if not begin else Room(start=False, symbols=(), **options)
    if begin:
        state.restore(room.session, begin)
    room.session.replay(facts)
    return room


def digests(room: Room) -> tuple[str, str, bytes]:
    session = room.session
    return session.execution.state_digest(), session.risk.state_digest(), state.state_of(session)


SEEN: set[type] = set()


@pytest.mark.row("S122")
@pytest.mark.parametrize("seed", range(8))
def test_a_kept_state_and_the_facts_after_it_are_all_facts(seed: int) -> None:
    compare(seed)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_many_kept_states() -> None:
    for seed in range(1000, 1000 + size("STATES", 500)):
        compare(seed)


def compare(seed: int) -> None:
    room, kept = history(seed)
    facts = room.shell.facts
    SEEN.update(type(f) for f in facts)
    whole = digests(replayed(facts))
    for n, live in kept:
        assert digests(replayed(facts[:n]))[2] == live  # live, replayed: the same bytes
        assert digests(replayed(facts[n:], live)) == whole


def test_the_histories_have_everything_in_them() -> None:
    for seed in range(40, 60):
        SEEN.update(type(f) for f in history(seed)[0].shell.facts)
    assert {Intended, Filled, Refused, Latched, ExternalSeen, PositionAdjusted, AccountSeen} <= SEEN


def test_a_restored_session_decides_as_the_replayed_one() -> None:
    for seed in range(6):
        room, kept = history(seed)
        facts, traders = room.shell.facts, [(Trader(), Scalper()) for _ in range(2)]
        n, live = random.Random(seed).choice(kept)
        rooms = [Room(*traders[0], facts=facts, start=False), Room(start=False, symbols=())]
        state.restore(rooms[1].session, live)
        rooms[1].session.replay(facts[n:])
        rooms[1].session._waiting.extend(traders[1])
        rooms[1].session.prepare(rooms[1].now)
        outputs = []
        for other, own in zip(rooms, traders, strict=True):
            rng = random.Random(1000 + seed)
            other.now = room.now
            other.session.now = room.now
            other.session.running = True
            other.working = dict(room.working)
            other.shell.facts.clear()
            for symbol in ("AAPL", "MSFT"):
                other.quote(symbol)
            for _ in range(40):
                _act(rng, other, own)
            outputs.append(([f for f in other.shell.facts if not isinstance(f, Alarmed)], other.take(Submit)))
        assert outputs[0] == outputs[1]
        assert outputs[0][0]


def test_a_state_of_another_program_or_of_nobody_is_passed_over() -> None:
    _, [*_, (_, live)] = history(1)
    for bad, why in (
        (b"\0" * 16 + live[16:], "another version"),
        (live[:-1], "does not fit together"),
        (live[:16] + b"\xc1" + live[17:], "does not fit together"),
        (b"", "another version"),
    ):
        with pytest.raises(state.Passed, match=why):
            state.restore(Room(start=False, symbols=()).session, bad)
    used = Room(start=False)
    state.restore(used.session, live)
    with pytest.raises(state.Passed, match="already"):
        state.restore(used.session, live)


# ---------------------------------------------------------------------------------------------------- nothing is forgotten
# What each of these objects keeps of the facts, and goes on from; and what it does not need to.
KEPT = {
    "execution._orders": """
        account activities begun busted by_number by_source by_venue_id cash_base cash_flow corrected corrections epoch executions
        fills fills_of groups held last_number last_ts latches open opened_at past placed positions unexplained_cash""",
    "risk": "_answers _chains _in_force _latches _losses epoch gate ledger permits raced rules",
    "risk._answers": "answered",
    "risk._in_force": "by limits version",
    "risk._latches": "blocked broken closed recovered recovered_at unexplained",
    "risk._losses": "day equity peak peak_at peaks",
    "risk.raced": "owed",
    "risk._chains": "_absent _by_key _by_number _external _intents _over",
    "desk": "_by_number _open _orders _sources _used",
}
VOLATILE = {
    "execution._orders": "_valid_for instruments journal_id touched",
    "risk": """_alarms _approval _day_of _defined _dirty _granted _hours _instruments _mark_at _mark_every _parked _refs
        _whole_limited approved exits marks portfolio refused""",
    "risk._answers": "_first _forgotten _in_flight",
    "risk._in_force": "_configured",
    "risk._latches": "_gate",
    "risk._losses": "_bounds _gate _limits _step",
    "risk.raced": "_instruments _ledger _tries",
    "risk._chains": "_gate unmatched",
    "desk": "_bars _books _session _sizer compiled",
}


@pytest.mark.parametrize("part", KEPT)
def test_whoever_keeps_more_says_whether_a_state_holds_it(part: str) -> None:
    """A new attribute here: put it into the snapshot (and raise state.VERSION), or name it as volatile."""
    found = Room(start=False).session
    for name in part.split("."):
        found = getattr(found, name)
    assert set(vars(found)) == {*KEPT[part].split(), *VOLATILE[part].split()}


def test_a_chain_is_kept_whole() -> None:
    assert set(Chain.__slots__) == set(ChainState.__struct_fields__)


# ---------------------------------------------------------------------------------------------------- how long a start takes
@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_tail_of_100_000_records_and_1_000_open_intents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The target is 5 s without the venue; the figures are printed in CPU seconds, since a noisy machine proves no time."""
    facts = long_life(100_000, 1_000)
    with Journal.open(tmp_path / "j", durability="os") as journal:
        for n, fact in enumerate(facts):
            journal.append(fact, Sync.SOON, n)
            if n % 10_000 == 0:
                journal.sync()
    took = {}
    for how in ("all facts", "a snapshot"):
        with Journal.open(tmp_path / "j", durability="os") as journal:
            begun = time.process_time()
            found = recover(journal, lambda: bare("k3v9q2xa"))
            took[how] = time.process_time() - begun
            digest = found.session.execution.state_digest(), found.session.risk.state_digest()
            if how == "all facts":
                first, whole = digest, state.state_of(found.session)
                assert found.replayed == len(facts)
                begun = time.process_time()
                again = state.state_of(found.session)
                took["taking the state again"] = time.process_time() - begun
                assert again == whole
                journal.snapshot(journal.seq, whole, state.hash_of(whole))
            assert abs(len(found.session.execution.open_orders()) - 1_000) < 5
    assert (found.snapshot_seq > 0, found.replayed, digest) == (True, 0, first)
    with capsys.disabled():
        figures = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in took.items())
        print(f"\n100,000 records, {len(found.session.execution.orders)} orders, {len(whole) >> 20} MiB of state: {figures}")


def long_life(records: int, still_open: int) -> list[Any]:
    """Buys and sells of one share, each filled at once, but for the last ones."""
    made: list[Any] = [Defined(instrument=Instrument(id=1, symbol="AAPL")), EpochOpened(epoch=1, ts=1)]
    number = 0
    while len(made) < records:
        number += 1
        venue_id, ts, side = str(uuid.UUID(int=number * 7919)), T0 + number * 10**6, BUY if number % 2 else SELL
        intent = Intent(
            strategy=1,
            source=number,
            instrument=1,
            side=side,
            type=OrderType.LIMIT,
            tif=TimeInForce.DAY,
            qty=10**9,
            limit_px=10**11,
            valid_until=ts + 10**10,
        )
        made.append(
            Intended(number=number, intent=intent, epoch=1, approval=number, limits_version=1, ref_px=10**11, root=number, ts=ts)
        )
        if len(made) >= records - still_open:
            continue
        order = {"number": number, "venue_order_id": venue_id, "ts": ts}
        made.append(OrderChanged(status=OrderStatus.ACCEPTED, **order))
        made.append(
            Filled(
                strategy=1,
                instrument=1,
                side=side,
                px=10**11,
                qty=10**9,
                cum_qty=10**9,
                execution_id=str(uuid.UUID(int=number * 7907)),
                source="stream",
                **order,
            )
        )
        made.append(OrderChanged(status=OrderStatus.FILLED, filled_qty=10**9, **order))
    return made
