"""`python -m pyrt run`: one live session, on the simulated venue unless another is named."""

import asyncio
import logging
import os
import secrets
import sys
import tomllib
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pyrt.cli.strategies import load_strategies
from pyrt.config import Secret
from pyrt.errors import ConfigError
from pyrt.execution import Settings
from pyrt.live import Plan, Runner, Summary
from pyrt.risk import Limits
from pyrt.venues.alpaca.keys import LIVE, PAPER, SIM, Keys, check_url, load_keys
from pyrt.venues.alpaca.link import PAPER as PAPER_ADDRESSES
from pyrt.venues.alpaca.link import Addresses, AlpacaLink
from pyrt.venues.sim.child import SimProcess

EXAMPLES = ("pyrt.strategies.sma_cross:SmaCross", "pyrt.strategies.quote_maker:QuoteMaker")
_DURATIONS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def run(
    *,
    strategy: Annotated[list[str] | None, Parameter(consume_multiple=False)] = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", consume_multiple=False)] = None,
    symbols: str | None = None,
    venue: str = SIM,
    for_: Annotated[str | None, Parameter(name="--for")] = None,
    sim_state: Path | None = None,
    sim_url: str | None = None,
    seed: int = 0,
    speed: str = "1",
    journal: Path | None = None,
    limits: Path | None = None,
    durability: str = "sync",
    dry_run: bool = False,
    deadline: float = 10.0,
    settle: float = 5.0,
    rate_limit: int = 200,
    watchdog: bool = True,
    silence: float = 5.0,
    data_down: float = 10.0,
    segment_size: Annotated[int, Parameter(show=False)] = 64 << 20,
) -> None:
    """Trade: by default two example strategies on a simulated venue with a new account, until Ctrl-C.

    pyrt run --for 30s
    pyrt run --strategy my.py:Breakout --set Breakout.lookback=30 --symbols AAPL,TSLA
    APCA_API_KEY_ID=... APCA_API_SECRET_KEY=... pyrt run --venue alpaca-paper --strategy my.py

    Parameters
    ----------
    strategy
        FILE.py, FILE.py:Class, dotted.name:Class or the name of an entry point; may be repeated.
    set_
        A parameter of a strategy: Class.name=value; may be repeated.
    symbols
        What every strategy trades instead of its own `symbols`, with commas between.
    venue
        sim (the default; keys in the environment never change it) or alpaca-paper. alpaca-live is refused.
    for_
        How long: 30s, 5m, 2h. Without it until Ctrl-C.
    sim_state
        Directory that keeps the simulated account and our journal; a later run finds both again.
    sim_url
        Use the simulated venue that answers there instead of starting one; its keys come from the environment.
    seed
        The simulated market's seed.
    speed
        Simulated seconds a second.
    journal
        Directory of the journal; by default one per venue and account under the state directory.
    limits
        TOML file of risk limits; without it the profile `paper`.
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
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    strategies = load_strategies(strategy or list(EXAMPLES), set_ or [], symbols)
    with ExitStack() as stack:
        link, home = _connect(stack, venue, sim_state, sim_url, seed, speed, rate_limit)
        plan = Plan(
            link=link,
            directory=journal or home,
            strategies=strategies,
            limits=_limits(limits),
            settings=Settings(deadline=_ns(deadline), settle=_ns(settle), rate=link.clock.rate),
            duration=None if for_ is None else _seconds(for_),
            durability=durability,
            dry_run=dry_run,
            watchdog=watchdog,
            silence=silence,
            data_down=data_down,
            segment_size=segment_size,
        )
        logging.getLogger("pyrt").info("venue %s, account %s, state in %s", link.name, link.account_id, plan.directory)
        try:
            summary = asyncio.run(_session(plan))
        except KeyboardInterrupt:
            left = "the watchdog cancels entries" if watchdog else "what works at the venue stays"
            print(f"pyrt: ended at once; {left}, the next run recovers the rest", file=sys.stderr)
            raise SystemExit(130) from None
    print("\n".join(summary.lines()))
    if summary.failed:
        print(f"pyrt: {summary.failed}", file=sys.stderr)
        raise SystemExit(2)


async def _session(plan: Plan) -> Summary:
    return await Runner(plan).run()


def _connect(
    stack: ExitStack, venue: str, sim_state: Path | None, sim_url: str | None, seed: int, speed: str, rate_limit: int
) -> tuple[AlpacaLink, Path]:
    if venue == SIM and sim_url:
        link = AlpacaLink(SIM, _loopback(sim_url), load_keys(), rate_limit=rate_limit)
        return link, sim_state or state_home() / f"sim-{link.account_id}"
    if venue == SIM:
        home = sim_state or state_home() / f"sim-{secrets.token_hex(4)}"
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        sim = stack.enter_context(SimProcess(state=home / "venue", seed=seed, speed=speed, rate_limit=rate_limit))
        keys = Keys(Secret(sim.address.key), Secret(sim.address.secret))
        return AlpacaLink(SIM, _loopback(sim.address.url), keys, rate_limit=rate_limit), home
    if venue == PAPER:
        link = AlpacaLink(PAPER, PAPER_ADDRESSES, load_keys(), rate_limit=rate_limit)
        return link, state_home() / f"{PAPER}-{link.account_id}"
    if venue == LIVE:
        check_url("https://api.alpaca.markets", LIVE)
    raise ConfigError(f"no venue {venue!r}", where="--venue", mend=f"use {SIM} or {PAPER}")


def _loopback(url: str) -> Addresses:
    stream = "ws" + url.removeprefix("http")
    return Addresses(trading=url, data=url, stream=stream, updates=stream)


def state_home() -> Path:
    """Where journals live unless told otherwise: $XDG_STATE_HOME/pyrt, else ~/.local/state/pyrt."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "pyrt"


def _limits(file: Path | None) -> Limits:
    if file is None:
        return Limits.profile("paper")
    try:
        return Limits.of(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as e:
        raise ConfigError(f"cannot be read: {e.strerror}", where=str(file), mend="check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigError(f"is not TOML: {e}", where=str(file), mend="see the profile `paper` for an example") from None


def _seconds(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    try:
        return float(number) * _DURATIONS[unit]
    except (KeyError, ValueError):
        raise ConfigError(f"{text!r} is not a duration", where="--for", mend="write 30s, 5m or 2h") from None


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
