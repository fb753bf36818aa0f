"""The end of option contracts: expiry at the close of their last day, exercise before it, and the word not to exercise.

At expiry the underlying's mark decides. In the money by 0.01 or more, a long contract is exercised and a short one assigned;
anything else expires. What brings shares in goes before what takes shares out, so both sides of a spread settle against each
other. A long put is exercised as far as there are shares to deliver and expires otherwise; a long call as far as there is
buying power, and what is left is settled in cash at what it is worth, as the venue would have closed it before.
"""

from typing import TYPE_CHECKING

from pyrt._core.types import Side, format_units
from pyrt.venues.sim.exchange.account import Account, Position, money, value_exp
from pyrt.venues.sim.exchange.activities import enter
from pyrt.venues.sim.exchange.margin import Leg
from pyrt.venues.sim.exchange.orders import FINAL, VenueRefusal, invalid
from pyrt.venues.sim.market.options import CENT, MULTIPLIER, Contract

if TYPE_CHECKING:
    from pyrt.venues.sim.exchange.exchange import Exchange

EXP = -2  # the exponent of money(): contracts count a hundredfold
EXERCISED, ASSIGNED, EXPIRED, CASH = (
    ("OPEXC", "Option Exercise"),
    ("OPASN", "Option Assignment"),
    ("OPEXP", "Option Expiration"),
    ("OPCSH", "Option Cash Settlement"),
)


def expire(exchange: "Exchange", underlying: int, expires: int) -> None:
    """The agenda's word that the contracts of one underlying and one day end now."""
    options = exchange.options
    if options is None:
        return
    ending = {c.id: c for c in options.contracts.values() if c.underlying == underlying and c.expires == expires}
    _end_orders(exchange, ending)
    spot = options.spot(underlying)
    for account in exchange.state.accounts.values():
        held = [(ending[i], p) for i, p in account.positions.items() if i in ending and p.qty]
        _settle(exchange, account, held, spot)
        account.no_exercise = [number for number in account.no_exercise if number not in ending]


def _end_orders(exchange: "Exchange", ending: dict[int, Contract]) -> None:
    for row in [row for (_, number), open_ in exchange._open.items() if number in ending for row in open_]:
        whole = exchange.state.rows[row.parent - 1] if row.ratio else row
        if whole.status not in FINAL:
            exchange.end(whole, "expired", exchange.now)


def _settle(exchange: "Exchange", account: Account, held: list[tuple[Contract, Position]], spot: int) -> None:
    def brings(contract: Contract, position: Position) -> bool:
        return contract.is_call == (position.qty > 0)  # long calls and short puts buy

    worth = [(c, p) for c, p in held if spot and c.intrinsic(spot) >= CENT and (p.qty < 0 or c.id not in account.no_exercise)]
    for contract, position in held:
        if (contract, position) not in worth:
            _close(exchange, account, contract, abs(position.qty), EXPIRED)
    sold = sum(money(c.strike, -p.qty, EXP) for c, p in worth if c.is_call and p.qty < 0)  # pays for exercised calls
    for contract, position in sorted(worth, key=lambda both: (not brings(*both), both[1].qty > 0, both[0].id)):
        qty = abs(position.qty)
        if position.qty < 0:
            _deliver(exchange, account, contract, qty, ASSIGNED)
            continue
        able = min(qty, _affordable(exchange, account, contract, sold))
        if able:
            _deliver(exchange, account, contract, able, EXERCISED)
        if qty > able:
            _close(exchange, account, contract, qty - able, CASH if contract.is_call else EXPIRED, contract.intrinsic(spot))


def _affordable(exchange: "Exchange", account: Account, contract: Contract, extra: int) -> int:
    """Contracts that can be exercised with the account's shares or, with `extra` money units more, its buying power."""
    if contract.is_call:
        worth = exchange.figures(account)
        return max(0, worth.free(worth.multiplier) + extra * worth.multiplier) // money(contract.strike, 1, EXP)
    one = MULTIPLIER * 10 ** exchange.assets_.instruments[contract.underlying].qty_exp
    shares = account.positions.get(contract.underlying, Position()).qty
    return int(max(0, shares) // one)


def _close(exchange: "Exchange", account: Account, contract: Contract, qty: int, how: tuple[str, str], px: int = 0) -> None:
    """Take contracts off the account; `px` is paid for each share only where they are settled in cash."""
    position = account.positions[contract.id]
    long = position.qty > 0
    kind, text = how
    px = px if how is CASH else 0
    position.fill(Side.SELL if long else Side.BUY, px, qty, EXP)
    shown = str(-qty if long else qty)
    enter(exchange, account.id, kind, money(px, qty, EXP), text, symbol=contract.symbol, qty=shown)


def _deliver(exchange: "Exchange", account: Account, contract: Contract, qty: int, how: tuple[str, str]) -> None:
    """Take contracts off the account and trade their shares at the strike."""
    long = account.positions[contract.id].qty > 0
    _close(exchange, account, contract, qty, how)
    side = Side.BUY if contract.is_call == long else Side.SELL
    instrument = exchange.assets_.instruments[contract.underlying]
    shares = qty * MULTIPLIER * 10**instrument.qty_exp
    account.positions.setdefault(instrument.id, Position()).fill(side, contract.strike, shares, value_exp(instrument))
    enter(
        exchange,
        account.id,
        "OPTRD",
        money(contract.strike, -qty if side is Side.BUY else qty, EXP),
        "Option Trade",
        symbol=instrument.symbol,
        qty=str(qty * MULTIPLIER if side is Side.BUY else -qty * MULTIPLIER),
        price=format_units(contract.strike),
    )


def exercise(exchange: "Exchange", name: str, now: int, account: str | None = None) -> None:
    """POST /v2/positions/{contract}/exercise: all contracts that no open order holds, at once. Raises VenueRefusal."""
    exchange.advance(now)
    owner = exchange._account(account)
    contract, position = _held(exchange, owner, name)
    if not exchange.hours.is_open(exchange.now):
        raise invalid("exercise requests are accepted in market hours only")
    qty = position.qty - exchange._open_orders(owner.id, contract.id).held[Side.SELL]
    able = _affordable(exchange, owner, contract, 0)
    if qty <= 0 or able < qty:
        short = "buying power" if contract.is_call else "shares"
        what = f"insufficient {short if qty > 0 else 'qty'} available to exercise {contract.symbol}"
        raise VenueRefusal(403, 40310000, what, available=str(max(0, min(qty, able))))
    assert exchange.options is not None
    legs = exchange.options.legs(owner).get(contract.underlying, [])
    taken = [leg for leg in legs if leg.qty < 0]
    if taken:  # a contract that stands behind a short one must stay
        _refuse_bare(exchange, owner, contract, qty)
    _deliver(exchange, owner, contract, qty, EXERCISED)


def _refuse_bare(exchange: "Exchange", owner: Account, contract: Contract, qty: int) -> None:
    options = exchange.options
    assert options is not None
    legs = [*options.legs(owner).get(contract.underlying, []), Leg(contract.is_call, contract.strike, contract.expires, -qty)]
    before = options.need(owner, contract.underlying, legs[:-1])
    after = options.need(owner, contract.underlying, legs)
    if contract.is_call:  # its shares come in
        after = after._replace(naked=max(0, after.naked - qty))
    options.refuse_naked(owner, contract.underlying, after)
    options.refuse_cost(owner, money(max(0, after.loss - before.loss), 1, EXP), 0, None, Side.BUY)


def do_not_exercise(exchange: "Exchange", name: str, now: int, account: str | None = None) -> None:
    """POST /v2/positions/{contract}/do-not-exercise: it will expire whatever it is worth. Raises VenueRefusal."""
    exchange.advance(now)
    owner = exchange._account(account)
    contract, _ = _held(exchange, owner, name)
    if contract.id not in owner.no_exercise:
        owner.no_exercise.append(contract.id)


def _held(exchange: "Exchange", owner: Account, name: str) -> tuple[Contract, Position]:
    instrument, position = exchange._position(name, owner.id)
    if exchange.options is None or instrument.id not in exchange.options.contracts:
        raise invalid(f"{instrument.symbol} is not an option contract")
    if position.qty < 0:
        raise VenueRefusal(403, 40310000, "only long contracts can be exercised")
    return exchange.options.contracts[instrument.id], position
