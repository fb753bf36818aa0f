"""Indicators by their definitions, each value from its whole past with exact sums: slow, and nothing to drift."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import fsum, log, nan, sqrt

Floats = Sequence[float]


def windows(x: Floats, n: int) -> list[Floats | None]:
    return [x[i + 1 - n : i + 1] if i + 1 >= n else None for i in range(len(x))]


def mean(x: Floats) -> float:
    return fsum(x) / len(x)


def sma(x: Floats, n: int) -> list[float]:
    return [nan if w is None else mean(w) for w in windows(x, n)]


def wma(x: Floats, n: int) -> list[float]:
    return [nan if w is None else fsum(k * v for k, v in enumerate(w, 1)) / (n * (n + 1) / 2) for w in windows(x, n)]


def squares(w: Floats) -> Fraction:
    """The sum of squared distances from the mean, exact."""
    exact = [Fraction(v) for v in w]
    return sum((v * v for v in exact), Fraction()) - sum(exact, Fraction()) ** 2 / len(w)


def deviation(x: Floats, n: int, ddof: int = 0) -> list[float]:
    return [nan if w is None else sqrt(squares(w) / (n - ddof)) for w in windows(x, n)]


def z_score(x: Floats, n: int, ddof: int = 0) -> list[float]:
    spread = deviation(x, n, ddof)
    far = [nan if w is None else float(Fraction(w[-1]) - sum(map(Fraction, w)) / n) for w in windows(x, n)]
    return [f / d if d else 0 * f for f, d in zip(far, spread, strict=True)]


def forgetting(x: Floats, n: int, share: float) -> list[float]:
    """The mean of the first n, then each value takes its share."""
    out = [nan] * (n - 1) + [mean(x[:n])]
    for v in x[n:]:
        out.append(out[-1] + share * (v - out[-1]))
    return out


def ema(x: Floats, n: int) -> list[float]:
    return forgetting(x, n, 2 / (n + 1))


def rsi(x: Floats, n: int) -> list[float]:
    changes = [b - a for a, b in pairwise(x)]
    ups = forgetting([max(c, 0) for c in changes], n, 1 / n)
    downs = forgetting([max(-c, 0) for c in changes], n, 1 / n)
    return [nan] + [100 * u / (u + d) if u + d else 0 * u for u, d in zip(ups, downs, strict=True)]


def returns(x: Floats, n: int, logarithm: bool = False) -> list[float]:
    return [nan] * n + [log(b / a) if logarithm else b / a - 1 for a, b in zip(x, x[n:], strict=False)]


def volatility(x: Floats, n: int, a_year: float = 0) -> list[float]:
    squares = [nan] + [r * r for r in returns(x, 1, True)[1:]]
    return [nan if i < n else sqrt(fsum(squares[i + 1 - n : i + 1]) * (a_year / n if a_year else 1)) for i in range(len(x))]


def vwap(price: Floats, volume: Floats, n: int = 0) -> list[float]:
    out = []
    for i in range(len(price)):
        first = i + 1 - n if n else 0
        money = [p * v for p, v in zip(price[max(first, 0) : i + 1], volume[max(first, 0) : i + 1], strict=True)]
        traded = fsum(volume[max(first, 0) : i + 1])
        out.append(nan if first < 0 else fsum(money) / traded if traded else price[i])
    return out
