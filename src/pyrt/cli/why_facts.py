"""What a journal alone says of an order, in words."""

from collections.abc import Iterator
from datetime import UTC, datetime

from pyrt.clock import SECOND
from pyrt.live.why import Control, Market
from pyrt.live.why_facts import Quiet, Rerun, Told
from pyrt.model import (
    Alarmed,
    BreakSeen,
    CancelWanted,
    EpochOpened,
    Fact,
    Filled,
    Instrument,
    Instruments,
    Intended,
    Intent,
    Latched,
    LimitsSet,
    OrderChanged,
    PositionAdjusted,
    Refused,
)
from pyrt.risk.figures import text
from pyrt.session import Session

LACKS = "what the strategy was given and held, bid, ask and book, and the controls that go by them: only a recording has these"


def lines(told: Told, why: str, market: Market | None) -> Iterator[str]:
    """The answer to `pyrt why`; `why`: what became of the recording, `market`: what is left of it says."""
    fact, intent, session = told.found.fact, told.found.fact.intent, told.session
    instrument = session.instruments[intent.instrument]
    name = strategy_name(session, intent.strategy)
    yield f"order {told.found.number}: {words(intent, session.instruments)}, by {name}" + (
        f"; an exit of order {fact.number}" if told.found.number != fact.number else ""
    )
    yield f"source   the journal alone: {why}"
    ref = f", reference price {instrument.price(fact.ref_px)}" if fact.ref_px else ""
    replaces = f", in place of order {fact.replaces}" if fact.replaces else ""
    by = f"approval {fact.approval} of epoch {fact.epoch}"
    yield f"decided  {utc(fact.ts or told.found.ts)} intent {intent.source} of {name}{replaces}, {by}{ref}"
    for n, leg in enumerate(intent.legs, fact.number + 1):
        yield f"  exit   order {n}: {words(leg, session.instruments)}"
    yield from limits_lines(told.limits, fact.limits_version)
    b, quantity = told.before, instrument.quantity
    yield (
        f"before   position {quantity(b.position)} of {name}, {quantity(b.account)} of the account; {b.open_orders} open orders,"
        f" in {instrument.symbol} to buy {quantity(b.buys)} and to sell {quantity(b.sells)}"
    )
    for latch in b.latches:
        yield f"  latch  {latch.scope} {latch.level} since {utc(latch.ts)}: {latch.code}, {latch.reason}"
    if market is not None:
        yield f"  market {market_words(market)}; by what is left of the recording, with the records of that very instant"
    yield "risk     approved; the controls again, over the facts before it" + (
        f" at {prices(told.rerun, session.instruments)}" if told.rerun.prices else ""
    )
    yield from controls(told.rerun.controls)
    yield "way"
    for _, ts, one in told.own:
        yield f"  {utc(ts)}  {(ts - told.found.ts) / 1e6:>10.3f} ms  {happened(one, instrument, told.found.number)}"
    yield f"again    {verdict(told.rerun)}"
    yield f"lacking  {LACKS}"


def quiet_lines(symbol: str, since: int, until: int, quiet: Quiet, why: str) -> Iterator[str]:
    """The answer to `pyrt why-not`; `why`: what became of the recording."""
    session = quiet.session
    instrument = session.instruments[symbol]
    yield f"{symbol}, {utc(since)} to {utc(until)}"
    yield f"  the journal alone: {why}"
    yield f"  the last fact before is of {utc(quiet.before)}" if quiet.before else "  the journal begins then"
    if quiet.after and not quiet.rows:
        yield f"  the next fact is of {utc(quiet.after)}"
    yield from (f"  {line}" for line in limits_lines(quiet.limits, 0))
    yield f"  the account's position: {instrument.quantity(quiet.position)}"
    yield f"  strategies: {', '.join(session.names.values()) or 'none'}"
    for latch in quiet.latches:
        yield f"  latch {latch.scope} {latch.level} since {utc(latch.ts)}: {latch.code}, {latch.reason}"
    for ts, fact, rerun in quiet.rows:
        yield f"  {utc(ts)} {_told(fact, session)}"
        if isinstance(fact, Refused):
            for b in fact.breaches:
                rule = f", rule {b.rule}" if b.rule else ""
                yield f"    {b.code}: {b.observed} of {b.limit}{rule}" + (f"; {b.mend}" if b.mend else "")
        if rerun is not None:
            yield f"    again: {verdict(rerun)}"
    yield f"  lacking: whom the market called and who asked for nothing, {LACKS}"


def _told(fact: Fact, session: Session) -> str:
    match fact:
        case Intended():
            who = strategy_name(session, fact.intent.strategy)
            return f"{who} asked to {words(fact.intent, session.instruments)}: order {fact.number}"
        case Refused():
            who = strategy_name(session, fact.intent.strategy)
            codes = ", ".join(b.code for b in fact.breaches)
            return f"{who} asked to {words(fact.intent, session.instruments)}: refused: {codes}"
        case Latched():
            return f"latch {fact.scope} {fact.level} by {fact.who}: {fact.code}, {fact.reason}"
        case LimitsSet():
            return f"limits version {fact.version} by {fact.who}: {fact.why}"
        case Alarmed():
            return f"alarm {fact.severity} {fact.code}: {fact.text}"
        case BreakSeen(difference=0):
            return "the venue's position agrees again"
        case BreakSeen():
            return (
                f"the venue has {text(fact.difference, 'qty', session.instruments[fact.instrument].qty_exp)} that no fill explains"
            )
        case PositionAdjusted():
            qty = text(fact.qty, "qty", session.instruments[fact.instrument].qty_exp)
            return f"position of {session.names.get(fact.strategy, 'nobody here')} changed by {qty}: {fact.reason}"
        case EpochOpened():
            return f"a life began: epoch {fact.epoch}"
    return type(fact).__name__.lower()


def market_words(m: Market) -> str:
    """What the market last said."""
    age = f", {m.quote_age:.3f} s old" if m.quote_age >= 0 else ""
    return f"bid {m.bid or 'none'}, ask {m.ask or 'none'}{age}, last {m.last or 'none'}"


def limits_lines(limits: LimitsSet | None, version: int) -> Iterator[str]:
    """Which limits were in force, and by whom."""
    if limits is None:
        yield "limits   none were set yet"
        return
    other = f"; the order names version {version}" if version not in (0, limits.version) else ""
    yield f"limits   version {limits.version}, set {utc(limits.ts)} by {limits.who}: {limits.why}{other}"


def controls(found: list[Control]) -> Iterator[str]:
    """Every control with its headroom."""
    for c in found:
        yield f"  {'ok' if c.passed else 'NO'} {c.name:<22} {c.observed:>16} of {c.limit:<16} headroom {c.headroom}"


def verdict(rerun: Rerun) -> str:
    """Whether the decision comes out again on the facts."""
    then = "refused: " + ", ".join(rerun.recorded) if rerun.recorded else "approved"
    if rerun.different:
        now = "refused: " + ", ".join(rerun.again) if rerun.again else "approved"
        return f"{now}; recorded {then}: NOT the same, by {', '.join(rerun.different)}"
    by = "what is no fact"
    if rerun.may_change:
        by = "what is no fact, or by the order that it was to change, which a refusal does not name"
    open_ = f"; {', '.join(rerun.unproved)} went by {by}, and is not shown again" if rerun.unproved else ""
    return f"{then}: the same, as far as facts decide{open_}"


def prices(rerun: Rerun, instruments: Instruments) -> str:
    """The prices that a decision went by when it was made again."""
    return ", ".join(f"{instruments[i].symbol} {instruments[i].price(px)} ({which})" for i, (px, which) in rerun.prices.items())


def happened(fact: Fact, instrument: Instrument, number: int) -> str:
    """One fact of an order in words; others than its own are named."""
    told = type(fact).__name__.lower()
    if isinstance(fact, Intended):
        told = "intended" if not fact.replaces or fact.number == number else f"order {fact.number} is to take its place"
    elif isinstance(fact, OrderChanged):
        told = fact.status.name.lower() + (f": {fact.reason}" if fact.reason else "")
    elif isinstance(fact, CancelWanted):
        told = "nobody wants it: cancelled when the venue shows it"
    elif isinstance(fact, Filled):
        told = f"filled {text(fact.qty, 'qty', instrument.qty_exp)} at {text(fact.px, 'px')}, told by {fact.source}"
    whose = number if isinstance(fact, Intended) else getattr(fact, "number", number)
    return told if whose == number else f"order {whose}: {told}"  # of the group


def strategy_name(session: Session, strategy: int) -> str:
    """The name of a strategy's id."""
    return session.names.get(strategy, "the command line")


def words(i: Intent, instruments: Instruments) -> str:
    """What an intent wants."""
    instrument = instruments[i.instrument]
    told = f"{i.side.name.lower()} {instrument.quantity(i.qty)} {instrument.symbol} {i.type.name.lower()} {i.tif.name.lower()}"
    if i.limit_px:
        told += f" limit {instrument.price(i.limit_px)}"
    if i.stop_px:
        told += f" stop {instrument.price(i.stop_px)}"
    return told


def utc(ns: int) -> str:
    """A time of the venue, to the microsecond."""
    whole, rest = divmod(ns, SECOND)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%d %H:%M:%S}.{rest // 1000:06d}"
