"""`python -m pyrt kill`: the kill switch of running sessions, or of the next one."""

import getpass
import secrets
import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pyrt.errors import ConfigError
from pyrt.live.control import WHOLE, KillReport, KillRequest, ask, report
from pyrt.monitor import Level
from pyrt.monitor.block import is_running, running, state_home

UNVERIFIED = 3


def kill(
    *,
    why: str,
    who: str = "",
    level: str = "KILLED",
    scope: str = "system",
    everything: Annotated[bool, Parameter(name="--all", negative="")] = False,
    state: Path | None = None,
    wait: float = 60.0,
) -> None:
    """Stop trading now: no further order leaves, what works is cancelled and verified gone, the latch survives restarts.

    pyrt kill --why "the model is wrong"
    pyrt kill --level REDUCING --scope AAPL --who jane --why "earnings"

    Parameters
    ----------
    why
        The reason, for the journal.
    who
        Your name; by default the user that is logged in.
    level
        REDUCING (orders that reduce positions stay allowed), HALTED, or KILLED.
    scope
        system, account, strategy:NAME, or a symbol.
    everything
        Cancel the orders of others on the account too, those placed by hand or by another program. Only with system or account, and
        not with REDUCING; give it again where the session ends before it is verified.
    state
        State directory of the session; without it every running session is meant.
    wait
        Seconds to wait for the proof that nothing is left at the venue. Exit status 3 when it does not come.
    """
    request = KillRequest(level=level.upper(), scope=scope, who=who or getpass.getuser(), why=why, everything=everything)
    if request.level not in Level.__members__ or request.level == "ACTIVE":
        raise ConfigError(f"no level {level!r}", where="--level", mend="use REDUCING, HALTED or KILLED")
    if scope not in WHOLE and not scope.partition(":")[2] and not scope.replace("/", "").replace(".", "").isalnum():
        raise ConfigError(f"no scope {scope!r}", where="--scope", mend="use system, account, strategy:NAME or a symbol")
    if everything and (scope not in WHOLE or request.level == "REDUCING"):
        raise ConfigError("--all cancels all of an account", where="--all", mend="leave out --scope and --level, or --all")
    homes = [state] if state is not None else running()
    if not homes:
        raise ConfigError("no session runs", where=str(state_home()), mend="name its directory with --state")
    asked = [(home, _ask(home, request)) for home in homes]  # all are blocked before the first is waited for
    give_up = time.monotonic() + wait
    proved = [_wait(home, name, request, give_up) for home, name in asked]
    if not all(proved):
        raise SystemExit(UNVERIFIED)


def _ask(home: Path, request: KillRequest) -> str:
    if not home.is_dir():
        raise ConfigError("there is no such directory", where=str(home), mend="name a session's state directory")
    request.id = secrets.token_hex(8)
    try:
        ask(home, request)
    except OSError as e:
        raise ConfigError(f"the request cannot be written: {e.strerror}", where=str(home), mend="send SIGUSR1 instead") from None
    return request.id


def _wait(home: Path, id: str, request: KillRequest, give_up: float) -> bool:
    """Follow the session's report; whether it ended well."""
    begun, answer = time.monotonic(), None
    while time.monotonic() < give_up:
        answer = report(home, id) or answer
        if answer is not None and (answer.failed or (answer.durable and answer.verified)):
            break
        if answer is None and not is_running(home):
            print(f"{home}: no session runs here; the next one starts {request.level} ({request.scope})", file=sys.stderr)
            return False
        time.sleep(0.05)
    print(_line(home, request, answer, time.monotonic() - begun))
    return answer is not None and answer.durable and answer.verified and not answer.failed


def _line(home: Path, request: KillRequest, answer: KillReport | None, seconds: float) -> str:
    name = f"{home}: {request.scope} {request.level}"
    if answer is None:
        return f"{name}: the session does not answer; no order leaves it, its watchdog cancels what works"
    if answer.failed:
        return f"{name}: {answer.failed}"
    latch = "latch durable" if answer.durable else "latch not yet durable"
    proof = "verified twice" if answer.verified else "not verified"
    return f"{name}: {latch}, {answer.open} open orders left, {proof}, {seconds:.1f} s"
