"""GET /v2/account/portfolio/history: what an account was worth at the ends of windows of time, from its samples."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from pyrt.clock import DAY, MINUTE
from pyrt.venues.sim.exchange.account import Account, money_text
from pyrt.venues.sim.exchange.hours import Hours
from pyrt.venues.sim.exchange.orders import Body, invalid
from pyrt.venues.sim.times import new_york_midnight

if TYPE_CHECKING:
    from pyrt.venues.sim.exchange.activities import Entry

_PERIOD = re.compile(r"([1-9][0-9]{0,3})([DWMAdwma])", re.ASCII)
_KIND = re.compile(r"[A-Z]{2,8}")
_UNITS = {"D": DAY, "W": 7 * DAY, "M": 30 * DAY, "A": 365 * DAY}
_STEPS = {"1Min": MINUTE, "5Min": 5 * MINUTE, "15Min": 15 * MINUTE, "1H": 60 * MINUTE, "1D": DAY}
_LONGEST = 30 * DAY  # of windows shorter than a day


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A question, understood; times ns UTC."""

    start: int
    end: int
    timeframe: str  # a key of _STEPS
    reporting: str  # "market_hours", "extended_hours", "continuous"
    per_day: bool  # profit counts from the beginning of each day
    flows: frozenset[str] | None = frozenset()  # types of activities whose money is told; None = all that there are


def read(asked: dict[str, Any], now: int) -> Ask:
    """The parameters of a request. Raises VenueRefusal 422."""
    period, start, end = asked.get("period"), asked.get("start"), asked.get("end")
    if end is None and asked.get("date_end") is not None:
        end = asked["date_end"] + DAY
    if period and start is not None and end is not None:
        raise invalid("only two of start, end and period can be specified", 40010001)
    span = _span(period or "1M")
    if start is None:
        end = now if end is None else end
        start = end - span
    elif end is None:
        end = start + span if period else now
    if end < start:
        raise invalid("end must not be before start", 40010001)
    timeframe = _timeframe(asked.get("timeframe") or "", end - start)
    extended = asked.get("extended_hours") and asked.get("intraday_reporting", "market_hours") == "market_hours"
    return Ask(
        start=start,
        end=min(end, now),
        timeframe=timeframe,
        reporting="extended_hours" if extended else asked.get("intraday_reporting") or "market_hours",
        per_day=asked.get("pnl_reset") != "no_reset",
        flows=_flows(asked.get("cashflow_types") or "NONE"),
    )


def _flows(given: str) -> frozenset[str] | None:
    kinds = frozenset(kind.strip().upper() for kind in given.split(",") if kind.strip())
    if not kinds <= {"ALL", "NONE"} and not all(_KIND.fullmatch(kind) for kind in kinds):
        raise invalid(f"invalid cashflow_types: {given}", 40010001)
    return None if "ALL" in kinds else kinds - {"NONE"}


def _span(period: str) -> int:
    found = _PERIOD.fullmatch(period)
    if found is None:
        raise invalid(f"invalid period: {period}", 40010001)
    return int(found[1]) * _UNITS[found[2].upper()]


def _timeframe(given: str, span: int) -> str:
    if not given:
        return "1Min" if span < 7 * DAY else "15Min" if span < _LONGEST else "1D"
    timeframe = next(name for name in _STEPS if name.lower() == given.lower())
    if timeframe != "1D" and span > _LONGEST:
        raise invalid("timeframe must be 1D where the period is longer than 30 days", 40010001)
    return timeframe


def history(owner: Account, ask: Ask, now: int, present: int, hours: Hours, entries: "Sequence[Entry]") -> Body:
    """The object of the answer: windows by their beginnings, the equity at their ends, `present` in the one that is not over."""

    def worth(ns: int) -> int:
        found = owner.samples.at(ns)
        return owner.start_cash if found is None else found

    start = max(ask.start, owner.created_at)
    stamps, equity, profit, share = [], [], [], []
    base = worth(start)
    day, day_base = 0, base
    ends = []
    for begin, end in _windows(start, ask, hours):
        if ask.per_day and ask.timeframe != "1D" and begin >= day:
            day_base = worth(max(start, new_york_midnight(begin)))
            day = new_york_midnight(begin, 1)
        value = present if end > now else worth(end)
        ends.append(end)
        stamps.append(begin // 10**9)
        equity.append(_number(value))
        profit.append(_number(value - day_base))
        share.append(float(Decimal(value - day_base) / abs(day_base)) if day_base else 0.0)
    return {
        "timestamp": stamps,
        "equity": equity,
        "profit_loss": profit,
        "profit_loss_pct": share,
        "base_value": _number(base),
        "timeframe": ask.timeframe,
        **({} if ask.flows == frozenset() else {"cashflow": _cashflow(owner, ask, start, ends, entries)}),
    }


def _cashflow(owner: Account, ask: Ask, start: int, ends: list[int], entries: "Sequence[Entry]") -> dict[str, list[float]]:
    """The money of activities by their type, each in the first window that ends after it."""
    sums: dict[str, list[int]] = {kind: [0] * len(ends) for kind in sorted(ask.flows or ())}
    for entry in entries:
        place, wanted = bisect_right(ends, entry.ts), ask.flows is None or entry.type in ask.flows
        if wanted and entry.account == owner.id and entry.net and start <= entry.ts and place < len(ends):
            sums.setdefault(entry.type, [0] * len(ends))[place] += entry.net
    return {kind: [_number(units) for units in row] for kind, row in sums.items()}


def _windows(start: int, ask: Ask, hours: Hours) -> Iterator[tuple[int, int]]:
    """The windows that end after `start` and begin before the end, where the venue trades in them."""
    if ask.timeframe == "1D":
        begin = new_york_midnight(start)
        while begin <= ask.end:
            end = new_york_midnight(begin, 1)
            if hours.trades(begin, end):
                yield begin, end
            begin = end
        return
    step = _STEPS[ask.timeframe]
    begin = start // step * step
    while begin <= ask.end:
        if ask.reporting == "continuous" or hours.is_open(begin, extended=ask.reporting == "extended_hours"):
            yield begin, begin + step
        begin += step


def _number(units: int) -> float:
    return float(money_text(units))
