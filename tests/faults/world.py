"""One seed, one history: a trading process with its disk, its net and the venue behind it, which dies and is started again."""

import asyncio
import gc
import random
import warnings
from collections import Counter
from typing import Any

import msgspec
from tests.faults import disk as disk_
from tests.faults import files, folds, tables
from tests.faults import kernel as kernel_
from tests.faults import net as net_
from tests.faults import venue as venue_
from tests.faults.beliefs import PATIENCE, Beliefs
from tests.faults.channels import Channels
from tests.faults.doors import Page, Shell, Updates
from tests.faults.hours import NIGHTS, Hourly, Hours, at, next_prints
from tests.faults.installed import installed
from tests.faults.kernel import MS, SECOND, GreenletExit, Kernel, Loop, Machine
from tests.faults.market import AGES, Market
from tests.faults.mistakes import Mistakes
from tests.faults.oracle import Oracle
from tests.faults.plan import Plan
from tests.faults.references import References
from tests.faults.themes import MARKET, TABLES
from tests.faults.trader import SYMBOLS, Chaos, Other
from tests.faults.venue import KEY, SECRET, Venue, VenueClock

from pyrt.config import Secret
from pyrt.errors import ConfigError, JournalBusy, JournalDamaged, PyrtError
from pyrt.live import recovery, runner
from pyrt.model import Filled, OrderChanged
from pyrt.ports import Alarm, Resume
from pyrt.risk import Limits
from pyrt.venues.alpaca import link
from pyrt.venues.alpaca.keys import Keys

SEGMENT = 1 << 15
JUNK = (b"", b"{", b"[]", b"\xff\x00", b'{"stream":"trade_updates","data":{}}', b"[{}]", b"\x91\x80", b"null")
DIRECTORY = "/state"
# Alarms that say that pyrt and the venue contradict each other: none of them may come of a bad net or a crash.
CONTRADICTIONS = frozenset(
    (
        "APPEARED",
        "TWO_ORDERS",
        "CID_TAKEN",
        "CID_FORGOTTEN",
        "OVERFILL",
        "BREAK",
        "VANISHED",
        "CASH_BREAK",
        "POSITION_BREAK",
        "UNEXPLAINED",
        "UNEXPECTED_FILL",
        "LEDGER_BROKEN",
        "UNREADABLE",
        "UNKNOWN_WORD",
        "NO_ANSWER",
        "OTHER_ACCOUNT",
        "STRATEGY_FAILED",
        "APPROVAL_GAP",
    )
)
LIMITS = Limits.of(
    {"max_position_qty": "150", "max_strategy_qty": "120", "max_open_orders": 30, "repeat_round_trips": 120, "repeat_max": 120},
    base=Limits.profile("paper"),
)
HASTY = dict.fromkeys((f"{whose}_orders_per_minute" for whose in ("account", "strategy", "symbol")), 5000)
HASTY["symbol_order_rate_window_ms"] = 1000
GUARDED = Limits.of({"require_exit": ("*",), "exit_within_ms": 1000, "exit_distance_bps": 100}, base=LIMITS)


class Verdict(msgspec.Struct):
    """What became of one seed."""

    seed: int
    mode: str
    violations: list[str] = []
    crashes: int = 0
    lives: int = 0
    recoveries: int = 0
    points: int = 0
    orders: int = 0
    fills: int = 0
    requests: int = 0
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    at: Counter[str] = msgspec.field(default_factory=Counter)  # at which steps it died
    steps: int = 0
    ended: int = 0  # ns of the simulated clock
    trace: list[str] = []


class Simulation:
    """The world of one seed."""

    def __init__(self, seed: int, mode: str, plan: Plan | None, trace: bool) -> None:
        self.seed, self.mode = seed, mode
        self.rng = rng = random.Random(seed)
        self.plan = plan or Plan.of(rng).beside(seed)
        self.verdict = Verdict(seed, mode)
        self.kernel = Kernel(seed)
        self.tracing = trace
        self.faulty = True
        self.storm = ""
        self.unclean = False
        self.meddled = False  # somebody else, or the venue itself, changed our orders
        self.over = False  # no further start
        self.settings = self.plan.settings
        self.landing = self.settings.deadline + self.settings.settle - 20 * MS
        # A budget that is spent for a minute is no fault that heals: the bound of F33 needs the usual one.
        self.rate_limit = self.plan.rate_limit if mode == "safety" else max(self.plan.rate_limit, 200)
        self.limits = GUARDED if self.plan.require_exit else LIMITS
        if self.plan.hasty:
            self.limits = Limits.of(HASTY, base=self.limits)
        self.position_limit = 150 * venue_.SHARE
        self.healed_at = 0
        self.countdown = 0
        self.depth = 0  # deaths since a recovery ended
        self.page_level = 0  # of the page in shared memory, which outlives a process
        self.page: Page | None = None
        self.shell: Shell | None = None
        self.runner: Any = None
        self.expected: set[str] = set()
        night = NIGHTS[self.plan.night] if self.plan.night >= 0 else None
        begin = at(night.begin) if night is not None else 0
        self.wakes = 0  # instant until which nobody lives
        self.night_ends = at(night.wake) - begin if night is not None and mode != "points" else 0
        self.venue = Venue(self.kernel, rng, SYMBOLS, rate_limit=self.rate_limit, plan=self.plan, begin=begin)
        self.venue.trading._path = Updates(self)  # type: ignore[assignment]
        self.net = net_.Net(self, random.Random(rng.randrange(1 << 60)))
        self.disk = disk_.Disk(random.Random(rng.randrange(1 << 60)), self.point)
        self.disk.fail = self._disk_fails
        self.disk.slow = self._disk_takes
        self.oracle = Oracle(self)
        self.disk.synced = self.oracle.synced
        self.beliefs = Beliefs(self)
        self.channels = Channels(self)
        self.mistakes = Mistakes(self)
        self.hours = Hours(self) if night is not None else None
        if self.hours is not None:
            self.venue.tape.prints = next_prints
        ill = any(kind in MARKET for kind in self.plan.events)
        self.market = Market(self) if ill else None
        self.tables = tables.File(self) if any(kind in TABLES for kind in self.plan.events) else None
        self.references = References(self) if ill else None
        self.listeners = [each for each in (self.references, self.hours) if each is not None]
        if ill:
            self.limits = Limits.of(AGES, base=self.limits)
        self.idle = False  # the strategies decide nothing any more
        self.strategies: list[Chaos] = []
        self.outage = ""  # path whose GETs fail
        self.system = files.System(self.disk)
        self.machine = Machine(self.kernel, 1, VenueClock.begin)

    # ------------------------------------------------------------------------------------------------ what others call
    def point(self, name: str) -> None:
        """A step at which the process may die."""
        if self.machine.dead:
            raise GreenletExit
        self.verdict.points += 1
        if self.countdown:
            self.countdown -= 1
            if not self.countdown and self.kernel.task is not None:
                self.trace("crash", name)
                self.crash(name)

    def crash(self, name: str = "") -> None:
        self.verdict.crashes += 1
        self.verdict.faults["kill -9" if not self.plan_power else "power cut"] += 1
        session = self.shell.session if self.shell is not None else None
        if session is None or not session.running:
            self.depth += 1
            self.verdict.faults[f"death in recovery, {min(self.depth, 5)} deep"] += 1
        else:
            self.depth = 0
        self.machine.die()

    def happens(self, kind: str, often: float = 1.0) -> bool:
        """Whether a fault of a kind strikes now."""
        chance = self.plan.chances.get(kind, 0.0)
        if not self.faulty or not chance or self.net.rng.random() >= chance * often:
            return False
        self.note(kind)
        return True

    def note(self, kind: str) -> str:
        self.verdict.faults[kind] += 1
        self.channels.struck(kind)
        return kind

    def violate(self, number: str, text: str) -> None:
        line = f"invariant {number} at {self.kernel.now / 1e9:.3f} s: {text}"
        self.trace("VIOLATION", line)
        if len(self.verdict.violations) < 20:
            self.verdict.violations.append(line)

    def alarmed(self, alarm: Alarm) -> None:
        self.trace("alarm", alarm)
        self.oracle.swept |= self.oracle.killed_at > 0 and alarm.code == "SWEPT" and alarm.text.startswith("system:")
        if alarm.code == "STRATEGY_FAILED" and "a strategy that raises" in alarm.text:
            self.mistakes.raised(alarm.text.partition(".")[0])
            return
        if alarm.code in CONTRADICTIONS and alarm.code not in self.expected:
            self.violate("-", f"alarm {alarm.code}: {alarm.text}")

    def trace(self, what: str, value: Any) -> None:
        if self.tracing:
            self.verdict.trace.append(f"{self.kernel.now / 1e9:11.6f} {what:8} {value}")

    def _disk_fails(self, what: str) -> int:
        import errno

        if not self.faulty or not self.plan.chances.get("disk error"):
            return 0
        if self.disk.rng.random() >= self.plan.chances["disk error"]:
            return 0
        self.note("disk error")
        if self.oracle.failed_at == 0 and what in ("append", "fdatasync"):
            self.oracle.failed_at = self.kernel.now
        return self.disk.rng.choice((errno.ENOSPC, errno.EIO))

    def _disk_takes(self) -> int:
        rng = self.disk.rng
        if self.happens("slow disk"):
            return rng.randrange(5 * SECOND)
        return rng.randrange(60_000, 300_000) if rng.random() < 0.9 else rng.randrange(5 * MS)

    def strike(self, kind: str) -> None:
        """A fault at an instant of its own."""
        rng, venue = self.net.rng, self.venue
        if not self.faulty:
            return
        done: Any = True
        if kind.startswith(("stream", "garbage")):
            wires = [wire for wire in self.net.wires if not wire.closed]
            if kind == "stream silent for good":
                wires = [wire for wire in wires if wire.path != "/stream"]
            done = bool(wires) and self._cut(kind, rng.choice(wires), rng)
        elif self.market is not None and kind in MARKET:
            done = self.market.strike(kind)
        elif self.tables is not None and kind in TABLES:
            done = self.tables.strike(kind)
        elif kind == "storm":
            self.storm = rng.choice(("429", "error before", "lost request", "html", "slow"))
            self.kernel.later(rng.randrange(6 * SECOND), self._calm)
        elif kind == "outage":  # of a part of the venue
            self.outage = rng.choice(net_.PAGES)
            self.kernel.later(rng.randrange(10 * SECOND), self._calm)
        elif kind == "clock step":
            self.machine.wall += rng.choice((-3600, 3600)) * SECOND
        elif kind == "resume":
            done = self._resume()
        elif kind == "kill":
            done = files.Path(DIRECTORY).exists()
            if done:  # as `pyrt kill` does: the page first, then the file
                self.oracle.killed_at = self.kernel.now
                self.page_level = 3
                if self.page is not None:
                    self.page.close_latch(3)
                (files.Path(DIRECTORY) / "KILL").put(b'{"who": "somebody", "why": "drill"}')
        else:
            self.meddle(kind)
            if kind in ("foreign order", "foreign trade"):
                venue.foreign(rng, rng.choice(SYMBOLS), at_once=kind == "foreign trade")
            elif kind == "foreign cancel":
                venue.cancel_any(rng)
            else:
                done = venue.overfill(rng) if kind == "overfill" else venue.bust(rng)
        if done:
            self.note(kind)

    def meddle(self, kind: str) -> None:
        """From here on orders and fills are not what pyrt alone made of them."""
        self.meddled = True
        if kind in ("overfill", "bust"):
            self.expected |= {"OVERFILL", "CASH_BREAK", "POSITION_BREAK", "UNEXPLAINED", "UNEXPECTED_FILL", "BREAK"}

    def _cut(self, kind: str, wire: Any, rng: random.Random) -> bool:
        if kind == "stream reset":
            wire.reset()
        elif kind == "stream half open":
            wire.half_open()
        elif kind == "stream silent":
            wire.mute(rng.randrange(20 * SECOND))
        elif kind == "stream silent for good":
            wire.silent = True
            self.kernel.later(PATIENCE, self.beliefs.silent, wire)
        elif kind == "stream closed":
            wire.leave()
            wire.downwards(b"", net_.WSMsgType.CLOSE, rng.choice((1000, 1006, 1008, 1011)))
        else:
            junk = rng.choice(
                (b"", b"{", b"[]", b"\xff\x00", b'{"stream":"trade_updates","data":{}}', b"[{}]", b"\x91\x80", b"null")
            )
            wire.downwards(junk, net_.WSMsgType.BINARY)
        return True

    def _resume(self) -> bool:
        """A human opens what a strategy's mistake closed, as `pyrt resume` does; the next life trades with it again."""
        if self.shell is None or self.shell.session is None or self.machine.dead:
            return False
        latched = [scope for scope in self.shell.session.risk.latches if scope.startswith("strategy:")]
        for scope in latched:
            self.shell.put(Resume(scope=scope, who="somebody", why="mended"))
        if latched:
            self.mistakes.opened()
        return bool(latched)

    def _calm(self) -> None:
        self.storm = self.outage = ""

    # ------------------------------------------------------------------------------------------------ lives
    def boot(self) -> None:
        """Start the process."""
        if self.kernel.now < self.wakes:
            self.kernel.at(self.wakes, self.boot)
            return
        if self.over or (not self.machine.dead and self.machine.tasks):
            return
        self.page = self.shell = self.runner = None
        self.strategies = []
        self.oracle.failed_at = 0  # a process that finds no journal to read knows of no order
        gc.collect(1)  # the life before: memory that is used again costs less than new
        rng = self.rng
        self.verdict.lives += 1
        wall = VenueClock.begin + (
            rng.randrange(-3600, 3600) * SECOND if self.faulty and rng.random() < 0.1 else rng.randrange(-20, 20) * MS
        )
        self.machine = kernel_.World.machine = Machine(self.kernel, rng.randrange(1 << 40), wall)
        self.machine.on_death.append(self.buried)
        self.plan_power = rng.random() < self.plan.power
        self.unclean = self.plan_power
        self.countdown = self.plan.countdown(rng) if self.faulty else 0
        self.system.handles = files.Handles(self.disk)
        self.beliefs.begin()
        for each in self.listeners:
            each.begin()
        self.trace("boot", f"life {self.verdict.lives}, dies after {self.countdown} points")
        self.machine.spawn(self._life, "main")

    def _life(self) -> None:
        machine = self.machine
        loop = Loop()
        reason = ""
        try:
            to = link.AlpacaLink("sim", ADDRESSES, KEYS, rate_limit=self.rate_limit)
            first = Chaos if self.hours is None else Hourly
            strategies = [first(random.Random(self.rng.randrange(1 << 60)), self.plan.pace, self.happens, self.plan.exits)]
            self.strategies = strategies
            if self.hours is not None:
                strategies[0].hours = self.hours  # type: ignore[attr-defined]
            if self.plan.two:
                strategies.append(
                    Other(random.Random(self.rng.randrange(1 << 60)), self.plan.pace * 2, self.happens, self.plan.exits)
                )
            for strategy in strategies:
                strategy.idle, strategy.resting = self.idle, self.plan.resting
            self.runner = runner.Runner(
                runner.Plan(
                    link=to,
                    directory=files.Path(DIRECTORY),  # type: ignore[arg-type]
                    strategies=strategies,  # type: ignore[arg-type]
                    limits=self.limits,
                    settings=self.settings,
                    segment_size=SEGMENT,
                    snapshot_facts=self.plan.keep,
                    record=False,
                    watchdog=False,
                    calendar=self.hours is not None,
                )
            )
            summary = loop.run_until_complete(self.runner.run())
            reason = summary.failed
            while any(task.name == "executor" and not task.over for task in machine.tasks):  # as asyncio.run does
                kernel_.nap(MS)
            self.trace("ended", summary)
        except PyrtError as e:
            reason = f"{type(e).__name__}: {e}"
            if isinstance(e, JournalDamaged):
                self.violate("7", reason)
            elif isinstance(e, ConfigError | JournalBusy):  # nothing here is configured wrong
                self.violate("-", reason)
        except disk_.Fault as e:  # as the command does: in words, with a status
            reason = str(e)
        except GreenletExit:
            raise
        except BaseException as e:
            if machine.dead:
                raise
            self.violate("-", f"the process ended by {type(e).__name__}: {e}")
        finally:
            if not machine.dead:
                for text in loop.complaints:
                    self.violate("-", f"asyncio: {text}")
            machine.dead = True
            _drop_tasks(loop)
        self.trace("exit", reason)
        began = self.shell is not None and self.shell.broker is not None  # else it has no way to the venue, and only says why
        if self.oracle.failed_at and began and not self.plan.events and self.plan.chances.keys() <= {"disk error", "slow disk"}:
            self.oracle.all_cancelled()
        if "a fault inside pyrt" in reason:
            self.violate("-", reason)
        self.kernel.later(0, machine._bury)

    def recover(self, journal: Any, build: Any) -> Any:
        """Stands in for pyrt.live.recovery.recover: from what it went on is compared with what was anchored."""
        found = recovery.recover(journal, build)
        self.oracle.went_on_from(found.snapshot_seq)
        return found

    def buried(self) -> None:
        """The process is gone: what it left, and when it is started again."""
        self.net.end_of(self.machine)
        self.mistakes.ended()
        if self.hours is not None:
            self.hours.ended()
        self.system.handles.close_all()
        if self.plan_power and self.countdown == 0 and self.faulty:
            if torn := self.disk.power_cut():
                self.verdict.faults["torn block"] += torn
            if self.tables is not None:
                self.tables.power_cut()
            self.page_level = 0
        if not self.over:
            self.kernel.later(self.plan.rest(self.rng) if self.faulty else SECOND // 2, self.boot)

    # ------------------------------------------------------------------------------------------------ the history
    def run(self) -> Verdict:
        """Chaos, then healing where the mode asks for it, then the judgement."""
        end = self.plan.chaos
        self.kernel.later(0, self._market)
        self.boot()
        self.plan.schedule(self)
        if self.night_ends:
            end = self.night_ends + 15 * SECOND
            self.kernel.later(14 * SECOND, self._night)
        self.kernel.run(end, lambda: bool(self.verdict.violations))
        if not self.verdict.violations and self.mode == "liveness" and self._healed():
            self._end_in_order()
        return self._end()

    def _end(self) -> Verdict:
        """The last process dies; what the journal holds is replayed."""
        self.over = True
        self.machine.die()
        self.kernel.run(self.kernel.now + MS)
        if not self.verdict.violations:
            self.oracle.replayed()
            if self.tables is not None:
                self.tables.judge()
        verdict = self.verdict
        verdict.orders, verdict.fills = self.oracle.orders, self.oracle.filled
        verdict.requests, verdict.steps, verdict.ended = len(self.venue.truth._requests), self.kernel.steps, self.kernel.now
        return verdict

    def _market(self) -> None:
        self.venue.floor.catch_up()
        self.channels.look()
        for task in self.machine.tasks if not self.machine.dead else ():
            if task.error is not None:
                self.violate("-", f"the thread {task.name} ended by {type(task.error).__name__}: {task.error}")
        self.kernel.at(max(self.kernel.now + 500 * MS, self.wakes), self._market)

    def _night(self) -> None:
        """Whatever lived dies, and is started again before the opening; nobody prints anything meanwhile."""
        self.wakes = self.night_ends
        self.venue.tape.quiet |= dict.fromkeys((1, 2), VenueClock.begin + self.wakes)
        if not self.machine.dead:
            self.note("night")
            self.crash("night")

    def _healed(self) -> bool:
        """Faults stop; whether within 60 simulated seconds everything is as the venue has it."""
        self.faulty, self.storm, self.outage, self.countdown = False, "", "", 0
        self.idle = self.seed % 2 == 1 or self.mode == "points"  # then only what looks by itself finds what is wrong
        for strategy in self.strategies:
            strategy.idle = self.idle
        self.rate_limit = self.venue.raise_limit(1000)
        if self.market is not None:
            self.market.heal()
        if self.tables is not None:
            self.tables.heal()
        healed = self.healed_at = self.kernel.now
        for wire in list(self.net.wires):
            wire.silent = False
            if wire.deaf:
                wire.leave()
                wire._ping_fails()
        for wire in self.net.unheard:
            wire.leave()
        for each in (self.venue.data, self.venue.trading):
            for left in [s for s in each._sessions if s not in [w.session for w in self.net.wires if not w.closed]]:
                each.leave(left)
        self.kernel.run(healed + 60 * SECOND, lambda: self._settled() or bool(self.verdict.violations))
        self.trace("healed", f"after {(self.kernel.now - healed) / 1e9:.1f} s")
        wrong = self._wrong()
        if wrong:
            self.violate("3/5", f"60 s after healing: {'; '.join(wrong[:4])}")
        elif unsound := self._unsound():
            self.violate(unsound[0][0], f"60 s after healing: {'; '.join(text for _, text in unsound[:4])}")
        elif not self.verdict.violations:
            self.note("healed")
        return not self.verdict.violations

    def _end_in_order(self) -> None:
        """Stop, look at what is left of the process, replay its journal, and start once more: that changes nothing."""
        assert self.shell is not None
        assert self.shell.session is not None
        session, machine, handles = self.shell.session, self.machine, self.system.handles
        self.over = True
        self.shell._loop.call_soon_threadsafe(self.runner.stop, "the end")
        self.kernel.run(self.kernel.now + 30 * SECOND, lambda: machine.dead)
        if not machine.dead:
            self.violate("20", "the process does not end within 30 s")
            return
        left = [task.name for task in machine.tasks if not task.over and task.name not in ("main", "backfill")]
        files = [inode.name for inode in handles.files.values()]
        wires = [wire.path for wire in self.net.wires if not wire.closed]
        if left or files or wires:
            self.violate("20", f"left by a process that ended: tasks {left}, files {files}, connections {wires}")
        live = (session.execution.state_digest(), session.risk.state_digest())
        if (again := self.oracle.replayed()) != live:
            self.violate("6", f"a replay of the journal comes to {again}, the session to {live}")
        last = max(self.oracle.history, default=0)
        open_ = {order.number for order in session.execution.open_orders()}  # what went on, or ended after the last look
        self.kernel.run(self.kernel.now + MS)
        self.over = False
        self.plan.pace = 1e9  # nobody decides anything: what follows is recovery alone
        self.boot()
        self.kernel.run(self.kernel.now + 30 * SECOND, lambda: self.is_trading)
        self.kernel.run(self.kernel.now + SECOND // 2)
        if self.tables is not None:
            self.tables.judge(after=last)
        told = [folds.fact_of(record) for seq, record in self.oracle.history.items() if seq > last]
        new = {type(fact).__name__ for fact in told if not (isinstance(fact, Filled | OrderChanged) and fact.number in open_)}
        if self.meddled:  # what no fill explains is told again
            new -= {"Alarmed", "BreakSeen"}
        if strange := new - {"EpochOpened", "Recovered", "AccountSeen", "BaselineSet", "LimitsSet", "StrategyNamed", "NoneType"}:
            self.violate("8", f"a recovery where nothing happened wrote {sorted(strange)}")

    @property
    def is_trading(self) -> bool:
        """Whether a process lives and its recovery has ended."""
        session = self.shell.session if self.shell is not None and not self.machine.dead else None
        return session is not None and session.running

    def _settled(self) -> bool:
        # Looked at often: the cheap part first.
        if self.kernel.steps % 64:
            return False
        return not self._wrong() and not self._unsound()

    def _unsound(self) -> list[tuple[str, str]]:
        assert self.shell is not None
        return self.beliefs.settled(self.shell.session, self.healed_at)

    def _wrong(self) -> list[str]:
        session = self.shell.session if self.shell is not None else None
        if session is None:
            return ["no process trades"]
        if not session.execution.recovered or not session.running:
            return ["recovery has not ended"]
        found = self.oracle.same_orders(session)
        found += self.oracle.same_positions(session)
        if not self.meddled:
            found += self.oracle.same_fills(session)
        if self.oracle.killed_at:
            found += self.oracle.left_open(session)
        return found


KEYS = Keys(Secret(KEY), Secret(SECRET))
_HOST = "127.0.0.1:4"
ADDRESSES = link.Addresses(trading=f"http://{_HOST}", data=f"http://{_HOST}", stream=f"ws://{_HOST}", updates=f"ws://{_HOST}")


def _drop_tasks(loop: Loop) -> None:
    """Forget the coroutines of a loop that has ended, without a word."""
    asyncio._set_running_loop(loop)  # what a `finally` makes would else wait for ever in a loop of the system's
    for task in sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name()):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        for _ in range(8):  # each close ends one `finally` that waits
            try:
                task.get_coro().close()  # type: ignore[union-attr]
                break
            except BaseException:
                continue
    asyncio._set_running_loop(None)
    loop._ready.clear()  # type: ignore[attr-defined]
    loop._scheduled.clear()  # type: ignore[attr-defined]
    loop._closed = True  # type: ignore[attr-defined]


def run(seed: int, *, mode: str = "safety", plan: Plan | None = None, trace: bool = False) -> Verdict:
    """The history of a seed. mode: "safety" (faults until its end), "liveness" (they stop, and all must heal), or "points"."""
    from tests.faults.points import Points

    sim = (Points if mode == "points" else Simulation)(seed, mode, plan, trace)
    with warnings.catch_warnings(), installed(sim):
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        return sim.run()
