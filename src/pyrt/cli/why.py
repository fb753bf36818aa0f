"""`pyrt why`, `pyrt why-not`: a decision played again, with everything that it went by."""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from cyclopts import Parameter

from pyrt.cli.recorded import changes, has_ended, own_facts, recorded_runs, recorded_sizer, run_at, strategies_of
from pyrt.cli.state import find_state
from pyrt.cli.why_facts import lines, market_words, quiet_lines, utc, words
from pyrt.clock import SECOND
from pyrt.errors import ConfigError, PyrtError
from pyrt.journal import inspect
from pyrt.journal.runs import RecordedRun
from pyrt.live.replay import Outcome
from pyrt.live.why import Call, Decision, Market, Witness
from pyrt.live.why_facts import Found, Told, find_order, quiet_by_facts, told_by_facts
from pyrt.live.why_market import market_at
from pyrt.model import Defined, Instruments
from pyrt.strategies import Strategy

SHOWN = 5  # callbacks that why-not shows


def why(order: str, directory: Path | None = None) -> None:
    """Say why an order was made: what the strategy was given, what it held, every limit with its headroom, and the order's way.

    The session is played again to its end; exit status 1 where it does not come out the same.

    Parameters
    ----------
    order
        Its number (`pyrt orders --all`), its client_order_id, or the venue's id.
    directory
        A session's state; by default the session used last.
    """
    state = find_state(directory)
    journal = state / "journal"
    found = find_order(order, inspect.show(journal))
    played = _recorded(state, found)
    if isinstance(played, Played):
        print("\n".join(played.lines))
        if not played.equal:
            raise SystemExit(1)
        return
    told = told_by_facts(journal, found)
    print("\n".join(lines(told, played.why, _market(state, found, told))))
    if played.wrong or told.rerun.different:
        raise SystemExit(1)


def why_not(
    symbol: str, time: str, directory: Path | None = None, *, for_: Annotated[float, Parameter(name="--for")] = 60.0
) -> None:
    """Say why nothing was traded: what strategies were called with, what they held, what was refused, which latches were closed.

    Parameters
    ----------
    symbol
        The instrument.
    time
        When, UTC of the venue: 2026-03-02T15:31:00, or 15:31[:00] of the day on which the last recorded run began.
    directory
        A session's state; by default the session used last.
    for_
        Seconds after it that are looked at.
    """
    state = find_state(directory)
    journal = state / "journal"
    runs, lacking = _runs(state)
    known, first, last = _span(journal)
    since = _instant(time, runs[-1].began.venue if runs else last)
    until = since + int(for_ * SECOND)
    if until < first or since > max([last, *(run.holes.end.venue for run in runs[-1:])]):
        mend = f"the journal has {utc(first)} to {utc(last)}"
        raise ConfigError(f"nothing was recorded at {time}", where=str(state), mend=mend)
    if symbol not in known:
        raise ConfigError(f"{symbol} was never watched here", mend=f"use one of {', '.join(sorted(known))}")
    chosen = [n for n, run in enumerate(runs) if run.began.venue <= until and run.holes.end.venue >= since]
    wrong = False
    if not chosen:
        lacking = lacking or "nothing was recorded then"
    for n in chosen:
        played = _quietly(state, runs, n, symbol, since, until)
        if isinstance(played, Played):
            print("\n".join(played.lines))
            wrong |= not played.equal
        else:
            lacking, wrong = played.why, wrong or played.wrong
    if lacking:
        print("\n".join(quiet_lines(symbol, since, until, quiet_by_facts(journal, symbol, since, until), lacking)))
    if wrong:
        print("pyrt: the session did not come out the same: see `pyrt replay`", file=sys.stderr)
        raise SystemExit(1)


def _reason(e: PyrtError) -> str:
    return f"{e.what} ({Path(e.where).name})" if e.where else e.what


def _runs(state: Path) -> tuple[list[RecordedRun], str]:
    """The recorded runs, and why there are none."""
    try:
        return recorded_runs(state), ""
    except PyrtError as e:
        return [], _reason(e)


def _span(journal: Path) -> tuple[set[str], int, int]:
    """The symbols that were ever watched, and the venue ns of the first and the last fact."""
    known: set[str] = set()
    first = last = 0
    for _, ts, fact in inspect.show(journal):
        first, last = first or ts, ts or last
        if isinstance(fact, Defined):
            known.add(fact.instrument.symbol)
    return known, first, last


def _quietly(state: Path, runs: Sequence[RecordedRun], at: int, symbol: str, since: int, until: int) -> "Played | Unplayed":
    """What a run's recording tells of a span of time, if it can be played as far as that."""
    recorded, run = runs[at], runs[at].made_of
    try:
        if run is None:
            return Unplayed(recorded.holes.summary() or "the recording does not begin with what its run was made of")
        strategies = strategies_of(run)
        witness, outcome = _play(state, runs, at, strategies, symbol=symbol, since=since, until=until)
    except PyrtError as e:  # a strategy cannot be made any more
        return Unplayed(_reason(e))
    other = changes(run, strategies)
    if other and not outcome.equal:
        return Unplayed("; ".join(other))
    if witness.session.now.venue < until and recorded.holes.dropped:
        return Unplayed(recorded.holes.summary())
    return Played(list(_quiet(symbol, since, until, witness, recorded)), outcome.equal)


def _market(state: Path, found: Found, told: Told) -> Market | None:
    """The market at a decision that cannot be played, where its records are still there."""
    try:
        runs = recorded_runs(state)
        at = run_at(runs, found.seq, found.ts)
        instrument = told.session.instruments[found.fact.intent.instrument]
        return None if at is None else market_at(runs[at], instrument, found.ts)
    except PyrtError:  # what became of the recording is told already
        return None


class Played(NamedTuple):
    """An order that came out again."""

    lines: list[str]
    equal: bool


class Unplayed(NamedTuple):
    """An order that no recording gives again, and why; `wrong`: it should have."""

    why: str
    wrong: bool = False


def _recorded(state: Path, found: Found) -> Played | Unplayed:
    """The decision as its run's recording gives it again, if it does."""
    try:
        runs = recorded_runs(state)
        at = run_at(runs, found.seq, found.ts)
        if at is None:
            return Unplayed("of that run no recording is left")
        recorded, run = runs[at], runs[at].made_of
        if run is None:
            return Unplayed(recorded.holes.summary() or "the recording does not begin with what its run was made of")
        strategies = strategies_of(run)
        witness, outcome = _play(state, runs, at, strategies, key=found.fact.intent.key)
    except PyrtError as e:  # none is there, or a strategy cannot be made any more
        return Unplayed(_reason(e))
    holes, other = recorded.holes.summary(), changes(run, strategies)
    d = next((d for d in witness.decisions if d.intent == found.fact.intent), None)
    if d is not None and d.number == found.fact.number and not d.differences:
        told = list(_told(d, witness, outcome))
        told += [f"  until {what}" for what in (holes, *other) if what]
        return Played(told, outcome.equal or bool(other))
    if other:
        first = f": after entry {outcome.differences[0].entry} it does something else" if outcome.differences else ""
        return Unplayed("; ".join(other) + first)
    if holes:
        return Unplayed(holes)
    return Unplayed("played again, the order did not come out: see `pyrt replay`", wrong=True)


def _play(
    state: Path, runs: Sequence[RecordedRun], at: int, strategies: Sequence[Strategy], **window: Any
) -> tuple[Witness, Outcome]:
    recorded, run = runs[at], runs[at].made_of
    assert run is not None  # who asks has looked
    ended = has_ended(state, runs, at) and not recorded.holes.dropped
    witness = Witness(run, own_facts(state, runs, at), strategies, recorded_sizer(run), ended=ended, **window)
    return witness, witness.play(recorded.beginning())


def _told(d: Decision, witness: Witness, outcome: Outcome) -> Iterator[str]:
    intent, session = d.intent, witness.session
    yield f"order {d.number}: {_words(d, session.instruments)}, by {session.names.get(intent.strategy, 'the command line')}"
    at = d.call.now if d.call else d.route[0][0]
    yield f"decided  {utc(at)} " + (f"in {d.call.callback}, at entry {d.call.entry}" if d.call else "from outside")
    if d.call is not None:
        yield f"  given  {d.call.given}"
        yield from (f"  held   {key} = {value}" for key, value in d.call.state.items())
    yield f"  market {market_words(d.market)}; position {d.position}"
    yield f"risk     {'refused: ' + ', '.join(d.breaches) if d.breaches else 'approved'}"
    for c in d.controls:
        yield f"  {'ok' if c.passed else 'NO'} {c.name:<22} {c.observed:>16} of {c.limit:<16} headroom {c.headroom}"
    yield "way"
    begun = d.route[0][1] if d.route else 0
    for venue, mono, what in d.route:
        yield f"  {utc(venue)}  {(mono - begun) / 1e6:>10.3f} ms  {what}"
    equal = f"{outcome.facts} facts and {outcome.commands} commands equal"
    yield f"replayed {equal}" + ("" if outcome.equal else f", {outcome.different} not: this may not be what happened")


def _quiet(symbol: str, since: int, until: int, witness: Witness, recorded: RecordedRun) -> Iterator[str]:
    session = witness.session
    yield f"{symbol}, {utc(since)} to {utc(until)}"
    wanted = [s.name for s in session.strategies.values() if symbol in s.symbols]
    yield f"  strategies that trade it: {', '.join(wanted) or 'none'}"
    if recorded.began.venue > since:
        yield f"  not recorded before {utc(recorded.began.venue)}"
    if recorded.holes.end.venue < until:
        yield f"  not recorded after {utc(recorded.holes.end.venue)}"
    for latch in witness.latches:
        if latch.ts <= until:
            yield f"  latch {latch.scope} {latch.level} since {utc(latch.ts)}: {latch.code}, {latch.reason}"
    yield from _asked(symbol, since, until, witness)
    idle = [call for call in witness.calls if not call.intents]
    yield f"  {len(witness.calls)} callbacks, {len(idle)} of them asked for nothing"
    for call in idle[:SHOWN]:
        yield from _call(call)
    if len(idle) > SHOWN:
        yield f"    and {len(idle) - SHOWN} more"


def _asked(symbol: str, since: int, until: int, witness: Witness) -> Iterator[str]:
    instruments = witness.session.instruments
    for d in witness.decisions:
        call = d.call
        if call is None or d.intent.instrument != instruments[symbol].id or not since <= call.now <= until:
            continue
        fate = f"refused: {', '.join(d.breaches)}" if d.breaches else f"order {d.number}"
        yield f"  {utc(call.now)} {call.strategy}.{call.callback} asked to {_words(d, instruments)}: {fate}"
        yield from (f"    {c.name} {c.observed} of {c.limit}" for c in d.controls if not c.passed)


def _call(call: Call) -> Iterator[str]:
    yield f"    {utc(call.now)} {call.strategy}.{call.callback}({call.given})"
    if call.state:
        yield "      held " + ", ".join(f"{key} = {value}" for key, value in call.state.items())


def _words(d: Decision, instruments: Instruments) -> str:
    return words(d.intent, instruments) + (f", in place of intent {d.replaces}" if d.replaces else "")


def _instant(text: str, day_of: int) -> int:
    try:
        if "-" in text:
            at = datetime.fromisoformat(text)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
        else:
            clock = datetime.strptime(text, "%H:%M:%S" if text.count(":") == 2 else "%H:%M").replace(tzinfo=UTC)
            day = datetime.fromtimestamp(day_of // SECOND, UTC)
            at = day.replace(hour=clock.hour, minute=clock.minute, second=clock.second, microsecond=0)
    except ValueError:
        raise ConfigError(f"{text!r} is not a time", where="TIME", mend="write 2026-03-02T15:31:00 or 15:31") from None
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
