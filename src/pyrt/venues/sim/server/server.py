"""The venue as a server on one loopback port: REST, data stream, trading stream, and its own /sim endpoints."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from aiohttp import web

from pyrt.calendar import Calendar
from pyrt.clock import DAY, SECOND
from pyrt.errors import ConfigError
from pyrt.model import Instrument
from pyrt.venues.sim.exchange.assets import unlike
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.hours import Hours
from pyrt.venues.sim.exchange.travel import Latency
from pyrt.venues.sim.market.adjust import Adjuster
from pyrt.venues.sim.market.archive import Archive, last_seen, this_minute
from pyrt.venues.sim.market.market import HISTORY_DAYS, open_market
from pyrt.venues.sim.market.options_archive import OptionArchive
from pyrt.venues.sim.market.replay import first_instant
from pyrt.venues.sim.server import api, openapi
from pyrt.venues.sim.server.access import AccountConfig, RateLimits
from pyrt.venues.sim.server.account_rest import AccountRest
from pyrt.venues.sim.server.accounts_rest import AccountsRest, open_accounts
from pyrt.venues.sim.server.archive_thread import ArchiveThread
from pyrt.venues.sim.server.changes import Changes
from pyrt.venues.sim.server.config import Listening, SimConfig
from pyrt.venues.sim.server.corporate_rest import CorporateRest
from pyrt.venues.sim.server.crypto_rest import CryptoRest
from pyrt.venues.sim.server.data_query import Plan
from pyrt.venues.sim.server.data_rest import DataRest
from pyrt.venues.sim.server.data_stream import DataHub
from pyrt.venues.sim.server.edge import BODY_MAX, Edge
from pyrt.venues.sim.server.events import TradeEvents
from pyrt.venues.sim.server.faults import Faults
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.server.incidents import Incidents
from pyrt.venues.sim.server.kinds import DropData, DropStream
from pyrt.venues.sim.server.mishaps import Mishaps
from pyrt.venues.sim.server.options_data_rest import OptionsDataRest
from pyrt.venues.sim.server.options_rest import OptionsRest
from pyrt.venues.sim.server.options_stream import OptionHub, option_hubs
from pyrt.venues.sim.server.own_rest import OwnRest
from pyrt.venues.sim.server.reference_rest import ReferenceRest
from pyrt.venues.sim.server.saved import Saved, StateDirectory
from pyrt.venues.sim.server.schedule import Schedule
from pyrt.venues.sim.server.screener_rest import ScreenerRest
from pyrt.venues.sim.server.script import Script, read_script
from pyrt.venues.sim.server.streams import DataStreams
from pyrt.venues.sim.server.trading_rest import TradingRest
from pyrt.venues.sim.server.trading_stream import TradingHub
from pyrt.venues.sim.server.truth import Truth
from pyrt.venues.sim.server.watchlists_rest import WatchlistsRest
from pyrt.venues.sim.times import new_york_midnight

SETTLE_SECONDS = 0.25  # at full speed, after a change of subscriptions
PUMP_SECONDS = 0.01  # how often the market is stepped
SAVE_SECONDS = 5.0  # how often the whole is on disk; each change is at once
SAVE_SHARE = 20  # a long history is saved less often: one part in so many of the loop's time


class Venue:
    """Everything behind the port."""

    def __init__(self, config: SimConfig) -> None:
        self.config = config
        self._directory = StateDirectory(Path(config.state)) if config.state else None
        try:
            self._saved = self._directory.load() if self._directory else None
            self.floor = self._open(self._saved)
            self.truth = Truth()
            self.faults = Faults(self.truth, lambda: self.floor.now)
            self.incidents = Incidents(self.floor, self.faults, self._jump)
            self.script = Script(read_script(config.faults), self.floor, self.incidents.arm)
        except BaseException:
            self._close_directory()
            raise
        self.trading: TradingHub | None = None
        self.streams: DataStreams | None = None
        self.contracts: dict[str, OptionHub] = {}
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._generation = self._saved.generation + 1 if self._saved else 0  # one more may have been begun
        self._changes: Changes | None = None

    def _open(self, saved: Saved | None) -> Floor:
        config = self.config
        calendar = Calendar() if config.calendar else None
        if saved is None:
            self._epoch = config.start or first_instant(config.market) or time.time_ns()
            self._market, self._seed = config.market, config.seed
            now = self._epoch
        else:
            self._epoch, now = saved.market_epoch, saved.resume_ns
            self._market, self._seed = saved.market, saved.seed
        # What happened up to the saved instant was told before; the market goes on after it.
        market = open_market(self._market, self._seed, now if saved is None else now + 1, config.actions)
        self.instruments = list(market.instruments)
        past = open_market(self._market, self._seed, self._epoch, config.actions)
        self._archive = Archive(past, self.instruments, Adjuster(past, config.actions, lambda: self.floor.now))
        hours = Hours(calendar, always_open=not config.calendar)
        self._option_archive = OptionArchive(past, hours.is_open, self._epoch - HISTORY_DAYS * DAY)
        listed = [*self.instruments, *(unlike() if self._market.startswith("generated") else ())]
        exchange = _open_exchange(config, saved, listed, calendar)
        # A market that is already there: the first order meets the last quotes, not an empty book.
        exchange.on_market(last_seen(past, now))
        if saved is None and exchange.options is not None:
            exchange.options.list_contracts()
        for action in config.actions:
            exchange.schedule_action(action)
        self._before = this_minute(past, now if saved is None else now + 1)
        exchange.keep_samples(now)
        first = AccountConfig(key=config.key, secret=config.secret)
        self.access = open_accounts(exchange, first, config.accounts)
        self._schedule = Schedule(calendar)
        return Floor(market, exchange, now, config.speed)

    def application(self) -> web.Application:
        """The routes; call it on the loop that will serve them."""
        config, floor = self.config, self.floor
        access = self.access
        mishaps = Mishaps(self.faults, floor, self.incidents)
        edge = Edge(floor, access, mishaps, self.truth, RateLimits(config.rate_limit), RateLimits(config.data_rate_limit))
        self.trading = TradingHub(floor, access, self.faults, self.truth)
        self.streams = DataStreams(
            floor,
            self.instruments,
            access,
            self.faults,
            self.truth,
            plan=config.feeds,
            again=lambda at: open_market(self._market, self._seed, at),
            seed=self._seed,
            **_limits(config),
        )
        self.streams.count(self._before)
        self.contracts = option_hubs(
            floor, access, self.faults, self.truth, opra=config.opra, interest=self.streams.interest, **_limits(config)
        )
        self.incidents.hubs = {DropData: [*self.hubs], DropStream: [self.trading]}
        app = web.Application(middlewares=[edge.serve], client_max_size=BODY_MAX)
        self._add_rest(app)
        app.add_routes([web.get(path, hub.serve, allow_head=False) for path, hub in self.contracts.items()])
        app.add_routes(OwnRest(floor, self.faults, self.truth, self.incidents.arm, self.script).routes())
        app.add_routes(self.streams.routes())
        app.router.add_get("/stream", self.trading.serve, allow_head=False)
        return app

    def _add_rest(self, app: web.Application) -> None:
        assert self.streams is not None
        config, floor, access = self.config, self.floor, self.access
        thread = ArchiveThread()
        app.on_cleanup.append(thread.close)
        events = TradeEvents(floor)
        app.on_shutdown.append(events.close)
        rest = (
            TradingRest(floor),
            AccountRest(floor),
            ReferenceRest(floor, self._schedule),
            WatchlistsRest(floor),
            events,
            OptionsRest(floor),
            OptionsDataRest(floor, self._option_archive, thread.run, opra=config.opra),
        )
        api.add_routes(app, [route for handlers in rest for route in handlers.routes()])
        app.add_routes(AccountsRest(floor, access).routes())
        app.add_routes(openapi.routes())
        app.add_routes(DataRest(floor, self._archive, thread, Plan(config.feeds)).routes())
        app.add_routes(CryptoRest(floor, self._archive, thread).routes())
        app.add_routes(ScreenerRest(floor, self._archive, thread, self.streams.news.serve).routes())
        app.add_routes(CorporateRest(floor, config.actions).routes())

    def _jump(self, to: str) -> int:
        """Go on at the next midnight of New York, or where there are hours at the next opening, or just before the next close."""
        now = self.floor.now
        calendar = self.floor.exchange.hours.calendar
        target = new_york_midnight(now, 1)
        if calendar is not None and to != "midnight":
            target = calendar.next_open(now) if to == "open" else calendar.next_close(now + SECOND) - SECOND
        past = open_market(self._market, self._seed, self._epoch, self.config.actions)
        self.floor.jump(open_market(self._market, self._seed, target, self.config.actions), last_seen(past, target - 1), target)
        return target

    @property
    def hubs(self) -> list[DataHub | OptionHub]:
        """Every data stream."""
        return [*(self.streams.hubs if self.streams is not None else ()), *self.contracts.values()]

    def start(self) -> None:
        """Let time run."""
        if self._directory is not None:
            self._begin(self._directory)
            self._directory.save(self._snapshot(2 * SAVE_SECONDS))
            self._directory.tidy(self._generation)
        self._tasks = [asyncio.create_task(self._pump(), name="pump"), asyncio.create_task(self._keep(), name="keep")]

    async def failed(self) -> None:
        """Ends only when the market or the disk fails, with that error."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    async def stop(self) -> None:
        """Stop time, save, give up the directory."""
        self._ended.set()
        if self.streams is not None:
            self.streams.interest.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            if self._directory is not None and self._changes is not None:
                self._changes.close()
                self._generation += 1
                self._directory.save(self._snapshot(0.0))
                self._directory.tidy(self._generation)
        finally:
            self._close_directory()

    def _close_directory(self) -> None:
        if self._directory is not None:
            self._directory.close()

    async def _pump(self) -> None:
        assert self.streams is not None
        hubs, interest = self.hubs, self.streams.interest
        while not self._ended.is_set():
            if self.floor.rate:
                await asyncio.sleep(PUMP_SECONDS)
                self.floor.catch_up()
                continue
            if interest.is_set():
                # A client asks for one channel after the other: time waits until it has them all.
                interest.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(interest.wait(), SETTLE_SECONDS)
                continue
            if not any(hub.is_wanted for hub in hubs) or not self.floor.run_ahead():
                # Time stands still while nobody has subscribed, and when the market has ended.
                await interest.wait()
            for hub in hubs:
                await hub.drained()
            await asyncio.sleep(0)

    def _begin(self, directory: StateDirectory) -> None:
        """What happens from now on goes to a new file of changes."""
        self._generation += 1
        self._changes = directory.begin(self._generation, self.floor.exchange)
        self.floor.on_change[:] = [self._changes.note]

    async def _keep(self) -> None:
        pause = SAVE_SECONDS
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), pause)
            if self._directory is not None and not self._ended.is_set():
                pause = await self._save(self._directory, pause)

    async def _save(self, directory: StateDirectory, pause: float) -> float:
        """Write the whole, and say how many seconds to wait before the next time."""
        assert self._changes is not None
        begun, before = time.monotonic(), self._changes
        self._begin(directory)
        # The snapshot is taken here, between two requests; only the writing may wait for the disk.
        snapshot = self._snapshot(2 * pause)
        pause = max(SAVE_SECONDS, SAVE_SHARE * (time.monotonic() - begun))
        try:
            await asyncio.to_thread(directory.save, snapshot)
        except RuntimeError:  # a program that ends has no threads to give
            directory.save(snapshot)
        before.close(remove=True)
        return pause

    def _snapshot(self, horizon: float) -> Saved:
        # `horizon`: real seconds within which the next save comes.
        return Saved(
            market=self._market,
            seed=self._seed,
            market_epoch=self._epoch,
            venue_ns=self.floor.now,
            resume_ns=self.floor.now + int(horizon * self.floor.rate * 1e9),
            exchange=self.floor.exchange.save(),
            generation=self._generation,
        )


def _open_exchange(config: SimConfig, saved: Saved | None, listed: list[Instrument], calendar: Calendar | None) -> Exchange:
    """A new exchange, or the saved one."""
    settings: dict[str, Any] = {
        "always_open": not config.calendar,
        "calendar": calendar,
        "account_fields": config.account_fields,
        "latency": Latency(entry=config.entry_latency, cancel=config.cancel_latency, replace=config.replace_latency),
        "queue": config.queue,
        "second_leg": config.second_leg,
        "fees": config.fees,
        "options_level": config.options_level,
    }
    if saved is not None:
        return Exchange.load(saved.exchange, listed, **settings)
    return Exchange(listed, cash=config.cash, multiplier=config.multiplier, seed=_seed_of_ids(config), **settings)


def _limits(config: SimConfig) -> dict[str, Any]:
    names = ("connection_limit", "symbol_limit", "buffer", "auth_seconds", "compression", "ping_seconds")
    return {name: getattr(config, name) for name in names}


def _seed_of_ids(config: SimConfig) -> int:
    # Two new venues are two accounts, unless both the seed and the start were asked for: then all ids are the same again.
    born = config.start or time.time_ns()
    return int.from_bytes(blake2b(f"{config.seed}:{born}".encode(), digest_size=7).digest(), "big")


@contextlib.asynccontextmanager
async def open_venue(config: SimConfig) -> AsyncIterator[tuple[Venue, Listening]]:
    """Serve a venue while the block runs; state is saved at its end. Raises ConfigError where the port is taken."""
    venue = Venue(config)
    runner = web.AppRunner(venue.application(), access_log=None, handle_signals=False, shutdown_timeout=1.0)
    try:
        await runner.setup()
        site = web.TCPSite(runner, config.host, config.port)
        try:
            await site.start()
        except OSError as e:
            raise ConfigError(
                f"cannot listen: {e.strerror}", where=f"{config.host}:{config.port}", mend="choose another --port, or 0 for any"
            ) from None
        port = runner.addresses[0][1]
        base = f"{config.host}:{port}"
        venue.start()
        yield (
            venue,
            Listening(
                url=f"http://{base}",
                data_url=f"ws://{base}/v2/iex",
                stream_url=f"ws://{base}/stream",
                key=config.key,
                secret=config.secret,
            ),
        )
    finally:
        if venue.streams is not None and venue.trading is not None:
            for hub in venue.hubs:
                hub.cut("shutdown")
            venue.trading.cut("shutdown")
        await runner.cleanup()
        await venue.stop()


async def serve(config: SimConfig, stop: asyncio.Event, *, ready: Callable[[Listening], None] | None = None) -> None:
    """Serve until `stop` is set; `ready` is called once, when the port is open."""
    async with open_venue(config) as (venue, listening):
        if ready is not None:
            ready(listening)
        stopped = asyncio.create_task(stop.wait())
        failed = asyncio.create_task(venue.failed())
        try:
            done, _ = await asyncio.wait({stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            stopped.cancel()
            failed.cancel()
            await asyncio.gather(stopped, failed, return_exceptions=True)
