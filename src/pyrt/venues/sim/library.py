"""The venue for a test or a notebook: a server in a thread of this process, on a free port, and its handle."""

import asyncio
import atexit
import contextlib
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import requests

from pyrt.errors import ConfigError, PyrtError
from pyrt.venues.sim.server.config import Listening, SimConfig
from pyrt.venues.sim.server.server import serve
from pyrt.venues.sim.settings import read_cash, read_count, read_speed, read_start

FaultScript = Sequence[Mapping[str, Any]] | str | Path


class SimulatedVenue:
    """A venue that runs until `close`, or until the `with` block ends. Its verbs may be called from any thread or loop."""

    def __init__(self, config: SimConfig) -> None:
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening: Listening | None = None
        self._error: BaseException | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(config,), name="pyrt-sim", daemon=True)
        self._thread.start()
        listening = self._where()
        self.url = listening.url
        self.data_url = listening.data_url
        self.stream_url = listening.stream_url
        self.key = listening.key
        self.secret = listening.secret
        self._session = requests.Session()
        self._session.trust_env = False
        atexit.register(self.close)  # a thread that is a daemon would lose its state

    @property
    def crypto_url(self) -> str:
        """The data stream of crypto; `data_url` is that of stocks."""
        return self.stream_url.removesuffix("/stream") + "/v1beta3/crypto/us"

    @property
    def env(self) -> dict[str, str]:
        """The variables by which other clients find Alpaca. There is no name for a stream that all of them know."""
        return {
            "APCA_API_KEY_ID": self.key,
            "APCA_API_SECRET_KEY": self.secret,
            "APCA_API_BASE_URL": self.url,
            "APCA_API_DATA_URL": self.url,
            "APCA_API_STREAM_URL": self.url,
            "ALPACA_API_KEY": self.key,
            "ALPACA_SECRET_KEY": self.secret,
        }

    def truth(self, since: int = 0) -> dict[str, Any]:
        """What really happened: requests, connections, orders, fills."""
        return self._own("GET", "truth", params={"since": since})

    def clock(self) -> dict[str, Any]:
        """The venue's clock."""
        return self._own("GET", "clock")

    def fault(self, kind: str, **settings: Any) -> None:
        """Arm a fault, e.g. `fault("gateway_timeout", every=3)`; `lasts` is its `for`, a word that Python keeps for itself.

        Raises ConfigError for one that there is not.
        """
        settings = {"for" if name == "lasts" else name: value for name, value in settings.items()}
        self._own("POST", "faults", json={"kind": kind, **settings})

    def faults(self) -> dict[str, Any]:
        """What is armed and how often each kind fired."""
        return self._own("GET", "faults")

    def disarm(self) -> None:
        """End all faults."""
        self._own("DELETE", "faults")

    def open_account(self, cash: str | int | float | Decimal = 100_000, multiplier: int = 2) -> dict[str, Any]:
        """Another account on this venue: its id, and the key and secret that open it."""
        return self._own("POST", "accounts", json={"cash": read_cash(cash, "cash"), "multiplier": multiplier})

    def close(self) -> None:
        """Save, give up the port, end the thread; raises what made the venue fail while it ran, if anything did."""
        atexit.unregister(self.close)
        self._session.close()
        with contextlib.suppress(RuntimeError):  # the loop is gone: it failed, see below
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SimulatedVenue {self.url}{'' if self._thread.is_alive() else ', closed'}>"

    def _where(self) -> Listening:
        self._started.wait()
        if self._listening is None:
            self._thread.join()
            raise self._error or PyrtError("the venue did not start")
        return self._listening

    def _run(self, config: SimConfig) -> None:
        try:
            asyncio.run(self._serve(config))
        except BaseException as e:
            self._error = e
        finally:
            self._started.set()

    async def _serve(self, config: SimConfig) -> None:
        self._loop = asyncio.get_running_loop()
        await serve(config, self._stop, ready=self._ready)

    def _ready(self, listening: Listening) -> None:
        self._listening = listening
        self._started.set()

    def _own(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        response = self._session.request(method, f"{self.url}/sim/{path}", timeout=30, **options)
        body: dict[str, Any] = response.json()
        if response.status_code >= 400:
            raise ConfigError(str(body.get("message")), where=f"/sim/{path}", mend="docs/sim-faults.md has the list")
        return body


def simulated_venue(config: SimConfig | None = None, **settings: Any) -> SimulatedVenue:
    """A venue as SimConfig says, without a rate limit where nothing is said of one."""
    return SimulatedVenue(config or SimConfig(**{"rate_limit": 0, **settings}))


def sim(
    *,
    market: str = "generated",
    seed: int = 0,
    speed: float | str = 1.0,
    cash: str | int | float | Decimal = 100_000,
    start: str | int | datetime = 0,
    calendar: bool = False,
    rate_limit: int = 0,
    faults: FaultScript = (),
    state: str | Path = "",
    port: int = 0,
    **more: Any,
) -> SimulatedVenue:
    """The venue in the box, running in this process: `with pyrt.sim(seed=7) as venue:`.

    market: generated[:rate=20,symbols=AAPL+SPY], or a recorded one as FORMAT:FILE. speed: venue seconds a second, or "max".
    start: the venue's first instant, as text, datetime or ns UTC; the real time if empty. calendar: the hours of XNYS.
    rate_limit: trading requests a minute, 0 = no limit. faults: what goes wrong, at its `at` or from the start, as a list of
    {"kind": ...} or the path of a TOML file of [[fault]] tables. state: a directory that keeps the venue. `more`: any other
    field of SimConfig.

    Raises ConfigError with what is wrong and how to mend it.
    """
    _refuse_unknown(more)
    config = SimConfig(
        market=market,
        seed=read_count(seed, 2**63 - 1, "seed"),
        speed=read_speed(speed, "speed"),
        cash=read_cash(cash, "cash"),
        start=read_start(start, "start"),
        calendar=calendar,
        rate_limit=read_count(rate_limit, 10**9, "rate_limit"),
        state=str(state),
        port=read_count(port, 65_535, "port"),
        faults=str(faults) if isinstance(faults, str | Path) else tuple(dict(fault) for fault in faults),
        **more,
    )
    return SimulatedVenue(_checked(config))


def _refuse_unknown(more: Mapping[str, Any]) -> None:
    unknown = more.keys() - set(SimConfig.__struct_fields__)
    if unknown:
        known = ", ".join(SimConfig.__struct_fields__)
        raise ConfigError(f"no setting {', '.join(sorted(unknown))}", where="pyrt.sim", mend=f"use faults, {known}")


def _checked(config: SimConfig) -> SimConfig:
    """The same, with every field of its type."""
    try:
        return msgspec.convert(msgspec.to_builtins(config), SimConfig)
    except msgspec.ValidationError as e:
        raise ConfigError(str(e), where="pyrt.sim", mend="see the fields of SimConfig") from None
