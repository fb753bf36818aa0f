"""`pyrt why`, `pyrt why-not`: a decision played again, with everything that it went by."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from pyrt.cli.recorded import recorded_runs, recorded_sizer, strategies_of
from pyrt.cli.state import find_state
from pyrt.clock import SECOND
from pyrt.errors import ConfigError
from pyrt.execution.cid import parse_cid
from pyrt.journal import inspect
from pyrt.journal.recorder import Entry, Run
from pyrt.live.replay import Outcome
from pyrt.live.why import Call, Decision, Witness
from pyrt.model import Defined, ExternalSeen, Fact, Instruments, Intended, OrderChanged

SHOWN = 5  # callbacks that why-not shows
Facts = list[tuple[int, int, Fact]]


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
    facts = list(inspect.show(state / "journal"))
    number, seq = _find(order, facts)
    runs = recorded_runs(state)
    at = max((i for i, entries in enumerate(runs) if entries[0].body.seq < seq), default=None)
    if at is None:
        raise ConfigError("that run was not recorded", mend="the recording keeps what fits; `pyrt journal show` has the facts")
    witness, outcome = _play(runs[at], _own(runs, at, facts), ended=_ended(state, runs, at))
    found = [d for d in witness.decisions if d.number == number]
    if not found:
        print(f"pyrt: order {number} did not come out again: see `pyrt replay`", file=sys.stderr)
        raise SystemExit(1)
    print("\n".join(_told(found[0], witness, outcome)))
    if not outcome.equal:
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
    facts = list(inspect.show(state / "journal"))
    runs = recorded_runs(state)
    since = _instant(time, runs[-1][0].now.venue)
    until = since + int(for_ * SECOND)
    chosen = [n for n, entries in enumerate(runs) if entries[0].now.venue <= until and _end(entries) >= since]
    if not chosen:
        spans = ", ".join(f"{_utc(e[0].now.venue)} to {_utc(_end(e))}" for e in runs)
        raise ConfigError(f"nothing was recorded at {time}", where=str(state), mend=f"what was: {spans}")
    known = {fact.instrument.symbol for _, _, fact in facts if isinstance(fact, Defined)}
    if symbol not in known:
        raise ConfigError(f"{symbol} was never watched here", mend=f"use one of {', '.join(sorted(known))}")
    for n in chosen:
        ended = _ended(state, runs, n)
        witness, outcome = _play(runs[n], _own(runs, n, facts), ended=ended, symbol=symbol, since=since, until=until)
        print("\n".join(_quiet(symbol, since, until, witness, runs[n])))
        if not outcome.equal:
            print("pyrt: the session did not come out the same: see `pyrt replay`", file=sys.stderr)
            raise SystemExit(1)


def _find(order: str, facts: Facts) -> tuple[int, int]:
    """(number, seq of the intent) of an order. Raises ConfigError."""
    named = parse_cid(order)
    number = int(order) if order.isascii() and order.isdigit() else named[1] if named else 0
    for _, _, fact in facts:
        if isinstance(fact, OrderChanged) and fact.venue_order_id == order:
            number = fact.number
        elif isinstance(fact, ExternalSeen) and order in (fact.venue_order_id, fact.cid, str(fact.number)):
            raise ConfigError("somebody else made this order", where=order, mend="ask for an order of this journal")
    for seq, _, fact in facts:
        if isinstance(fact, Intended) and fact.number == number:
            return number, seq
    raise ConfigError("no such order", where=order, mend="`pyrt orders --all` lists them")


def _own(runs: list[list[Entry]], at: int, facts: Facts) -> Facts:
    """The facts up to where the next run begins."""
    upto = runs[at + 1][0].body.seq if at + 1 < len(runs) else None
    return [row for row in facts if upto is None or row[0] <= upto]


def _ended(state: Path, runs: list[list[Entry]], at: int) -> bool:
    return at + 1 < len(runs) or inspect.ended(state / "journal")


def _play(entries: list[Entry], facts: Facts, *, ended: bool, **window: Any) -> tuple[Witness, Outcome]:
    run: Run = entries[0].body
    witness = Witness(run, facts, strategies_of(run), recorded_sizer(run), ended=ended, **window)
    return witness, witness.play(entries)


def _told(d: Decision, witness: Witness, outcome: Outcome) -> Iterator[str]:
    intent, session = d.intent, witness.session
    yield f"order {d.number}: {_words(d, session.instruments)}, by {session.names.get(intent.strategy, 'the command line')}"
    at = d.call.now if d.call else d.route[0][0]
    yield f"decided  {_utc(at)} " + (f"in {d.call.callback}, at entry {d.call.entry}" if d.call else "from outside")
    if d.call is not None:
        yield f"  given  {d.call.given}"
        yield from (f"  held   {key} = {value}" for key, value in d.call.state.items())
    m = d.market
    age = f", {m.quote_age:.3f} s old" if m.quote_age >= 0 else ""
    yield f"  market bid {m.bid or 'none'}, ask {m.ask or 'none'}{age}, last {m.last or 'none'}; position {d.position}"
    yield f"risk     {'refused: ' + ', '.join(d.breaches) if d.breaches else 'approved'}"
    for c in d.controls:
        yield f"  {'ok' if c.passed else 'NO'} {c.name:<22} {c.observed:>16} of {c.limit:<16} headroom {c.headroom}"
    yield "way"
    begun = d.route[0][1] if d.route else 0
    for venue, mono, what in d.route:
        yield f"  {_utc(venue)}  {(mono - begun) / 1e6:>10.3f} ms  {what}"
    equal = f"{outcome.facts} facts and {outcome.commands} commands equal"
    yield f"replayed {equal}" + ("" if outcome.equal else f", {outcome.different} not: this may not be what happened")


def _quiet(symbol: str, since: int, until: int, witness: Witness, entries: list[Entry]) -> Iterator[str]:
    session = witness.session
    yield f"{symbol}, {_utc(since)} to {_utc(until)}"
    wanted = [s.name for s in session.strategies.values() if symbol in s.symbols]
    yield f"  strategies that trade it: {', '.join(wanted) or 'none'}"
    if entries[0].now.venue > since:
        yield f"  not recorded before {_utc(entries[0].now.venue)}"
    if _end(entries) < until:
        yield f"  not recorded after {_utc(_end(entries))}"
    for latch in witness.latches:
        if latch.ts <= until:
            yield f"  latch {latch.scope} {latch.level} since {_utc(latch.ts)}: {latch.code}, {latch.reason}"
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
        yield f"  {_utc(call.now)} {call.strategy}.{call.callback} asked to {_words(d, instruments)}: {fate}"
        yield from (f"    {c.name} {c.observed} of {c.limit}" for c in d.controls if not c.passed)


def _call(call: Call) -> Iterator[str]:
    yield f"    {_utc(call.now)} {call.strategy}.{call.callback}({call.given})"
    if call.state:
        yield "      held " + ", ".join(f"{key} = {value}" for key, value in call.state.items())


def _words(d: Decision, instruments: Instruments) -> str:
    i = d.intent
    instrument = instruments[i.instrument]
    words = f"{i.side.name.lower()} {instrument.quantity(i.qty)} {instrument.symbol} {i.type.name.lower()} {i.tif.name.lower()}"
    if i.limit_px:
        words += f" limit {instrument.price(i.limit_px)}"
    if i.stop_px:
        words += f" stop {instrument.price(i.stop_px)}"
    return words + (f", in place of intent {d.replaces}" if d.replaces else "")


def _end(entries: list[Entry]) -> int:
    """Venue ns of the last entry."""
    return entries[-1].now.venue


def _utc(ns: int) -> str:
    return datetime.fromtimestamp(ns // 1000 / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


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
