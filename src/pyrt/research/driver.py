"""The driver of a backtest: the session's shell, whose time is that of the data."""

from collections.abc import Callable

from pyrt._core.types import Clock
from pyrt.clock import MINUTE, SECOND, Now
from pyrt.errors import PyrtError
from pyrt.execution.recall import recall
from pyrt.live.timers import Timers
from pyrt.model import Fact, Message
from pyrt.ports import Alarm, Command, Recall, SetTimer, Start, Stop, StreamState, Sync
from pyrt.research.tape import NEVER, Tape
from pyrt.research.venue import BacktestVenue
from pyrt.session import Session

STOP_PATIENCE = MINUTE  # of the data's time, for cancels at the end
POLLS = ("execution.poll", "execution.reconcile")


class Driver:
    """The shell of a backtest: time is that of the data, facts stay in memory, requests go to the exchange beside it.

    While nothing happens to orders the engine's polls and reconciliations of the venue wait: they would tell it nothing.
    """

    def __init__(self, venue: BacktestVenue, tape: Tape) -> None:
        self.venue = venue
        self.tape = tape
        self.facts: list[Fact] = []
        self.alarms: list[Alarm] = []
        self.session: Session
        self.changed = False  # a request or a timer was set since this was last set to False
        self._timers = Timers()
        self._polls: dict[str, SetTimer] = {}

    # ------------------------------------------------------------------------------------------------ Shell
    def append(self, fact: Fact, sync: Sync, now: Now) -> None:
        self.facts.append(fact)

    def perform(self, command: Command) -> None:
        self.changed = True
        if isinstance(command, Recall):  # the facts are here: the answer is an entry of its own, after this one
            self.session.step(recall(lambda after: self.facts[after:], len(self.facts), command), self.session.now)
            return
        self.venue.perform(command, self.session.now)

    def set_timer(self, command: SetTimer) -> None:
        self.changed = True
        if command.key in POLLS:
            self._polls[command.key] = command
        else:
            self._timers.set(command)

    def tell(self, message: Message) -> None:
        pass  # nobody listens but the session itself

    def alarm(self, alarm: Alarm) -> None:
        if alarm.severity != "info" or alarm.code == "STRATEGY":  # what strategies log, and what a human should know
            self.alarms.append(alarm)

    # ------------------------------------------------------------------------------------------------ time
    def run(self, session: Session, tick: Callable[[int], None]) -> None:
        """Recover, play the data to its end, stop. At one instant: the exchange, then market, answers, timers."""
        self.session = session
        begin = session.now
        session.step(Start(epoch=1), begin)
        for stream in ("trading", "data"):
            session.step(StreamState(stream=stream, up=True), begin)
        while not session.execution.recovered:
            if not self._play(NEVER, self.tape.begun):
                raise PyrtError("recovery at the simulated venue did not end", mend="; ".join(a.text for a in self.alarms))
        session.start(Now(self.tape.begun, self.tape.begun))
        while (market := self.tape.next_time) != NEVER:
            self._play(market, NEVER)
            tick(self.tape.total)
        session.stop(session.now)
        session.step(Stop(reason="the data has ended"), session.now)
        give_up = session.now.venue + STOP_PATIENCE
        while (session.execution.sweeping or not self.venue.idle) and self._play(NEVER, give_up):
            pass

    def _play(self, market: int, end: int) -> bool:
        """Handle what is due next, the market's next record included; False where nothing is before `end`."""
        session = self.session
        self._wake_polls(session.now.mono)
        answer, timer = self.venue.next_answer, self._next_timer()
        due = min(market, answer, timer)
        if self.venue.next_event <= min(due, end):
            self.venue.run(self.venue.next_event)
        elif due > end or due == NEVER:
            return False
        elif market <= due:
            self._market(session, min(answer, timer))
        elif answer <= timer:
            now, event = self.venue.take()
            session.step(event, now)
        elif (fired := self._timers.pop(Now(timer, timer))) is not None:
            session.step(fired, Now(timer, timer))
        return True

    def _market(self, session: Session, others: int) -> None:
        tape, begin = self.tape, self.tape.at
        end = tape.until(min(others, self.venue.next_event))
        records = tape.records[:end]
        self.changed = False
        while tape.at < end and not self.changed:
            tape.at = session.advance(records, tape.at, timed=True)
        session.counts["messages"] += tape.at - begin
        if tape.at == len(tape.records):  # else it would all be kept until the next order, which may never come
            self.venue.run(session.now.venue)

    def _next_timer(self) -> int:
        dues = (self._timers.next(Clock.VENUE), self._timers.next(Clock.MONO))
        return min((at for at in dues if at is not None), default=NEVER)

    def _wake_polls(self, mono: int) -> None:
        if self.venue.active and self._polls:
            self.venue.active = False
            for command in self._polls.values():
                self._timers.set(SetTimer(key=command.key, at=max(command.at, mono + SECOND // 10), clock=command.clock))
            self._polls.clear()
