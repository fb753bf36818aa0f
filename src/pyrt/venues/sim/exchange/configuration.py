"""What an account may do: its owner's wishes (/v2/account/configurations) and the venue's permissions."""

from typing import Any

import msgspec

from pyrt.model import AssetClass, Instrument
from pyrt.venues.sim.exchange.orders import Body, VenueRefusal, invalid

_BOOLEANS = ("fractional_trading", "no_shorting", "suspend_trade", "ptp_no_exception_entry")
_WORDS = {"trade_confirm_email": ("all", "none"), "max_margin_multiplier": ("1", "2", "4")}
_OLD_WORDS = {"dtbp_check": ("both", "entry", "exit"), "pdt_check": ("both", "entry", "exit")}
CLASSES = ("us_equity", "crypto", "us_option")  # as they are called in orders, by AssetClass


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """The wishes of an account's owner, in Alpaca's words."""

    dtbp_check: str = "entry"  # shown before July 2026
    fractional_trading: bool = True
    max_margin_multiplier: str = "4"
    no_shorting: bool = False
    pdt_check: str = "entry"  # shown before July 2026
    suspend_trade: bool = False
    trade_confirm_email: str = "all"
    ptp_no_exception_entry: bool = False
    max_options_trading_level: int | None = None

    @property
    def multiplier(self) -> int:
        """The most that buying power may be of the equity."""
        return int(self.max_margin_multiplier)


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue lets an account do."""

    trading_blocked: bool = False
    account_blocked: bool = False
    transfers_blocked: bool = False
    asset_classes: tuple[str, ...] = CLASSES


def show(configuration: Configuration, old: bool) -> Body:
    """The object of GET /v2/account/configurations; `old`: as before July 2026."""
    body: Body = msgspec.to_builtins(configuration)
    return body if old else {key: value for key, value in body.items() if key not in _OLD_WORDS}


def changed(configuration: Configuration, body: Body, old: bool) -> Configuration:
    """With what a PATCH says; unknown keys are let pass, as everywhere. Raises VenueRefusal 422."""
    words = {**_WORDS, **_OLD_WORDS} if old else _WORDS
    given: dict[str, Any] = {}
    for key, value in body.items():
        if key in _BOOLEANS:
            given[key] = _checked(key, value, isinstance(value, bool), "a boolean")
        elif key in words:
            text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
            given[key] = _checked(key, text, text in words[key], f"one of {', '.join(words[key])}")
        elif key == "max_options_trading_level":
            whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 3
            given[key] = _checked(key, value, value is None or whole, "a number from 0 to 3, or null")
    return msgspec.structs.replace(configuration, **given)


def _checked(key: str, value: Any, right: bool, what: str) -> Any:
    if not right:
        raise invalid(f"{key} must be {what}", 40010001)
    return value


def refuse_trader(configuration: Configuration, permissions: Permissions, instrument: Instrument) -> None:
    """Any new order of an account that may not trade this, or does not want to. Raises VenueRefusal."""
    if permissions.account_blocked or permissions.trading_blocked:
        raise VenueRefusal(403, 40310000, "account is not allowed to trade")
    if configuration.suspend_trade:
        raise VenueRefusal(403, 40310000, "new orders are rejected by user request")
    kind = asset_class(instrument)
    if kind not in permissions.asset_classes:
        raise invalid(f"{kind} orders not allowed for account", 40010001)


def refuse_part(configuration: Configuration, instrument: Instrument, qty: int, notional: int) -> None:
    """A part of a share, or an order by money, where the account's owner wants none. Raises VenueRefusal 403."""
    equity = asset_class(instrument) == "us_equity"
    if equity and not configuration.fractional_trading and (notional or qty % 10**instrument.qty_exp):
        raise VenueRefusal(403, 40310000, "account is not allowed to trade fractional shares")


def asset_class(instrument: Instrument) -> str:
    """The class of an instrument as orders and assets name it."""
    return {AssetClass.US_EQUITY: "us_equity", AssetClass.CRYPTO: "crypto"}.get(instrument.asset_class, "us_option")
