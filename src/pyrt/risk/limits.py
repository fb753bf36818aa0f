"""The limits: a value for every control, from the shipped profile, a mapping or a file."""

import difflib
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any, Literal

import msgspec

from pyrt._core.risk import OFF, OFF_MONEY
from pyrt._core.types import to_units
from pyrt.clock import MINUTE
from pyrt.errors import ConfigError
from pyrt.model import AssetClass, Instrument
from pyrt.risk.names import plain, restrictions

RING = 128  # the longest memory of the window controls in _core.risk
MS = 1_000_000
_MONEY = 10**18
_NONE = Decimal("Infinity")  # a limit that somebody put "off"
_MOST = 10**12  # of a whole number: with room below 64 bits once it is in the gate's units
_ALIASES = {"max_position_size": "max_position_notional", "max_order_size": "max_order_notional"}
_TIGHTER_IS_MORE = {
    "gap_bps",
    "haircut_bps",
    "duplicate_window_ms",
    "repeat_window_ms",
    "symbol_order_rate_window_ms",
    "cancel_window_ms",
    "drift_window_ms",
    "drawdown_days",
    "var_confidence",
}
_OPTIONAL = (  # off unless they are set; null denies like every missing limit
    "max_adv_pct",
    "max_drift_bps",
    "max_sends_per_signal",
    "max_daily_loss_if_filled",
    "max_days_drawdown",
    "max_var",
    "max_es",
    "max_delta",
    "max_gamma",
    "max_vega",
)
_BY_SYMBOL = (
    "max_order_qty",
    "max_order_notional",
    "max_position_qty",
    "max_position_notional",
    "max_strategy_qty",
    "collar_bps",
    "passive_bps",
)


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every limit by name; None is a missing limit, and a missing limit denies.

    Quantities, prices and money are in whole units; `_bps` are hundredths of a percent; `_ms` are milliseconds.
    `symbols` holds other values of the first seven for single symbols, in any spelling of them. Zero is a limit of nothing, not
    "off". The optional ones are "off" unless they are set; in a file that is the word, here it is infinity.
    """

    max_order_qty: Decimal | None
    max_order_notional: Decimal | None
    max_position_qty: Decimal | None  # max(|q + B|, |q - S|) of the account in one instrument
    max_position_notional: Decimal | None
    max_strategy_qty: Decimal | None  # the same of one strategy
    collar_bps: int | None  # how far a price may be on the marketable side of the reference
    passive_bps: int | None  # and on the passive side; also for triggers
    max_gross_exposure: Decimal | None
    max_net_exposure: Decimal | None
    max_open_order_value: Decimal | None
    max_open_orders: int | None
    max_daily_loss: Decimal | None
    max_drawdown: Decimal | None
    max_slippage_bps: int | None  # of a marketable order, expected over the visible book; see slippage_rule
    gap_bps: int | None  # how far beyond its trigger a stop is valued
    haircut_bps: int | None  # on a stale last good price, for orders that reduce
    max_spread_bps: int | None  # a wider quote is no reference
    max_quote_age_ms: int | None
    max_trade_age_ms: int | None
    duplicate_window_ms: int | None
    repeat_max: int | None  # sends, or executions, of a strategy in an instrument and side
    repeat_round_trips: int | None
    repeat_window_ms: int | None
    account_orders_per_minute: int | None  # with cancels, which alone may use the last fifth
    strategy_orders_per_minute: int | None
    symbol_orders_per_minute: int | None
    symbol_order_rate_max: int | None
    symbol_order_rate_window_ms: int | None
    cancels_per_fill: int | None
    cancel_window_ms: int | None
    slippage_rule: Literal["signed", "absolute"] = "signed"  # absolute: |limit - reference|, which refuses favourable limits too
    close_only: bool = True  # what is restricted may be closed; False = nothing passes but cancels
    restricted: tuple[str, ...] = ()  # symbols
    symbols: dict[str, dict[str, Decimal | int | None]] = {}
    max_adv_pct: Decimal | None = _NONE  # of an order, in percent of the average volume of the last 20 days
    max_drift_bps: Decimal | None = _NONE  # that own executions moved the reference their way, within drift_window_ms
    drift_window_ms: int = 60_000
    max_sends_per_signal: Decimal | None = _NONE  # orders, and their replacements, that one signal may lead to
    max_daily_loss_if_filled: Decimal | None = _NONE  # were all open orders filled and marked at the collar
    max_days_drawdown: Decimal | None = _NONE  # below the highest P&L of the last drawdown_days
    drawdown_days: int = 5
    max_var: Decimal | None = _NONE  # one day's value at risk of the worst that open orders can make of the portfolio
    max_es: Decimal | None = _NONE  # the mean of the losses beyond it
    var_confidence: Decimal = Decimal("0.99")
    max_delta: Decimal | None = _NONE  # money a move of the underlying by 1 means, per underlying, over its price
    max_gamma: Decimal | None = _NONE  # money that delta changes by, for a move of one percent
    max_vega: Decimal | None = _NONE  # money a point of volatility means
    opening_shorts: bool = False  # sales of what is not held, where the venue says that it can be borrowed
    overnight: bool = False  # extended-hours limit orders of shares from 20:00 to 4:00 New York too
    self_match: Literal["reject", "cancel"] = "reject"  # cancel: the own order in the way goes first, unless it only reduces
    allowed: tuple[str, ...] = ()  # nothing but these symbols; empty = no such list
    restricted_file: str = ""  # a list that somebody renews each day: older than that, or absent, and only exits pass
    restricted_sha256: str = ""  # what it must be; empty = whatever it is
    require_exit: tuple[str, ...] = ()  # strategies (* = all) whose positions must have a working stop at the venue
    exit_within_ms: int = 5000  # how long one may stand without, before it is told and a stop is sent
    exit_distance_bps: int = 500  # how far from the price that stop is

    @classmethod
    def profile(cls, name: str) -> "Limits":
        """A shipped profile; only `paper` is. Raises ConfigError for another name: live has no default, all must be named."""
        file = resources.files("pyrt.risk").joinpath(f"{name}.toml")
        if name != "paper":
            raise ConfigError(f"there is no shipped profile {name!r}", where="limits", mend="use 'paper' or name every limit")
        return cls.of(tomllib.loads(file.read_text(encoding="utf-8")))

    @classmethod
    def of(cls, values: Mapping[str, Any], *, base: "Limits | None" = None) -> "Limits":
        """Limits from a mapping (TOML, JSON); what it leaves out comes from `base`, or is missing and so denies.

        Raises ConfigError for an unknown key, naming the nearest, and for a value of the wrong kind.
        """
        limits = cls._read(values, base)
        limits.check()
        return limits

    @staticmethod
    def one_word(values: Mapping[str, Any]) -> dict[str, Any]:
        """Layers of settings, joined: of two words for one limit the one said last holds."""
        return {_ALIASES.get(key, key): value for key, value in values.items()}

    @classmethod
    def _read(cls, values: Mapping[str, Any], base: "Limits | None" = None) -> "Limits":
        given: dict[str, Any] = {}
        for key, value in values.items():
            name = _ALIASES.get(key, key)
            _known(name, cls.__struct_fields__, "limits")
            if name in given:
                raise ConfigError(f"{name} is given twice, once as {key}", where="limits", mend="give it once")
            given[name] = value
        _known_symbols(given.get("symbols", {}))
        merged = msgspec.to_builtins(base) if base is not None else dict.fromkeys(_numbers(cls))
        try:
            limits = msgspec.convert(_exact({**merged, **given}), cls)
        except msgspec.ValidationError as e:
            raise ConfigError(str(e), where="limits", mend="see the profile `paper` for an example") from None
        return limits

    def check(self) -> None:
        """Raise ConfigError for what is no limit: below 0, beyond what the gate holds or remembers, a symbol named twice."""
        for name in (*_numbers(type(self)), *_OPTIONAL, "drift_window_ms"):
            if name not in _OPTIONAL or getattr(self, name) != _NONE:
                _within(name, getattr(self, name))
        self._check_symbols()
        for name in ("repeat_max", "repeat_round_trips", "symbol_order_rate_max", "cancels_per_fill"):
            value = getattr(self, name)
            if value is not None and not 1 <= value < RING:
                raise ConfigError(f"{name} is {value}", where="limits", mend=f"give a number from 1 to {RING - 1}")
        if self.var_confidence.is_nan() or not Decimal("0.5") <= self.var_confidence < 1:
            raise ConfigError(
                f"var_confidence is {self.var_confidence}", where="limits", mend="give a number from 0.5 to below 1, as 0.99"
            )
        if self.exit_within_ms < 1000 or not 1 <= self.exit_distance_bps < 10_000:
            raise ConfigError(
                f"exit_within_ms is {self.exit_within_ms}, exit_distance_bps {self.exit_distance_bps}",
                where="limits",
                mend="give at least 1000 ms, and a distance from 1 to 9999",
            )
        if not 1 <= self.drawdown_days <= 250:
            raise ConfigError(f"drawdown_days is {self.drawdown_days}", where="limits", mend="give a number from 1 to 250")
        for name in ("max_daily_loss", "max_drawdown", "max_daily_loss_if_filled", "max_days_drawdown"):
            if getattr(self, name) == 0:
                raise ConfigError(f"{name} is 0: it would deny everything", where="limits", mend="give an amount above 0")

    def _check_symbols(self) -> None:
        seen: dict[str, str] = {}
        for symbol, own in self.symbols.items():
            other = seen.setdefault(plain(symbol), symbol)
            if other != symbol:
                raise ConfigError(f"{symbol} and {other} are one symbol", where="limits.symbols", mend="name it once")
            for name, value in own.items():
                _within(f"symbols.{symbol}.{name}", value)

    def canonical(self) -> str:
        """The same limits as the same JSON text, always."""
        return msgspec.json.encode(self.values(), order="sorted").decode()

    def values(self) -> dict[str, Any]:
        """Every limit as plain values, as `of` takes them."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values | {name: "off" for name in _OPTIONAL if getattr(self, name) == _NONE}

    @classmethod
    def parse(cls, text: str) -> "Limits":
        """The limits that `canonical` wrote; they were checked before that."""
        return cls._read(msgspec.json.decode(text))

    def loosens(self, old: "Limits") -> list[str]:
        """The names of the limits that allow more here than in `old`."""
        compared = (*_numbers(type(self)), *_OPTIONAL, "drift_window_ms", "drawdown_days", "var_confidence")
        names = [n for n in compared if _looser(n, getattr(self, n), getattr(old, n))]
        for symbol in sorted({*self.symbols, *old.symbols}):
            for n in _BY_SYMBOL:
                if _looser(n, self._of_symbol(symbol, n), old._of_symbol(symbol, n)):
                    names.append(f"symbols.{symbol}.{n}")
        if self.slippage_rule == "signed" and old.slippage_rule == "absolute":
            names.append("slippage_rule")
        if self.close_only and not old.close_only and (self.restricted or self.restricted_file):
            names.append("close_only")
        names += [f"restricted.{s}" for s in sorted(set(old.restricted) - set(self.restricted))]
        names += [n for n in ("opening_shorts", "overnight") if getattr(self, n) and not getattr(old, n)]
        names += [n for n in ("restricted_file", "restricted_sha256") if getattr(old, n) not in ("", getattr(self, n))]
        names += [f"require_exit.{s}" for s in sorted(set(old.require_exit) - set(self.require_exit))]
        if self.require_exit:
            names += [n for n in ("exit_within_ms", "exit_distance_bps") if getattr(self, n) > getattr(old, n)]
        if self.self_match == "cancel" != old.self_match:
            names.append("self_match")
        if old.allowed:
            names += [f"allowed.{s}" for s in sorted(set(self.allowed) - set(old.allowed))] if self.allowed else ["allowed"]
        return names

    def _of_symbol(self, symbol: str, name: str) -> Any:
        wanted = plain(symbol)
        own = next((own for other, own in self.symbols.items() if plain(other) == wanted), {})
        return own.get(name, getattr(self, name))

    def rules(self) -> dict[str, int | None]:
        """The account's part in the units of `Gate.set_rules`."""
        times = {
            "max_age": self.max_quote_age_ms,
            "max_trade_age": self.max_trade_age_ms,
            "duplicate_window": self.duplicate_window_ms,
            "repeat_window": self.repeat_window_ms,
            "rate_window": self.symbol_order_rate_window_ms,
            "cancel_window": self.cancel_window_ms,
        }
        money = {
            "open_value": self.max_open_order_value,
            "gross": self.max_gross_exposure,
            "net": self.max_net_exposure,
            "daily_loss": self.max_daily_loss,
            "drawdown": self.max_drawdown,
            "filled_loss": self.max_daily_loss_if_filled,
            "days_drawdown": self.max_days_drawdown,
        }
        rules: dict[str, int | None] = {name: None if v is None else v * MS for name, v in times.items()}
        rules |= {name: None if v is None else OFF_MONEY if v == _NONE else int(v * _MONEY) for name, v in money.items()}
        for name in ("max_spread_bps", "haircut_bps", "gap_bps", "max_slippage_bps", "repeat_max"):
            rules[name] = getattr(self, name)
        rules |= {
            "slippage_absolute": int(self.slippage_rule == "absolute"),
            "round_trips": self.repeat_round_trips,
            "rate_max": self.symbol_order_rate_max,
            "cancel_ratio": self.cancels_per_fill,
            "open_count": self.max_open_orders,
            "drift_bps": _whole(self.max_drift_bps),
            "drift_window": self.drift_window_ms * MS,
        }
        for who in ("account", "strategy", "symbol"):
            rules[f"{who}_interval"], rules[f"{who}_burst"] = bucket(getattr(self, f"{who}_orders_per_minute"))
        return rules

    def bounds(
        self, instrument: Instrument, adv: int | None = None, listed: frozenset[str] = frozenset(), tradable: bool = True
    ) -> dict[str, int | None]:
        """An instrument's part in the units of `Gate.set_bounds`.

        adv: the average day's volume, qty units; None = not known, which denies where a share of it is the limit. listed: what the
        restricted list names; tradable: what the venue says.
        """

        def qty(name: str) -> int | None:
            value = self._of_symbol(instrument.symbol, name)
            return None if value is None else min(int(Decimal(value) * 10**instrument.qty_exp), (1 << 63) - 1)

        def whole(name: str) -> int | None:
            value = self._of_symbol(instrument.symbol, name)
            return None if value is None else int(value)

        def money(name: str) -> int | None:
            value = self._of_symbol(instrument.symbol, name)
            return None if value is None else int(Decimal(value) * _MONEY)

        return {
            "qty": qty("max_order_qty"),
            "notional": money("max_order_notional"),
            "position_qty": qty("max_position_qty"),
            "position_notional": money("max_position_notional"),
            "strategy_qty": qty("max_strategy_qty"),
            "collar_bps": whole("collar_bps"),
            "passive_bps": whole("passive_bps"),
            "adv_qty": _share(self.max_adv_pct, adv),
            "share": 10**instrument.qty_exp,
            "shorts": int(self.opening_shorts and instrument.asset_class == AssetClass.US_EQUITY),
            "equity": int(instrument.asset_class != AssetClass.CRYPTO),
            "restricted": self.restricts(instrument.symbol, listed) or int(not tradable),
        }

    def restricts(self, symbol: str, listed: frozenset[str] = frozenset()) -> int:
        """0 = free, 1 = only exits pass, 2 = nothing does: for what is named itself, or by its underlying or its alias."""
        names = restrictions(symbol)
        if names & {n for s in self.restricted for n in restrictions(s)} or names & listed:
            return 1 if self.close_only else 2
        return int(bool(self.allowed) and not names & {n for s in self.allowed for n in restrictions(s)})


@cache
def _numbers(cls: type[Limits]) -> tuple[str, ...]:
    """The limits that everybody must name."""
    return tuple(field.name for field in msgspec.structs.fields(cls) if field.required)


def _whole(value: Decimal | None) -> int | None:
    return None if value is None else OFF if value == _NONE else int(value)


def _share(percent: Decimal | None, adv: int | None) -> int | None:
    if percent is None or percent == _NONE:
        return _whole(percent)
    return min(int(percent * (adv or 0) / 100), OFF - 1)


def bucket(per_minute: int | None) -> tuple[int | None, int | None]:
    """(ns a message, burst) such that no window of a minute ever holds more than `per_minute`: burst + refill = the limit."""
    if per_minute is None:
        return None, None
    burst = max(per_minute // 5, 1) if per_minute else 0
    return -(-MINUTE // max(per_minute - burst, 1)), burst


def _known(key: str, names: tuple[str, ...], where: str) -> None:
    if key in names:
        return
    near = difflib.get_close_matches(key, (*names, *_ALIASES), 1, 0.0)[0]
    raise ConfigError(f"unknown limit {key!r}", where=where, mend=f"did you mean {near!r}?")


def _known_symbols(symbols: Any) -> None:
    if not isinstance(symbols, Mapping) or not all(isinstance(own, Mapping) for own in symbols.values()):
        mend = "write symbols.AAPL.max_order_qty = 5"
        raise ConfigError(f"{symbols!r} are no limits of symbols", where="limits.symbols", mend=mend)
    for symbol, own in symbols.items():
        for key in own:
            _known(key, _BY_SYMBOL, f"limits.symbols.{symbol}")


def _within(name: str, value: Decimal | int | None) -> None:
    if value is None:
        return
    if not Decimal(value).is_finite() or value < 0:
        raise ConfigError(f"{name} is {value}", where="limits", mend="give a number above or equal to 0")
    if value > _MOST or (name.endswith(("_bps", "_ms")) and value != int(value)):
        raise ConfigError(f"{name} is {value}", where="limits", mend=f"give a number up to {_MOST}, of bps and ms a whole one")


def _exact(values: Mapping[str, Any]) -> dict[str, Any]:
    # A float is read through its shortest text, as everywhere: 0.1 means 0.1.
    def one(value: Any) -> Any:
        if isinstance(value, float):
            return str(Decimal(repr(value)))
        if isinstance(value, Mapping):
            return {k: one(v) for k, v in value.items()}
        return str(value) if isinstance(value, Decimal) else value

    out: dict[str, Any] = one(values)
    for name, value in out.items():
        if name in _OPTIONAL and value in ("off", "Infinity"):
            out[name] = "Infinity"
        elif name.startswith("max_") and isinstance(value, str):
            to_units_or_refuse(name, value)
    return out


def to_units_or_refuse(name: str, text: str) -> None:
    """Raise ConfigError unless the text is a plain decimal number that 64 bits hold at nine decimals."""
    try:
        to_units(text)
    except ValueError as e:
        raise ConfigError(f"{name}: {e}", where="limits", mend="give a plain number") from None


def _looser(name: str, new: Any, old: Any) -> bool:
    if new is None or new == old:
        return False
    if old is None:
        return True
    return bool(Decimal(new) < Decimal(old) if name in _TIGHTER_IS_MORE else Decimal(new) > Decimal(old))
