"""`python -m pyrt sim`: the venue in the box, on one loopback port."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from pyrt.config import Veiled
from pyrt.errors import ConfigError
from pyrt.venues.sim.actions import read_actions
from pyrt.venues.sim.server.access import read_accounts
from pyrt.venues.sim.server.config import DEMO_KEY, DEMO_SECRET, Listening, SimConfig
from pyrt.venues.sim.server.server import serve
from pyrt.venues.sim.settings import read_cash, read_count, read_speed, read_start


class _Keys(Veiled, frozen=True):
    key: str = ""
    secret: str = ""


def sim(
    *,
    port: int = 0,
    key: str = DEMO_KEY,
    secret: str = DEMO_SECRET,
    market: str = "generated",
    seed: int = 0,
    speed: str = "1",
    rate_limit: int = 200,
    cash: str = "100000",
    accounts: Path | None = None,
    start: str = "",
    state: Path | None = None,
    calendar: bool = False,
    actions: Path | None = None,
    faults: Path | None = None,
    control_fd: Annotated[int | None, Parameter(show=False)] = None,
) -> None:
    """Run the venue in the box: an exchange that speaks Alpaca's protocol, until Ctrl-C.

    Parameters
    ----------
    port
        Port on 127.0.0.1; 0 takes any free one and prints it.
    key
        API key that clients must show; by default a demonstration pair.
    secret
        Its secret. Every user of the machine can read arguments: give a secret of your own over --control-fd.
    market
        Where prices come from.
    seed
        The same seed generates the same market.
    speed
        Venue seconds a second, or `max`: as fast as the data client takes it, standing still while nobody has subscribed.
    rate_limit
        Trading requests a minute before 429; 0 = no limit.
    cash
        What a new account begins with.
    accounts
        TOML file of further accounts, each an [[account]] with key and secret, and cash = "50000", multiplier = 4 where wanted.
    start
        The venue's time at which a new venue begins, e.g. 2026-03-02T14:30:00Z; by default the real time.
    state
        Directory that keeps account, orders and the venue's clock; each change is in it before anybody is told.
    calendar
        Trade in the hours of XNYS; without it the venue never closes.
    actions
        Corporate actions that are to happen: a TOML file of [[action]] tables, or a JSON list.
    faults
        TOML file of what goes wrong and when: [[fault]] tables with at, kind, for and the settings of the kind.
    control_fd
        An inherited pipe. Its first line is a JSON object, {} or {"key", "secret"}; when it closes, the venue saves and ends.
    """
    keys = _Keys(key, secret)
    if control_fd is not None:
        keys = _read_keys(control_fd, keys)
    config = SimConfig(
        port=read_count(port, 65_535, "--port"),
        key=keys.key,
        secret=keys.secret,
        market=market,
        seed=read_count(seed, 2**63 - 1, "--seed"),
        speed=read_speed(speed, "--speed"),
        rate_limit=read_count(rate_limit, 10**9, "--rate-limit"),
        cash=read_cash(cash, "--cash"),
        accounts=read_accounts(accounts) if accounts else (),
        start=read_start(start, "--start"),
        calendar=calendar,
        actions=read_actions(actions) if actions else (),
        state=str(state) if state else "",
        faults=str(faults) if faults else "",
    )
    asyncio.run(_serve(config, control_fd))


async def _serve(config: SimConfig, control_fd: int | None) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if control_fd is not None:
        loop.add_reader(control_fd, _hear, control_fd, loop, stop)
    await serve(config, stop, ready=_announce)


def _hear(fd: int, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(fd, 4096):
        loop.remove_reader(fd)
        stop.set()


def _announce(listening: Listening) -> None:
    # A secret of the user's own is not printed.
    shown = listening if listening.secret == DEMO_SECRET else msgspec.structs.replace(listening, secret="***")  # noqa: S106
    print(msgspec.json.encode(shown).decode())
    print(
        f"pyrt sim: REST {shown.url}  data {shown.data_url}  trading {shown.stream_url}  key {shown.key}  secret {shown.secret}",
        flush=True,
    )


def _read_keys(fd: int, default: _Keys) -> _Keys:
    where = f"--control-fd {fd}"
    line = b""
    try:
        while not line.endswith(b"\n") and (byte := os.read(fd, 1)):
            line += byte
        given = msgspec.json.decode(line or b"{}", type=_Keys)
    except OSError as e:
        raise ConfigError(f"cannot read the control pipe: {e.strerror}", where=where, mend="pass an inherited fd") from None
    except msgspec.DecodeError:
        mend = 'write {} or {"key": ..., "secret": ...} and a line end'
        raise ConfigError("the first line of the control pipe is not what it should be", where=where, mend=mend) from None
    if bool(given.key) != bool(given.secret):
        raise ConfigError("a key without its secret", where=where, mend="give both or neither")
    return given if given.key else default
