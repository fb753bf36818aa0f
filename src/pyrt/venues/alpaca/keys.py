"""API keys and hosts: where keys may come from, and where they may be sent."""

import ipaddress
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from pyrt.config import Secret
from pyrt.errors import ConfigError
from pyrt.process import KEY_NAMES, key_variables

SIM = "sim"
PAPER = "alpaca-paper"
LIVE = "alpaca-live"

_LONGEST = 4096

LIVE_HOST = "api.alpaca.markets"
_PAPER_HOSTS = {
    "https": frozenset({"paper-api.alpaca.markets", "data.alpaca.markets"}),
    "wss": frozenset({"paper-api.alpaca.markets", "stream.data.alpaca.markets"}),
}
_LIVE_HOSTS = {
    "https": frozenset({LIVE_HOST, "data.alpaca.markets"}),
    "wss": frozenset({LIVE_HOST, "stream.data.alpaca.markets"}),
}
_LIVE_REFUSED = "live trading is refused: the fault programme has not passed for this build, or this command does not trade live"
_live = False  # whether this run may send keys to the live host


class Keys(NamedTuple):
    """A key pair."""

    key: Secret
    secret: Secret


def load_keys(environ: Mapping[str, str] | None = None, *, file: str | os.PathLike[str] | None = None) -> Keys:
    """The key pair from `file` (lines NAME=value), or from the environment.

    Each name (APCA_API_KEY_ID and APCA_API_SECRET_KEY, or ALPACA_API_KEY and ALPACA_SECRET_KEY) is looked for as a variable,
    as a variable NAME_FILE that names a file with the value alone, and as a systemd credential. A file must be ours and closed
    to others (0600). Raises ConfigError with how to mend it; no message holds a value.
    """
    environ = key_variables() if environ is None else environ
    values = _read_pairs(Path(file)) if file is not None else environ
    where = str(file) if file is not None else "environment"
    for names in KEY_NAMES:
        found = [_find(name, values, environ) for name in names]
        if all(found):
            key, secret = (_checked(value, name) for value, name in zip(found, names, strict=True))
            return Keys(key, secret)
        if any(found):
            missing = names[found.index("")]
            raise ConfigError(f"{missing} is not set", where=where, mend=f"set {missing} or {missing}_FILE beside its other half")
    raise ConfigError("no API keys", where=where, mend="set {0} and {1}, or {0}_FILE and {1}_FILE".format(*KEY_NAMES[0]))


def _find(name: str, values: Mapping[str, str], environ: Mapping[str, str]) -> str:
    if values.get(name):
        return values[name].strip()
    if values.get(f"{name}_FILE"):
        return _read_private(Path(values[f"{name}_FILE"])).strip()
    if environ.get("CREDENTIALS_DIRECTORY"):
        credential = Path(environ["CREDENTIALS_DIRECTORY"]) / name
        if credential.exists():
            return _read_private(credential, manager=True).strip()
    return ""


def find_secret(name: str, environ: Mapping[str, str] | None = None) -> Secret:
    """A secret that is no key: the variable `name`, else the file that NAME_FILE names, else a systemd credential; empty: none.

    Raises ConfigError for a file that is open to others.
    """
    environ = key_variables() if environ is None else environ
    return Secret(_find(name, environ, environ))


def _checked(value: str, name: str) -> Secret:
    # A control character or a blank would end up in an HTTP header, or in the error that refuses it.
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ConfigError(f"{name} holds a character that no key has", mend="copy the key again, without quotes and line breaks")
    return Secret(value)


def _read_pairs(path: Path) -> dict[str, str]:
    pairs = {}
    for line in _read_private(path).splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            pairs[name.strip()] = value.strip().strip("'\"")
    return pairs


def _read_private(path: Path, *, manager: bool = False) -> str:
    """The text of a file that is ours alone; what is checked is the open file, so it cannot be changed for another after.

    `manager`: root may own it, and its group bits are then the mask of the access list that lets us read it.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError("not a regular file", where=str(path))
            ours = status.st_uid == os.geteuid()
            if not ours and not (manager and status.st_uid == 0):
                raise ConfigError("the key file belongs to another user", where=str(path), mend=f"chown $(id -un) {path}")
            if status.st_mode & (0o077 if ours else 0o037):
                mode = stat.S_IMODE(status.st_mode)
                raise ConfigError(f"the key file is open to others (mode {mode:04o})", where=str(path), mend=f"chmod 600 {path}")
            content = file.read(_LONGEST + 1)
            if len(content) > _LONGEST:
                raise ConfigError(f"the key file is larger than {_LONGEST} bytes", where=str(path), mend="give one with keys alone")
            return content.decode()
    except OSError as error:
        raise ConfigError(f"the key file cannot be read: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError:
        raise ConfigError("the key file is not text", where=str(path)) from None


@lru_cache(maxsize=16)
def _parts(url: str) -> tuple[SplitResult, str, int | None, bool]:
    # Asked before each request, of a handful of URLs.
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts, host, parts.port, is_loopback(host)


def check_url(url: str, venue: str | None = None) -> str:
    """The venue that a URL belongs to, SIM, PAPER or LIVE; with `venue` it must be that one.

    Raises ConfigError for any host, scheme or port outside the list: sim is loopback without TLS, paper and live are Alpaca's
    exact hosts with TLS, and live is refused outside of `live_allowed`.
    """
    try:
        parts, host, port, loopback = _parts(url)
    except ValueError:
        raise ConfigError("not a URL", where=url) from None
    if (host == LIVE_HOST or venue == LIVE) and not _live:
        raise ConfigError(_LIVE_REFUSED, where=host, mend=f"use --venue {PAPER} or {SIM}")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("a URL with a user or a password in it", where=host, mend="give keys in the environment")
    if parts.scheme in ("http", "ws") and loopback:
        found = SIM
    elif port in (None, 443) and venue == LIVE and host in _LIVE_HOSTS.get(parts.scheme, frozenset()):
        found = LIVE
    elif port in (None, 443) and host in _PAPER_HOSTS.get(parts.scheme, frozenset()):
        found = PAPER
    elif port in (None, 443) and host == LIVE_HOST and parts.scheme in _LIVE_HOSTS:
        found = LIVE
    else:
        mend = "use http://127.0.0.1:PORT for sim or https://paper-api.alpaca.markets for paper"
        raise ConfigError(f"keys are not sent to {parts.scheme}://{parts.netloc}", mend=mend)
    if venue is not None and found != venue:
        raise ConfigError(f"{host} belongs to {found}, not to {venue}", mend=f"name --venue {found} or give another URL")
    return found


@contextmanager
def live_allowed() -> Iterator[None]:
    """The live host is on the list while the block runs. Who enters has the proof, or is the watchdog of one who has."""
    global _live
    before, _live = _live, True
    try:
        yield
    finally:
        _live = before


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
