"""What short options must have behind them: the greatest loss that the position can bring, and the shares that cover calls."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Leg(NamedTuple):
    """Contracts of one kind on one underlying; qty negative = short."""

    is_call: bool
    strike: int  # px units
    expires: int  # ns UTC
    qty: int


class Need(NamedTuple):
    """What must be kept: `loss` px units * contracts, `covering` contracts' worth of shares, `naked` calls that nothing covers."""

    loss: int
    covering: int
    naked: int


def _payoff(legs: Iterable[Leg], spot: int) -> int:
    """At expiry, px units * contracts."""
    return sum(leg.qty * max(0, spot - leg.strike if leg.is_call else leg.strike - spot) for leg in legs)


def _without(legs: Sequence[Leg], calls: int) -> list[Leg]:
    """The legs less so many short calls, those with the lowest strikes: shares stand behind them."""
    kept = [leg for leg in legs if not (leg.is_call and leg.qty < 0)]
    for leg in sorted(leg for leg in legs if leg.is_call and leg.qty < 0):
        covered = min(calls, -leg.qty)
        calls -= covered
        if leg.qty + covered:
            kept.append(leg._replace(qty=leg.qty + covered))
    return kept


def need(legs: Sequence[Leg], shares: int, *, spreads: bool) -> Need:
    """What `legs`, all on one underlying, need beside `shares` contracts' worth of free shares.

    The universal spread rule: at every expiration the options that live until then are worth their intrinsic value, and the
    worst price of the underlying counts. Without `spreads` a long option covers nothing, so a short put needs its strike.
    """
    if not spreads:
        legs = [leg for leg in legs if leg.qty < 0]
    worst = Need(0, 0, 0)
    for day in {leg.expires for leg in legs}:
        alive = [leg for leg in legs if leg.expires >= day]
        bare = max(0, -sum(leg.qty for leg in alive if leg.is_call))
        covering = min(bare, shares)
        left = _without(alive, bare)
        # Linear between strikes and, with no call bare, flat or rising beyond the last: the corners are enough.
        loss = max(-_payoff(left, spot) for spot in {0, *(leg.strike for leg in left)})
        worst = Need(max(worst.loss, loss), max(worst.covering, covering), max(worst.naked, bare - covering))
    return worst


def joined(legs: Iterable[Leg]) -> list[Leg]:
    """One leg for each contract."""
    sums: dict[tuple[bool, int, int], int] = {}
    for is_call, strike, expires, qty in legs:
        sums[is_call, strike, expires] = sums.get((is_call, strike, expires), 0) + qty
    return [Leg(*key, qty) for key, qty in sums.items() if qty]
