"""`python -m pyrt run`: one live session, on the simulated venue unless another is named."""

import logging
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from pyrt.cli.connect import connect, limits_of, plan_of, sizer_of
from pyrt.cli.strategies import load_configured
from pyrt.config import load_config
from pyrt.config.log_limit import LogLimit
from pyrt.errors import ConfigError
from pyrt.live import Plan, Runner, Summary, loop
from pyrt.live.control_socket import ControlSocket
from pyrt.live.day_report import DayEnd
from pyrt.live.loop import Pin
from pyrt.live.notify import notifier
from pyrt.process import steady_memory

EXAMPLES = ("pyrt.strategies.sma_cross:SmaCross", "pyrt.strategies.quote_maker:QuoteMaker")
_DURATIONS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def run(
    *,
    config: Annotated[list[Path] | None, Parameter(consume_multiple=False, negative="")] = None,
    strategy: Annotated[list[str] | None, Parameter(consume_multiple=False, negative="")] = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", consume_multiple=False, negative="")] = None,
    symbols: str | None = None,
    venue: str | None = None,
    account: str | None = None,
    for_: Annotated[str | None, Parameter(name="--for")] = None,
    view: bool | None = None,
    sim_state: Path | None = None,
    sim_url: str | None = None,
    seed: int | None = None,
    speed: str | None = None,
    journal: Path | None = None,
    limits: Path | None = None,
    durability: str | None = None,
    dry_run: bool | None = None,
    deadline: float | None = None,
    settle: float | None = None,
    rate_limit: int | None = None,
    watchdog: bool | None = None,
    silence: float | None = None,
    data_down: float | None = None,
    segment_size: Annotated[int, Parameter(show=False)] = 64 << 20,
    snapshot_facts: Annotated[int, Parameter(show=False)] = 20_000,
) -> None:
    """Trade: by default two example strategies on a simulated venue with a new account, until Ctrl-C.

    Parameters
    ----------
    config
        TOML file with sections, or JSON file of one component; may be repeated, later files win, options win over files.
    strategy
        FILE.py, FILE.py:Class, dotted.name:Class or the name of an entry point; may be repeated.
    set_
        A parameter of a strategy: Class.name=value; may be repeated.
    symbols
        What every strategy trades instead of its own `symbols`, with commas between.
    venue
        sim (the default; keys in the environment never change it) or alpaca-paper. alpaca-live wants a build whose fault programme
        passed, every limit named and --account; without them it is refused.
    account
        The id that the venue's account must have, or the session does not begin.
    for_
        How long: 30s, 5m, 2h. Without it until Ctrl-C.
    view
        Draw the session on the screen; the default where the output is a terminal. Otherwise log lines.
    sim_state
        Directory that keeps the simulated account and our journal; a later run finds both again.
    sim_url
        Use the simulated venue that answers there instead of starting one; its keys come from the environment.
    seed
        The simulated market's seed.
    speed
        Simulated seconds a second.
    journal
        State directory; by default one per venue and account in the state home.
    limits
        TOML file that names every risk limit; without it the profile `paper` and the section [risk].
    durability
        sync (an order waits for the disk), group:MS or os (survives kill -9, not power loss).
    dry_run
        Decide everything, send nothing.
    deadline
        Seconds after which a request without an answer counts as ambiguous.
    settle
        Seconds more until a request that left can no longer land.
    rate_limit
        Trading requests a minute, until the venue names its own limit; 0 = no limit. A simulated venue that we start gets the same.
    watchdog
        A child process that cancels entries (not exits) when this process dies, hangs, or loses its market data.
    silence
        Seconds without a sign of life after which it does.
    data_down
        Seconds without the data feed after which it does.
    """
    start_log()
    steady_memory()  # before the venue's adapter begins its first threads
    options: dict[str, dict[str, Any]] = {
        "venue": {"name": venue, "state": text(sim_state), "url": sim_url, "seed": seed, "speed": speed},
        "market": {"symbols": None if symbols is None else [s for s in symbols.split(",") if s.strip()]},
        "execution": {
            "dry_run": dry_run,
            "deadline_secs": deadline,
            "settle_secs": settle,
            "rate_limit_per_minute": rate_limit,
            "watchdog": watchdog,
            "silence_secs": silence,
            "data_down_secs": data_down,
        },
        "journal": {"directory": text(journal), "durability": durability},
    }
    loaded = load_config(config or (), options)
    for notice in loaded.notices:
        logging.getLogger("pyrt").info(notice)
    duration = None if for_ is None else seconds(for_)
    strategies = load_configured(loaded, strategy or [], set_ or [], EXAMPLES)
    bounds = limits_of(loaded, limits)
    sizer_of(loaded.config)
    with ExitStack() as stack:
        venue_ = connect(stack, loaded.config, account)
        plan = plan_of(loaded, venue_, strategies, bounds)
        day_end = DayEnd(plan.directory, venue_.link)
        plan.companions.append(day_end)
        plan.duration = duration
        plan.segment_size, plan.snapshot_facts = segment_size, snapshot_facts
        try:
            if loaded.config.execution.cpu >= 0:
                plan.companions.append(Pin(loaded.config.execution.cpu))
            summary = trade(plan, sys.stdout.isatty() if view is None else view, loaded.config.execution.busy_poll)
        except KeyboardInterrupt:
            left = "the watchdog cancels entries" if plan.watchdog else "what works at the venue stays"
            print(f"pyrt: ended at once; {left}, the next run recovers the rest", file=sys.stderr)
            raise SystemExit(130) from None
        print("\n".join(summary.lines()), flush=True)
        day_end.finish()
    if summary.failed:
        print(f"pyrt: {summary.failed}", file=sys.stderr)
        raise SystemExit(2)


def trade(plan: Plan, view: bool = False, busy_poll: bool = False) -> Summary:
    """Run a session with its control socket, and with the console view where it is wanted."""
    logging.getLogger("pyrt").info("venue %s, account %s, state in %s", plan.link.name, plan.link.account_id, plan.directory)
    control = ControlSocket(plan.directory)
    plan.companions += [control, loop.Settled()]
    plan.listeners.append(control.watch.hear)
    if (manager := notifier()) is not None:
        plan.companions.append(manager)
    if view:
        from rich.console import Console

        from pyrt.live.view import View

        shown = View(Console())
        plan.companions.append(shown)
        plan.listeners.append(shown.watch.hear)
    return loop.run(_session(plan), busy_poll=busy_poll)


async def _session(plan: Plan) -> Summary:
    return await Runner(plan).run()


def start_log(level: int = logging.INFO) -> None:
    """Log lines go to standard error."""
    logging.getLogger("picows").setLevel(logging.WARNING)  # a line for every connection
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        if not any(isinstance(f, LogLimit) for f in handler.filters):
            handler.addFilter(LogLimit())


def text(path: Path | None) -> str | None:
    """A path as the configuration keeps it."""
    return None if path is None else str(path)


def seconds(duration: str) -> float:
    """Read 30s, 5m or 2h. Raises ConfigError."""
    number, unit = duration[:-1], duration[-1:]
    try:
        value = float(number) * _DURATIONS[unit]
    except (KeyError, ValueError):
        value = -1.0
    if not 0.0 <= value < 1e9:
        raise ConfigError(f"{duration!r} is not a duration", where="--for", mend="write 30s, 5m or 2h")
    return value
