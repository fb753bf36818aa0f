"""Bars that close by what was traded, by their definitions: lists of trades, cut one after the other."""

from collections.abc import Callable
from fractions import Fraction

from tests.reference.bars import LAST, RANGE, VOLUME, Bar, Trade

Cut = Callable[[list[Trade]], bool]


def bar(inside: list[Trade]) -> Bar:
    priced = [t.px for t in inside if t.fields & LAST]
    ranged = [t.px for t in inside if t.fields & RANGE] or [priced[0], priced[-1]]
    counted = [t for t in inside if t.fields & VOLUME]
    return Bar(
        inside[0].ts, max(t.ts for t in inside), priced[0], max(ranged), min(ranged), priced[-1],
        sum(t.qty for t in counted), sum(t.px * t.qty for t in counted), len(inside),
    )  # fmt: skip


def cut(trades: list[Trade], whole: Cut, closed: Callable[[list[Trade]], None] = lambda inside: None) -> list[Bar]:
    """A bar is whole with the first trade after which `whole` says so and some trade set a price; what is left over is none."""
    out, inside = [], []
    for trade in trades:
        if trade.fields:
            inside.append(trade)
            if any(t.fields & LAST for t in inside) and whole(inside):
                out.append(bar(inside))
                closed(inside)
                inside = []
    return out


def ticks(n: int) -> Cut:
    return lambda inside: len(inside) >= n


def volume(qty: int) -> Cut:
    return lambda inside: sum(t.qty for t in inside if t.fields & VOLUME) >= qty


def dollars(money: Fraction, qty_exp: int) -> Cut:
    return lambda inside: abs(sum(t.px * t.qty for t in inside if t.fields & VOLUME)) >= money * 10 ** (9 + qty_exp)


def spread(px: int) -> Cut:
    ranged = lambda inside: [t.px for t in inside if t.fields & RANGE]  # noqa: E731
    return lambda inside: bool(ranged(inside)) and max(ranged(inside)) - min(ranged(inside)) >= px


class Imbalance:
    """Lopez de Prado 2018, 2.3.2, with the tick rule, exponential averages over bars, and a tenth to ten times of leeway."""

    def __init__(self, trades: list[Trade], expected: int, of: str, span: int, qty_exp: int) -> None:
        self.expected, self.side, self.begun = float(expected), 0.0, False
        self.least, self.most, self.alpha = expected / 10, expected * 10.0, 2 / (span + 1)
        self.flow = {}  # of each trade by its place
        side, px = 0, 0
        one = 10.0**qty_exp
        for place, t in enumerate(trades):
            if t.fields & LAST and px and t.px != px:
                side = 1 if t.px > px else -1
            px = t.px if t.fields & LAST else px
            quantity = t.qty / one if t.fields & VOLUME else 0.0
            self.flow[place] = side * {"tick": 1.0, "volume": quantity, "dollar": quantity * (t.px / 1e9)}[of]
        self.at = 0

    def theta(self, inside: list[Trade]) -> float:
        theta = 0.0
        for place in range(self.at, self.at + len(inside)):
            theta += self.flow[place]
        return theta

    def whole(self, inside: list[Trade]) -> bool:
        if not self.begun:
            return len(inside) >= self.expected
        enough = abs(self.theta(inside)) >= self.expected * abs(self.side)
        return len(inside) >= self.most or (len(inside) >= self.least and enough)

    def closed(self, inside: list[Trade]) -> None:
        n, each = len(inside), self.theta(inside) / len(inside)
        self.side = self.side + self.alpha * (each - self.side) if self.begun else each
        self.expected = min(max(self.expected + self.alpha * (n - self.expected), self.least), self.most)
        self.begun = True
        self.at += n
