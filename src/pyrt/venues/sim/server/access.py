"""Whose request it is: key pairs, the accounts that they open, and each account's own limits."""

import base64
import binascii
import hmac
import time
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from pyrt.errors import ConfigError

WINDOW = 60.0  # seconds of the rate limit

Cash = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,2})?$")]
Multiplier = Literal[1, 2, 4]


class AccountConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account of a venue and the key pair that opens it."""

    key: str
    secret: str
    cash: Cash = "100000"
    multiplier: Multiplier = 2

    def __repr__(self) -> str:
        return f"AccountConfig(key='***', secret='***', cash={self.cash!r}, multiplier={self.multiplier})"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    account: list[AccountConfig]


def read_accounts(path: Path) -> tuple[AccountConfig, ...]:
    """The accounts of a TOML file: tables [[account]] with key, secret and, where they are unlike the default, cash, multiplier.

    Raises ConfigError, which does not show what is in the file.
    """
    mend = 'write [[account]] tables with key = "...", secret = "..." and, if wanted, cash = "50000" and multiplier = 4'
    try:
        accounts = tuple(msgspec.toml.decode(path.read_bytes(), type=_File).account)
    except OSError as e:
        raise ConfigError(f"cannot read the accounts: {e.strerror}", where=str(path), mend="give another file") from None
    except msgspec.ValidationError as e:
        raise ConfigError(f"the accounts are not what they should be: {e}", where=str(path), mend=mend) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ConfigError("the accounts are not TOML", where=str(path), mend=mend) from None
    return accounts


class Access:
    """The key pairs of all accounts."""

    def __init__(self) -> None:
        self._pairs: dict[str, tuple[str, str]] = {}  # key -> secret, account

    def add(self, key: str, secret: str, account: str) -> None:
        """Let a pair open an account; a key that is known gets a new secret. Raises ValueError."""
        check_pair(key, secret)
        self._pairs[key] = secret, account

    def allows(self, key: str, secret: str) -> str:
        """The account that the pair opens, "" = none; in a time that does not depend on how wrong the secret is."""
        right, account = self._pairs.get(key, ("", ""))
        same = hmac.compare_digest(secret.encode("utf-8", "replace"), right.encode())
        return account if same else ""

    def allows_headers(self, request: web.BaseRequest) -> str:
        """The account that the APCA headers, or HTTP Basic as broker keys use it, open; "" = none."""
        key = request.headers.get("APCA-API-KEY-ID")
        if key is not None:
            return self.allows(key, request.headers.get("APCA-API-SECRET-KEY", ""))
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return ""
        try:
            key, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return ""
        return self.allows(key, secret)


def check_pair(key: str, secret: str) -> None:
    """Raise ValueError for what no header can hold."""
    for text in (key, secret):
        if not (text and text.isascii() and text.isprintable()):
            raise ValueError("a key and its secret are printable ASCII, and not empty")


class RateLimit:
    """A fixed window of a minute of real time, from its first request on."""

    def __init__(self, limit: int) -> None:
        self.limit = limit  # requests a window; 0 = none
        self._ends = 0.0
        self._used = 0

    def take(self) -> bool:
        """Count one request; False when it is over the limit."""
        now = time.monotonic()
        if now >= self._ends:
            self._ends = now + WINDOW
            self._used = 0
        if self.limit and self._used >= self.limit:
            return False
        self._used += 1
        return True

    def headers(self) -> dict[str, str]:
        """The three headers, as of now."""
        if not self.limit:
            return {}
        reset = time.time() + self._ends - time.monotonic()
        return {
            "X-Ratelimit-Limit": str(self.limit),
            "X-Ratelimit-Remaining": str(self.limit - self._used),
            "X-Ratelimit-Reset": str(int(reset) + 1),
        }


class RateLimits:
    """A window for each account."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._windows: dict[str, RateLimit] = {}

    def of(self, account: str) -> RateLimit:
        """The account's window."""
        return self._windows.setdefault(account, RateLimit(self._limit))
