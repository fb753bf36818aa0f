"""`pyrt limits`: show the limits in force, change them by name with a reason; what loosens is asked for twice."""

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from pyrt.cli.state import Past, find_state, read_past, signed
from pyrt.clock import Now
from pyrt.errors import ConfigError
from pyrt.journal import Journal
from pyrt.journal.inspect import show as facts_of
from pyrt.live.control_socket import ask
from pyrt.market import MarketData
from pyrt.model import Defined, Instruments, LimitsSet
from pyrt.ports import Append, SetLimits
from pyrt.risk import Limits, RiskManager
from pyrt.risk.names import plain

_EXAMPLES = """What is in force; less of one; more of it, which is told a token and asked for again:

    pyrt limits show
    pyrt limits set max_order_qty=500 --who anna --why "calm down"
    pyrt limits set max_order_qty=1000 symbols.AAPL.collar_bps=300 --who anna --why "back to normal"
    pyrt limits set max_order_qty=1000 symbols.AAPL.collar_bps=300 --who anna --why "back to normal" --confirm 0123456789
"""
app = App(name="limits", help="Show the risk limits in force, or change them.", help_epilogue=_EXAMPLES)


@app.command
def show(*, state: Path | None = None, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Show every limit that is in force, with its version and who set it.

    Parameters
    ----------
    state
        The session's state directory; by default the one used last.
    json
        As one JSON object, for a program.
    """
    directory = find_state(state)
    past = read_past(directory)
    risk = past.session.risk
    last = next((f for _, _, f in reversed(list(facts_of(directory / "journal"))) if isinstance(f, LimitsSet)), None)
    if json:
        told = {"version": risk.limits_version, "who": last.who if last else "", "why": last.why if last else ""}
        print(msgspec.json.encode(told | {"limits": risk.limits.values()}).decode())
        return
    by = f", by {last.who}: {last.why}" if last else ", the profile `paper`: no session has begun"
    print(f"# version {risk.limits_version}{by}")
    for name, value in risk.limits.values().items():
        print(f"{name} = {msgspec.json.encode(value).decode()}")


@app.command(name="set")
def set_(
    *changes: str,
    who: str,
    why: str,
    confirm: str = "",
    state: Path | None = None,
) -> None:
    """Change limits. Tighter ones act at once; for looser ones you are told a token, and give it with --confirm.

    Parameters
    ----------
    changes
        NAME=VALUE, one or more; symbols.AAPL.NAME=VALUE for one symbol; off switches an optional limit off.
    who
        Your name.
    why
        Your reason.
    confirm
        The token that you were told for exactly these changes.
    state
        The session's state directory; by default the one used last.
    """
    signed("limits change", who, why)
    directory = find_state(state)
    past = read_past(directory)
    values = msgspec.json.encode(_values(changes, past.session.risk.limits)).decode()
    answer = ask(directory, verb="limits", limits=values, who=who, why=why, token=confirm)
    by = "in the journal" if answer is None else "by the running session"
    if answer is None:
        answer = _append(directory, past, SetLimits(limits=values, who=who, why=why, token=confirm))
    if answer.get("token"):
        print(f"looser: {', '.join(answer['looser'])}", file=sys.stderr)
        print(f"nothing has changed; to confirm, ask again with --confirm {answer['token']}", file=sys.stderr)
        raise SystemExit(1)
    if not answer["ok"]:
        raise ConfigError(answer["text"], where=str(directory))
    print(f"limits version {answer['version']} is in force ({by})")


def _values(changes: tuple[str, ...], now: Limits) -> dict[str, Any]:
    if not changes:
        raise ConfigError("nothing to change", where="limits set", mend="name one: max_order_qty=500")
    values: dict[str, Any] = {}
    for change in changes:
        name, given, value = change.partition("=")
        if not given:
            raise ConfigError(f"{change!r} changes nothing", where="limits set", mend="write NAME=VALUE")
        path = name.split(".")
        if path[0] == "symbols" and len(path) >= 3:  # a symbol may have a point in it
            symbol = ".".join(path[1:-1])
            values.setdefault("symbols", {s: dict(own) for s, own in now.values()["symbols"].items()})
            symbol = next((s for s in values["symbols"] if plain(s) == plain(symbol)), symbol)  # as it was written first
            values["symbols"].setdefault(symbol, {})[path[-1]] = _value(value)
        else:
            values[name] = _value(value)
    return values


def _value(text: str) -> Any:
    """As in a file: a number, true, a list ...; anything else is a word."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return text if isinstance(value, float) else value


def _append(directory: Path, past: Past, wish: SetLimits) -> dict[str, Any]:
    """Where no run owns the journal: decide as a run would, and wait until it is on the disk."""
    with Journal.open(directory / "journal") as journal:
        instruments = Instruments()
        risk = RiskManager(instruments, MarketData(instruments).refs)
        for _, fact in journal.facts():
            if isinstance(fact, Defined):
                instruments.add(fact.instrument)
            risk.apply(fact)
        limits = risk.changed(wish.limits)
        looser = risk.needs_confirmation(limits, wish.token)
        if looser:
            return {"ok": False, "looser": looser, "token": risk.confirmation(limits)}
        # The venue's time is not known here; that of the last fact is never ahead of it.
        for command in risk.propose(limits, who=wish.who, why=wish.why, now=Now(past.last_ts, 0), token=wish.token):
            if isinstance(command, Append):
                journal.append(command.fact, command.sync, past.last_ts)
                risk.apply(command.fact)
        journal.sync()
        return {"ok": True, "version": risk.limits_version}
