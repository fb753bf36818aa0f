"""Which facts must be on disk before anything is done, and which come with the next sync: one table, and every history keeps it."""

import msgspec
import pytest
from tests.live.test_state import history
from tests.reference import room as rooms
from tests.reference.bench import ACCOUNT, SHARE, Bench, position
from tests.reference.room import LOOSE, MemoryShell, Room

from pyrt.model import Fact, Latched
from pyrt.ports import Kill, Resume, Stop, Sync, TakeSnapshot
from pyrt.risk import Limits

BEFORE_ACT = {"Intended", "EpochOpened", "Recovered"}
SOON = {
    "OrderChanged", "Filled", "CancelWanted", "CashMoved", "ExternalSeen", "AccountSeen", "AssetSeen", "PositionAdjusted",
    "BreakSeen", "BaselineSet", "Refused", "Defined", "StrategyNamed",
}  # fmt: skip


class Noting(MemoryShell):
    """Remembers with which class each fact came."""

    def __init__(self) -> None:
        super().__init__()
        self.classes: list[tuple[Fact, Sync]] = []

    def append(self, fact: Fact, sync: Sync, now: object) -> None:
        super().append(fact, sync, now)  # type: ignore[arg-type]
        self.classes.append((fact, sync))


@pytest.mark.row("S108")
def test_every_fact_is_appended_in_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "MemoryShell", Noting)
    monkeypatch.setitem(Room.__init__.__kwdefaults__, "shell", Noting)
    seen: set[str] = set()
    for seed in range(12):
        room, _ = history(seed, steps=40)
        for fact, sync in room.shell.classes:
            name = type(fact).__name__
            seen.add(name)
            if isinstance(fact, Latched):  # what closes acts at once; what opens waits
                assert sync is (Sync.BEFORE_ACT if fact.level == "ACTIVE" else Sync.SOON)
            elif name == "LimitsSet":
                continue  # below
            else:
                assert name in (BEFORE_ACT if sync is Sync.BEFORE_ACT else SOON), (fact, sync)
    assert seen >= BEFORE_ACT | {"OrderChanged", "Filled", "Refused", "Latched", "ExternalSeen"}


def test_limits_that_loosen_wait_and_those_that_tighten_act(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(shell=Noting)
    risk = room.session.risk
    for limits, sync in (
        (Limits.of({"repeat_max": 3}, base=LOOSE), Sync.SOON),
        (Limits.of({"repeat_max": 9}, base=LOOSE), Sync.BEFORE_ACT),
    ):
        [append] = risk.propose(limits, who="a human", why="a test", now=room.now, token=risk.confirmation(limits))
        assert append.sync is sync
        room.session.request([append])


def test_a_latch_opens_only_when_that_is_durable() -> None:
    room = Room(shell=Noting)
    room.step(Kill(level="HALTED", scope="system", reason="drill", who="test"))
    room.step(Resume(scope="system", who="test", why="over"))
    assert [sync for fact, sync in room.shell.classes if isinstance(fact, Latched)] == [Sync.SOON, Sync.BEFORE_ACT]


@pytest.mark.row("X03")
def test_the_end_of_a_session_compares_everything_once_more(bench: Bench) -> None:
    bench.on(Stop(reason="the day is over"))
    account = msgspec.structs.replace(ACCOUNT, cash="999")
    codes: list[str] = []
    while bench.asked(TakeSnapshot) or "execution.snapshot" in bench.timers:
        if not bench.asked(TakeSnapshot):
            bench.fire("execution.snapshot")
        bench.snapshot(account=account, positions=(position("5"),))
        codes += bench.codes()
    assert "POSITION_BREAK" in codes
    assert bench.engine.unexplained == {1: 5 * SHARE}


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.start()
    return made
