"""`pyrt resume`: a human opens a latch, with a name and a reason that the journal keeps."""

from pathlib import Path

from pyrt.cli.state import Past, find_state, read_past, signed
from pyrt.clock import Now
from pyrt.errors import ConfigError
from pyrt.journal import Journal
from pyrt.live.control import WHOLE
from pyrt.live.control_socket import ask
from pyrt.live.figures import scope_name
from pyrt.market import MarketData
from pyrt.model import EXTERNAL, Defined, Instruments
from pyrt.monitor import Level, RiskPage
from pyrt.ports import Append, Resume
from pyrt.risk import RiskManager


def resume(*, who: str, why: str, scope: str | None = None, state: Path | None = None) -> None:
    """Open a latch that a control or a kill closed. The journal keeps who did it, and why.

    Parameters
    ----------
    who
        Your name.
    why
        Your reason.
    scope
        system, account, strategy:NAME or a symbol; may be left out where only one is latched.
    state
        The session's state directory; by default the one used last.
    """
    signed("a latch opens", who, why)
    directory = find_state(state)
    past = read_past(directory)
    chosen = _choose(past, scope)
    answer = ask(directory, verb="resume", scope=chosen, who=who, why=why)
    if answer is None:
        _append(directory, Resume(scope=chosen, who=who, why=why), past.last_ts)
    elif not answer["ok"]:
        raise ConfigError(answer["text"], where=str(directory))
    by = "in the journal" if answer is None else "by the running session"
    print(f"{_name(past, chosen)} is open again ({by})")


def _choose(past: Past, wanted: str | None) -> str:
    """The latched scope that is meant, in the journal's words; a symbol alone is its instrument, as for `pyrt kill`."""
    latched = {_name(past, scope): scope for scope in past.session.risk.latches}
    if not latched:
        raise ConfigError("nothing is latched", mend="`pyrt status` shows what is")
    if wanted is None and len(latched) == 1:
        return next(iter(latched.values()))
    if wanted is None:
        raise ConfigError("several scopes are latched", where="--scope", mend=f"name one of {', '.join(latched)}")
    if wanted in latched.values():
        return wanted
    for name in (wanted, f"instrument:{wanted.removeprefix('instrument:').upper()}"):
        if name in latched:
            return latched[name]
    raise ConfigError(f"{wanted!r} is not latched", where="--scope", mend=f"name one of {', '.join(latched)}")


def _name(past: Past, scope: str) -> str:
    return scope_name(scope, {EXTERNAL: "external", **past.session.names}, past.session.instruments)


def _append(directory: Path, wish: Resume, last_ts: int) -> None:
    """Where no run owns the journal: decide as a run would, and wait until it is on the disk."""
    with Journal.open(directory / "journal") as journal:
        instruments = Instruments()
        market = MarketData(instruments)
        risk = RiskManager(instruments, market.refs)
        for _, fact in journal.facts():
            if isinstance(fact, Defined):
                instruments.add(fact.instrument)
            risk.apply(fact)
        # The venue's time is not known here; that of the last fact is never ahead of it, so recovery skips nothing.
        for command in risk.on(wish, Now(last_ts, 0)):
            if isinstance(command, Append):
                journal.append(command.fact, command.sync, last_ts)
                risk.apply(command.fact)
        journal.sync()
    page = RiskPage.find(directory)
    if page is not None:  # the next session takes a page above the journal's latch for one that its journal could not hold
        page.level = max((Level[f.level] for s, f in risk.latches.items() if s in WHOLE), default=Level.ACTIVE)
        page.close()
