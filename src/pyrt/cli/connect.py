"""From a configuration to a venue, a state directory and the objects that a session is made of."""

import logging
import secrets
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec

from pyrt import proof
from pyrt.cli.postgres import database_of
from pyrt.cli.state import writable
from pyrt.clock import SECOND
from pyrt.config import Config, Loaded, Secret, mask_logs
from pyrt.config.files import read_toml
from pyrt.errors import ConfigError, JournalBusy
from pyrt.execution import Settings
from pyrt.live import Plan
from pyrt.live.alerts import Alerts
from pyrt.live.control_socket import ask
from pyrt.live.sweep_alert import handed_on
from pyrt.monitor.block import state_home
from pyrt.risk import Limits
from pyrt.signals import Fixed, Notional, Scaled, Sizer
from pyrt.strategies import Strategy
from pyrt.venues.alpaca.keys import LIVE, PAPER, SIM, Keys, live_allowed, load_keys
from pyrt.venues.alpaca.link import LIVE as LIVE_ADDRESSES
from pyrt.venues.alpaca.link import PAPER as PAPER_ADDRESSES
from pyrt.venues.alpaca.link import Addresses, AlpacaLink
from pyrt.venues.sim.child import SimProcess

log = logging.getLogger("pyrt")
LONGEST_DELAY = 30.0  # seconds between two reconnections of the data stream, unless the first wait is longer


class Connected(NamedTuple):
    """A venue that answers, and where the state of our account there is kept."""

    link: AlpacaLink
    home: Path


def connect(stack: ExitStack, config: Config, account: str | None = None) -> Connected:
    """Connect to the venue that is named; a simulated one is started, and ends with the stack.

    `account`: the id that the account must have; the live venue wants one.
    Raises ConfigError, JournalBusy, NotAuthorized, NotConnected, Misbehaved.
    """
    venue = config.venue
    if venue.name == SIM and venue.url:
        link = _confirmed(link_of(SIM, loopback(venue.url), keys_of(config), config), account)
        return Connected(link, _home(config, f"sim-{link.account_id}"))
    if venue.name == SIM:
        if venue.alpaca_api_key or venue.alpaca_secret_key:
            log.info("the keys of the configuration are not used: the simulated venue makes its own")
        home = _home(config, f"sim-{secrets.token_hex(4)}")
        _check_free(home)
        with writable(home):
            sim = SimProcess(
                state=Path(venue.state) / "venue" if venue.state else home / "venue",
                seed=venue.seed,
                speed=venue.speed,
                market=venue.market,
                rate_limit=config.execution.rate_limit_per_minute,
                calendar=venue.calendar,
            )
        stack.enter_context(sim)
        keys = Keys(Secret(sim.address.key), Secret(sim.address.secret))
        return Connected(_confirmed(link_of(SIM, loopback(sim.address.url), keys, config), account), home)
    check_venue(venue.name)
    addresses = PAPER_ADDRESSES
    if venue.name == LIVE:
        if not account:
            what = "live trading is refused: the account is not confirmed"
            raise ConfigError(what, where=LIVE, mend="name its id with --account")
        stack.enter_context(live_allowed())  # check_venue has seen the proof
        addresses = LIVE_ADDRESSES
    link = _confirmed(link_of(venue.name, addresses, keys_of(config), config), account)
    return Connected(link, _home(config, f"{venue.name}-{link.account_id}"))


def _confirmed(link: AlpacaLink, account: str | None) -> AlpacaLink:
    if account is not None and link.account_id != account:
        what = f"these keys open account {link.account_id}, not {account}"
        raise ConfigError(what, where="--account", mend="give the keys of that account, or name the right one")
    return link


def plan_of(loaded: Loaded, venue: Connected, strategies: list[Strategy], limits: Limits) -> Plan:
    """The session that a configuration describes."""
    config = loaded.config
    own = config.execution
    plan = Plan(
        link=venue.link,
        directory=venue.home,
        strategies=strategies,
        limits=limits,
        settings=settings_of(config, venue.link.clock.rate),
        sizer=sizer_of(config),
        signals=msgspec.to_builtins(config.signals),
        durability=config.journal.durability,
        record=config.journal.record,
        dry_run=own.dry_run,
        watchdog=own.watchdog,
        silence=own.silence_secs,
        data_down=own.data_down_secs,
        trouble=config.alerts.trouble_secs,
        calendar=config.venue.calendar,
    )
    plan.database = database_of(config)
    told = config.alerts
    if told.webhook or told.command or told.mail_to or told.heartbeat:
        mask_logs(*(secret for secret in (told.webhook, told.heartbeat, told.smtp_password) if secret))
        alerts = Alerts(told, venue=venue.link.name, account=venue.link.account_id)
        plan.companions.append(alerts)
        plan.listeners.append(alerts.hear)
        plan.alerts = handed_on(told, venue.link.name, venue.link.account_id)
    return plan


def check_venue(name: str) -> None:
    """Raise ConfigError for a venue that cannot be traded on, saying why."""
    if name == LIVE:
        proof.proved()
    elif name not in (SIM, PAPER):
        raise ConfigError(f"no venue {name!r}", where="--venue", mend=f"use {SIM}, {PAPER} or {LIVE}")


def keys_of(config: Config) -> Keys:
    """The key pair of the configuration's files, else of the environment; log lines are masked from here on."""
    keys = Keys(config.venue.alpaca_api_key, config.venue.alpaca_secret_key)
    if not any(keys):
        keys = load_keys()
    elif not all(keys):
        missing = "alpaca_secret_key" if keys.key else "alpaca_api_key"
        raise ConfigError(f"{missing} is missing", where="[venue]", mend="give both keys, or neither and set the environment")
    mask_logs(*keys)
    return keys


def loopback(url: str) -> Addresses:
    """The addresses of a simulated venue."""
    stream = "ws" + url.removeprefix("http")
    return Addresses(trading=url, data=url, stream=stream, updates=stream)


def limits_of(loaded: Loaded, file: Path | None = None) -> Limits:
    """The limits of a file, whole; without one those of the profile with [risk] over it. Live has no profile: all are named."""
    if file is not None:
        return _whole(loaded, Limits.of(read_toml(file)))
    values = Limits.one_word(loaded.config.risk)
    if loaded.config.venue.name == LIVE:
        if "profile" in values:
            raise ConfigError("live trading is refused: it has no profile", where="[risk] profile", mend="name every limit")
        return _whole(loaded, Limits.of(values))
    profile = values.pop("profile", "paper")
    if not values:
        return Limits.profile(profile)
    return Limits.of(values, base=Limits.profile(profile))


def _whole(loaded: Loaded, limits: Limits) -> Limits:
    missing = [name for name in limits.__struct_fields__ if getattr(limits, name) is None]
    if missing and loaded.config.venue.name == LIVE:
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        what = f"live trading is refused: no value for {named}"
        raise ConfigError(what, where="limits", mend="name every limit, with --limits FILE or in [risk]")
    return limits


def settings_of(config: Config, rate: float) -> Settings:
    """The engine's times; `rate` is the venue's clock against ours."""
    own = config.execution
    return Settings(
        deadline=int(own.deadline_secs * SECOND), settle=int(own.settle_secs * SECOND), max_tries=own.max_retries, rate=rate
    )


def sizer_of(config: Config) -> Sizer:
    """What turns a signal into a quantity."""
    own = config.signals
    for name, value in (("quantity", own.quantity), ("amount", own.amount)):
        if not value.is_finite() or value <= Decimal(0):
            raise ConfigError(f"{name} is {value}", where="[signals]", mend="give a number above 0")
    sizer: Sizer = Notional(own.amount) if own.sizer == "notional" else Fixed(own.quantity)
    return Scaled(sizer) if own.scaled else sizer


def link_of(name: str, addresses: Addresses, keys: Keys, config: Config) -> AlpacaLink:
    """Connect to an account. Raises NotAuthorized, NotConnected, Misbehaved; ConfigError for an address that gets no keys."""
    first = config.market.reconnect_delay_secs
    return AlpacaLink(
        name,
        addresses,
        keys,
        data_feed=config.market.feed,
        rate_limit=config.execution.rate_limit_per_minute,
        transport=config.execution.transport,
        reconnect_delay=(first, max(first, LONGEST_DELAY)),
    )


def _home(config: Config, name: str) -> Path:
    named = config.journal.directory or config.venue.state
    return Path(named) if named else state_home() / name


def _check_free(home: Path) -> None:
    """Before a second venue is started on the same account."""
    running = ask(home, verb="status")
    if running is not None:
        what = f"process {running['pid']} owns this journal"
        raise JournalBusy(what, where=str(home), mend="stop that process, or use another directory")
