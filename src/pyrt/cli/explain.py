"""`pyrt explain`: a human says what shares are that the venue has and no fill explains, with a reason that the journal keeps."""

import getpass
import sys
from pathlib import Path
from typing import Any

from pyrt.cli.state import find_state, signed
from pyrt.errors import ConfigError
from pyrt.live.control_socket import ask


def explain(
    symbol: str,
    *,
    why: str,
    quantity: str = "",
    to: str = "",
    cost: str = "",
    who: str = "",
    state: Path | None = None,
) -> None:
    """Book a difference between the venue's position and the journal's (alarm POSITION_BREAK) on your word.

    A transfer, a spin-off, a change of name: shares that come or go without an order. Without --quantity you are told the
    difference and nothing is booked; with it exactly that is booked, and refused where the venue shows another one by now. Cash
    does not change. `pyrt resume --scope SYMBOL` lets the symbol trade again. Needs the session to run, because only it knows what
    the venue has now.

    Parameters
    ----------
    symbol
        Whose position differs.
    why
        Your reason: what these shares are.
    quantity
        The difference as you were told it: what the venue has more (-5: less).
    to
        The strategy that gets the shares, or loses them; by default nobody (EXTERNAL).
    cost
        What one share counts as having cost; by default its price now, so that the day's result does not move.
    who
        Your name; by default the user's.
    state
        The session's state directory; by default the one used last.
    """
    who = who or getpass.getuser()
    signed("a difference is explained", who, why)
    directory = find_state(state)
    wish = {"symbol": symbol, "who": who, "why": why, "to": to, "cost": cost, "quantity": quantity}
    answer = ask(directory, verb="explain", **wish)
    if answer is None:
        mend = "start it, and explain while it runs: what is not explained only reduces"
        raise ConfigError("no session runs, and only one that runs knows what the venue has", where=str(directory), mend=mend)
    if answer["text"]:
        raise ConfigError(f"nothing is booked: {answer['text']}", where=str(directory))
    if not quantity:
        _tell(answer)
        raise SystemExit(1)
    if not answer["ok"]:
        raise ConfigError("refused; see the run's log", where=str(directory))
    print(f"{answer['symbol']}: {answer['difference']} at {answer['price']} booked to {answer['to']} (by the running session)")
    if answer["latched"]:
        print(f"it is still latched: pyrt resume --scope {answer['symbol']} --who NAME --why TEXT", file=sys.stderr)


def _tell(answer: dict[str, Any]) -> None:
    there, here, difference = (answer[name] for name in ("there", "here", "difference"))
    print(f"{answer['symbol']}: the venue has {there}, the journal {here}: a difference of {difference}", file=sys.stderr)
    to = f"to book it to {answer['to']} at {answer['price']}, ask again with --quantity={difference}"
    print(f"nothing is booked; {to}", file=sys.stderr)
