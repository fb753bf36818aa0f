"""`pyrt doctor`: is everything here that trading needs? One line a finding; exit status 1 where something must be mended."""

import os
import platform
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from cyclopts import Parameter

from pyrt.cli.connect import check_venue, keys_of, limits_of, link_of, loopback, sizer_of
from pyrt.cli.run import EXAMPLES, text
from pyrt.cli.strategies import load_configured
from pyrt.config import Loaded, load_config
from pyrt.errors import ConfigError, PyrtError
from pyrt.live.figures import percentiles
from pyrt.monitor.block import state_home
from pyrt.venues.alpaca.clock import measure_clock
from pyrt.venues.alpaca.keys import LIVE, SIM
from pyrt.venues.alpaca.link import PAPER as PAPER_ADDRESSES

GOOD, NOTE, BAD = "ok", "note", "BAD"
SYNCS = 200
RECORD = bytes(128)
SLOW_SYNC = 20_000_000  # ns of p50: an order would wait as long
OFFSET = (50_000_000, 100_000_000)  # ns: warn, refuse
_CORE = ("types", "wire", "book", "bars", "pipeline", "ledger", "risk", "match", "log")

Finding = tuple[str, str, str]  # how grave, what was looked at, what was found


def doctor(
    *,
    config: Annotated[list[Path] | None, Parameter(consume_multiple=False, negative="")] = None,
    venue: str | None = None,
    sim_url: str | None = None,
    journal: Path | None = None,
    against: str | None = None,
    json: bool = False,
) -> None:
    """Look at the compiled core, the packages, the keys, the venue's clock, ports, the disk and the configuration.

    Parameters
    ----------
    config
        As for `pyrt run`.
    venue
        Look at this venue, too: sim or alpaca-paper.
    sim_url
        Of a simulated venue that runs.
    journal
        The directory whose disk is measured; by default the state home.
    against
        Only compare: the same requests go to a new simulated venue and to alpaca-paper: reads, refusals, and orders of one share at
        a price that is never filled, which are cancelled again. Shown is each difference in status, error code or form.
    json
        With --against: as JSON.
    """
    if against is not None:
        _against(against, json)
        return
    options: dict[str, dict[str, Any]] = {"venue": {"name": venue, "url": sim_url}, "journal": {"directory": text(journal)}}
    worst = 0
    loaded: Loaded | None = None
    try:
        loaded = load_config(config or (), options)
    except ConfigError as e:
        worst = _tell((BAD, "configuration", str(e)))
    looks: list[Callable[[], Iterator[Finding]]] = [_core, _packages]
    if loaded is not None:
        configured = loaded
        looks += [
            lambda: _sections(configured),
            lambda: _keys(configured),
            lambda: _disk(Path(configured.config.journal.directory or state_home())),
            lambda: _venue(configured),
        ]
    for look in looks:
        try:
            for finding in look():
                worst = max(worst, _tell(finding))
        except PyrtError as e:
            worst = max(worst, _tell((BAD, "", str(e))))
    if worst:
        raise SystemExit(1)


def _against(name: str, as_json: bool) -> None:
    from pyrt.cli import against  # the simulated venue is not needed for anything else here

    found = against.against(name)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=1).decode())
    else:
        print("\n".join(against.tell(found)))
    if found.left or any(not d.note for d in found.differences):
        raise SystemExit(1)


def _tell(finding: Finding) -> int:
    grave, what, found = finding
    print(f"{grave:<5}{what:<15}{found}", flush=True)
    return int(grave == BAD)


def _core() -> Iterator[Finding]:
    try:
        modules = [import_module(f"pyrt._core.{name}") for name in _CORE]
    except ImportError as e:
        yield BAD, "core", f"does not load: {e} -- install pyrt again, or run `make build` in a checkout"
        return
    files = [Path(str(m.__file__)) for m in modules]
    plain = [f.name for f in files if f.suffix not in (".so", ".pyd")]
    if plain:
        yield BAD, "core", f"not compiled: {', '.join(plain)} -- install pyrt again"
    else:
        built = time.strftime("%Y-%m-%d %H:%M", time.localtime(max(f.stat().st_mtime for f in files)))
        yield GOOD, "core", f"compiled {built}, {len(files)} modules in {files[0].parent}"


def _packages() -> Iterator[Finding]:
    yield GOOD, "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    try:
        yield GOOD, "pyrt", version("pyrt-trading")
        wanted = [r for r in requires("pyrt-trading") or () if "extra ==" not in r]
    except PackageNotFoundError:
        yield NOTE, "pyrt", "run from a checkout that is not installed"
        wanted = ["aiohttp", "cyclopts", "msgspec", "numpy", "picows", "requests", "rich"]
    names = [r.split(";")[0].split(">")[0].split("=")[0].split("<")[0].strip() for r in wanted]
    found, missing = [], []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield GOOD, "packages", ", ".join(found)
    if missing:
        yield BAD, "packages", f"missing: {', '.join(missing)} -- pip install {' '.join(missing)}"


def _sections(loaded: Loaded) -> Iterator[Finding]:
    for notice in loaded.notices:
        yield NOTE, "configuration", notice
    set_here: dict[str, list[str]] = {}
    for name in loaded.sources:
        section, _, key = name.partition(".")
        set_here.setdefault(section, []).append(key)
    checks: dict[str, Callable[[], object]] = {
        "venue": lambda: check_venue(loaded.config.venue.name),
        "market": lambda: None,
        "signals": lambda: sizer_of(loaded.config),
        "risk": lambda: limits_of(loaded),
        "execution": lambda: None,
        "journal": lambda: None,
        "strategies": lambda: load_configured(loaded, (), (), EXAMPLES),
    }
    for section, check in checks.items():
        said = ", ".join(set_here.get(section, ())) or "defaults"
        try:
            check()
        except PyrtError as e:
            yield BAD, f"[{section}]", str(e)
        else:
            yield GOOD, f"[{section}]", said


def _keys(loaded: Loaded) -> Iterator[Finding]:
    try:
        keys_of(loaded.config)
    except ConfigError as e:
        needed = loaded.config.venue.name != SIM or bool(loaded.config.venue.url)
        yield BAD if needed else NOTE, "keys", f"{e}" if needed else "none; the simulated venue needs none"
    else:
        yield GOOD, "keys", f"present, from {loaded.sources.get('venue.alpaca_api_key', 'the environment')}"


def _disk(directory: Path) -> Iterator[Finding]:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        took = _sync_times(directory)
    except OSError as e:
        yield BAD, "disk", f"{directory}: {e.strerror} -- name a directory that this user can write, with --journal"
        return
    p50, p99 = percentiles(took) or (0, 0)
    free = os.statvfs(directory)
    text = f"{directory}: sync p50 {p50 / 1e3:,.0f} us, p99 {p99 / 1e3:,.0f} us, {free.f_bavail * free.f_frsize / 1e9:,.1f} GB free"
    yield (NOTE if p50 > SLOW_SYNC else GOOD), "disk", text + ("; every order waits for it" if p50 > SLOW_SYNC else "")


def _sync_times(directory: Path) -> list[int]:
    """ns that a record of 128 bytes takes to the disk, as the journal writes it: into a file whose blocks exist."""
    sync = getattr(os, "fdatasync", os.fsync)
    took = []
    with tempfile.TemporaryFile(dir=directory) as file:
        fd = file.fileno()
        os.pwrite(fd, bytes(len(RECORD) * SYNCS), 0)
        os.fsync(fd)
        for i in range(SYNCS):
            begun = time.perf_counter_ns()
            os.pwrite(fd, RECORD, i * len(RECORD))
            sync(fd)
            took.append(time.perf_counter_ns() - begun)
    return took


def _venue(loaded: Loaded) -> Iterator[Finding]:
    venue = loaded.config.venue
    if venue.name == SIM and not venue.url:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            yield GOOD, "ports", f"a loopback port can be opened (tried {probe.getsockname()[1]})"
        yield NOTE, "clock", "not measured: no venue was named that runs already"
        return
    check_venue(venue.name)
    if venue.name == LIVE:
        yield NOTE, "venue", "this build may trade live; the live account itself is not asked"
        return
    addresses = loopback(venue.url) if venue.name == SIM else PAPER_ADDRESSES
    for url in dict.fromkeys((addresses.trading, addresses.data, addresses.stream)):
        yield _reach(url)
    keys = keys_of(loaded.config)
    link = link_of(venue.name, addresses, keys, loaded.config)
    yield GOOD, "account", f"{link.account_id}: the venue takes the keys"
    measured = measure_clock(addresses.trading, key=keys.key, secret=keys.secret)
    offset = measured.clock.at(time.monotonic_ns()) - time.time_ns()
    told = (
        f"{offset / 1e6:+,.1f} ms against ours, known to {measured.uncertainty / 1e6:,.1f} ms, {measured.clock.rate:g} s a second"
    )
    if venue.name == SIM:
        yield GOOD, "clock", f"{told} (a simulated venue keeps its own time)"
    elif abs(offset) > OFFSET[1] + measured.uncertainty:
        yield BAD, "clock", f"{told} -- set this machine's clock (chrony, systemd-timesyncd)"
    else:
        yield (NOTE if abs(offset) > OFFSET[0] + measured.uncertainty else GOOD), "clock", told


def _reach(url: str) -> Finding:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme in ("https", "wss") else 80)
    begun = time.monotonic()
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=5.0):
            return GOOD, "ports", f"{parts.hostname}:{port} answers in {(time.monotonic() - begun) * 1e3:,.0f} ms"
    except OSError as e:
        return BAD, "ports", f"{parts.hostname}:{port} does not answer ({e.strerror or e}) -- check the address and the firewall"
