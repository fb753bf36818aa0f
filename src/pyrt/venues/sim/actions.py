"""Corporate actions as data: what a share becomes or pays, and when; for the market, the exchange and the data host."""

import tomllib
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid5

import msgspec

from pyrt.calendar import NEW_YORK
from pyrt.clock import SECOND
from pyrt.errors import ConfigError

Kind = Literal["forward_split", "reverse_split", "cash_dividend"]
Standing = Literal["", "adjust", "cancel", "keep"]

NAMESPACE = UUID("7d3b6c1e-2f0a-5a52-9f4e-70797274aa02")
HOUR_OF_DAY = time(2)  # New York: when an action takes effect on its ex date


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One corporate action. Splits: old_rate shares become new_rate. Dividends: `rate` dollars a share."""

    kind: Kind
    symbol: str
    ex_date: date
    new_rate: int = 1
    old_rate: int = 1
    rate: str = "0"
    special: bool = False
    foreign: bool = False
    record_date: date | None = None
    payable_date: date | None = None  # of a dividend: when it is paid; without one on the ex date
    withheld: str = "0"  # part of a dividend that is kept back for a tax, 0 to 1
    cash_in_lieu: bool = False  # fractions that a split leaves are paid out, not kept
    orders: Standing = (
        ""  # what becomes of open orders; "" = adjust at a forward split, cancel at a reverse one, keep at a dividend
    )

    def __post_init__(self) -> None:
        if not (0 < self.new_rate <= 10**6 and 0 < self.old_rate <= 10**6):
            raise ValueError("new_rate and old_rate are from 1 to 1000000")
        if self.kind == "cash_dividend":
            rate = _number("rate", self.rate)
            if not 0 < rate < 10**6 or rate * 10**9 % 1:
                raise ValueError("a dividend has a rate above 0 with at most 9 decimals")
            if not 0 <= _number("withheld", self.withheld) <= 1:
                raise ValueError("withheld is from 0 to 1")
        elif (self.new_rate > self.old_rate) != (self.kind == "forward_split") or self.new_rate == self.old_rate:
            raise ValueError("a forward split makes more shares of old ones, a reverse split fewer")

    @property
    def id(self) -> str:
        """A UUID that depends on what it is."""
        return str(uuid5(NAMESPACE, f"{self.kind} {self.symbol} {self.ex_date} {self.new_rate} {self.old_rate} {self.rate}"))

    @property
    def is_split(self) -> bool:
        """Changes shares, not money."""
        return self.kind != "cash_dividend"

    @property
    def ratio(self) -> Fraction:
        """New shares for an old one."""
        return Fraction(self.new_rate, self.old_rate)

    @property
    def standing(self) -> Standing:
        """What becomes of open orders."""
        return self.orders or {"forward_split": "adjust", "reverse_split": "cancel", "cash_dividend": "keep"}[self.kind]  # type: ignore[return-value]

    @property
    def ex(self) -> int:
        """02:00 New York of the ex date, ns UTC: splits are made, the price is without the dividend."""
        return instant(self.ex_date)

    @property
    def pay(self) -> int:
        """When a dividend is paid, ns UTC: never before it is earned."""
        return max(instant(self.payable_date or self.ex_date), self.ex)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    action: list[Action]


def instant(day: date) -> int:
    """02:00 New York of a date, ns UTC; a clock change that skips it gives the same instant an hour on."""
    return int(datetime.combine(day, HOUR_OF_DAY, NEW_YORK).timestamp()) * SECOND


def _number(name: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite():
        raise ValueError(f"{name} is not a number: {text}")
    return value


def read_actions(path: Path) -> tuple[Action, ...]:
    """The actions of a TOML file of [[action]] tables, or of a JSON list. Raises ConfigError."""
    mend = 'write [[action]] tables with kind = "forward_split", symbol, ex_date, new_rate, old_rate; or cash_dividend with rate'
    try:
        raw = path.read_bytes()
        if path.suffix == ".json":
            return tuple(msgspec.json.decode(raw, type=list[Action]))
        return tuple(msgspec.convert(_toml(raw), _File).action)
    except OSError as e:
        raise ConfigError(f"the corporate actions cannot be read: {e.strerror}", where=str(path), mend="name a file") from None
    except (ValueError, ArithmeticError, msgspec.MsgspecError) as e:
        raise ConfigError(f"the corporate actions are not what they should be: {e}", where=str(path), mend=mend) from None


def _toml(raw: bytes) -> Any:
    # Numbers of money stay text: 0.24 never passes through a float.
    return _texts(tomllib.loads(raw.decode(), parse_float=str))


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: str(v) if k in ("rate", "withheld") else _texts(v) for k, v in value.items()}
    return [_texts(v) for v in value] if isinstance(value, list) else value


def since(actions: Sequence[Action], symbol: str, start: int, end: int) -> list[Action]:
    """The actions of a symbol with start < ex <= end, ns UTC, oldest first."""
    return sorted((a for a in actions if a.symbol == symbol and start < a.ex <= end), key=lambda a: a.ex)
