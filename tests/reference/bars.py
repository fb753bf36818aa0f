"""Bars from the whole set of trades at once, by dictionaries: what incremental aggregation must come to."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

VOLUME, RANGE, LAST = 1, 2, 4
ALL = 7


class Trade(NamedTuple):
    ts: int
    px: int
    qty: int
    fields: int = ALL
    id: int = 0


class Bar(NamedTuple):
    start: int
    end: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    notional: int
    trades: int


def epoch(interval: int) -> Callable[[int], tuple[int, int] | None]:
    return lambda ts: (ts - ts % interval, ts - ts % interval + interval)


def sessions(interval: int, edges: Sequence[int]) -> Callable[[int], tuple[int, int] | None]:
    def bounds(ts: int) -> tuple[int, int] | None:
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            if start <= ts < end:
                first = start + (ts - start) // interval * interval
                return first, min(first + interval, end)
        return None

    return bounds


def bars(trades: Iterable[Trade], bounds: Callable[[int], tuple[int, int] | None]) -> list[Bar]:
    """Trades in order of arrival; of equal times the first to arrive may open, the last may close."""
    windows: dict[tuple[int, int], list[Trade]] = {}
    for trade in trades:
        window = bounds(trade.ts)
        if window is not None and trade.fields:
            windows.setdefault(window, []).append(trade)
    out = []
    for (start, end), inside in sorted(windows.items()):
        inside = sorted(inside, key=lambda t: t.ts)
        last = [t.px for t in inside if t.fields & LAST]
        if not last:
            continue
        extremes = [t.px for t in inside if t.fields & RANGE] or [last[0], last[-1]]
        volume = [t for t in inside if t.fields & VOLUME]
        total, notional = sum(t.qty for t in volume), sum(t.px * t.qty for t in volume)
        out.append(Bar(start, end, last[0], max(extremes), min(extremes), last[-1], total, notional, len(inside)))
    return out
