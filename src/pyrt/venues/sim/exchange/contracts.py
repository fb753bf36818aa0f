"""Options at the exchange: the contracts that are listed, their quotes for the matcher, and what an order in them needs."""

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid5

import msgspec
import numpy as np

from pyrt._core.types import NO_PRICE, RecordType, Side, format_units, market_dtype, quote_dtype, trade_dtype
from pyrt.calendar import Calendar, Session
from pyrt.clock import MINUTE, SECOND
from pyrt.model import AssetClass, Instrument
from pyrt.venues.sim.exchange import mleg, option_terms, rules
from pyrt.venues.sim.exchange.account import Account, Figures, Position, money, money_text
from pyrt.venues.sim.exchange.assets import NAMESPACE
from pyrt.venues.sim.exchange.margin import Leg, Need, joined, need
from pyrt.venues.sim.exchange.orders import FIRST_CONTRACT, Row, Terms, VenueRefusal, invalid
from pyrt.venues.sim.market import options
from pyrt.venues.sim.market.options import CENT, GRID, MULTIPLIER, Contract, Quote
from pyrt.venues.sim.times import new_york, new_york_midnight

if TYPE_CHECKING:
    from pyrt.venues.sim.exchange.exchange import Exchange

LISTED_FROM = 5 * 100 * CENT  # px units: a cheaper underlying has no options
EXP = -2  # the exponent of money(): contracts count a hundredfold
RETRY_MAX = 3600 * SECOND
CALENDAR = Calendar()  # contracts end with the sessions of the exchange, also where the venue never closes


class Options:
    """The option side of one exchange. `level` is what its accounts may trade: 0 nothing ... 3 spreads."""

    def __init__(self, exchange: "Exchange", level: int) -> None:
        if level not in range(4):
            raise ValueError("an options level is 0, 1, 2 or 3")
        self.level = level
        self.contracts: dict[int, Contract] = {}
        self._exchange = exchange
        self._names: dict[str, Contract] = {}
        self._shown: dict[int, Quote] = {}  # what the matcher was last told
        self._taken: dict[tuple[int, Side], int] = {}  # of it by our orders
        self._made_of: dict[int, tuple[int, int]] = {}  # the spot and the minute that it was made of
        mleg.define(exchange)

    # ------------------------------------------------------------------------------------------------ listing
    def begin(self, now: int) -> None:
        """Let contracts be listed from now on."""
        self._exchange.state.put(now + SECOND, "list_contracts", wait=SECOND)

    def list_contracts(self, wait: int = 0) -> None:
        """List what the day lacks around each underlying's price; with `wait` again at midnight, or so soon where one had none."""
        exchange = self._exchange
        now = exchange.now
        missing = False
        for underlying in [i for i in exchange.assets_.instruments.values() if i.asset_class == AssetClass.US_EQUITY]:
            px = exchange.mark(underlying.id)
            missing |= not px
            asset = exchange.assets_.shown[underlying.id]
            if px >= LISTED_FROM and asset["tradable"]:
                if "has_options" not in asset["attributes"]:
                    asset["attributes"] = [*asset["attributes"], "has_options"]
                exchange.state.listings.append((now, underlying.id, px))
                self._list(underlying, px, now)
        if wait:
            soon = now + wait
            midnight = new_york_midnight(now, 1)
            at, wait = (soon, min(2 * wait, RETRY_MAX)) if missing and soon < midnight else (midnight, SECOND)
            exchange.state.put(at, "list_contracts", wait=wait)

    def _list(self, underlying: Instrument, px: int, at: int) -> None:
        """The contracts of an underlying that are missing at a price and an instant; the same calls give the same ids."""
        root = option_terms.root_of(underlying)
        for friday in options.expirations(new_york(at).date()):
            session = next(found for n in range(7) if (found := CALENDAR.session_on(friday - timedelta(n))))
            if session.close <= at:
                continue
            for strike in options.strikes(px):
                for is_call in (True, False):
                    symbol = options.occ(root, session.date, is_call, strike)
                    if symbol not in self._names:
                        self._add(root, underlying.id, session, is_call, strike)

    def _add(self, root: str, underlying: int, session: Session, is_call: bool, strike: int) -> None:
        contract = Contract(
            id=FIRST_CONTRACT + len(self.contracts),
            symbol=options.occ(root, session.date, is_call, strike),
            root=root,
            underlying=underlying,
            expiration=session.date,
            expires=session.close,
            is_call=is_call,
            strike=strike,
        )
        self.contracts[contract.id] = contract
        self._names[contract.symbol] = self._names[str(uuid5(NAMESPACE, contract.symbol))] = contract

    def load(self) -> None:
        """Know again what the state has listed, and trade what it trades."""
        state = self._exchange.state
        if not state.listings and state.now:
            self.begin(state.now)
        for at, underlying, px in state.listings:
            instrument = self._exchange.assets_.instruments.get(underlying)
            if instrument is not None:
                self._list(instrument, px, at)
        used = {row.instrument for row in state.rows} | {i for a in state.accounts.values() for i in a.positions}
        for number in sorted(used & self.contracts.keys()):
            self.trade(self.contracts[number])

    def lists(self, name: str) -> bool:
        """Whether there is a contract of that symbol or id."""
        return name in self._names

    def contract(self, name: str) -> Contract:
        """The contract of an OCC symbol or an id. Raises VenueRefusal 404."""
        found = self._names.get(name)
        if found is None:
            raise VenueRefusal(404, 40410000, f"option contract not found for {name}")
        return found

    def find(self, name: object) -> Instrument | None:
        """The instrument of a contract's symbol or id, traded from now on; None for another name."""
        found = self._names.get(name) if isinstance(name, str) else None
        return None if found is None else self.trade(found)

    def trade(self, contract: Contract) -> Instrument:
        """The contract as an instrument of the matcher; it settles by itself at its expiry."""
        exchange = self._exchange
        known = exchange.assets_.instruments.get(contract.id)
        if known is not None:
            return known
        instrument = option_terms.instrument(contract.id, contract.symbol)
        exchange.assets_.add(instrument)
        exchange.assets_.shown[contract.id] = option_terms.show_asset(contract)
        exchange.matcher.add(contract.id)
        return instrument

    def due(self, contract: Contract) -> None:
        """Put the contract's expiry on the agenda, once for all contracts of an underlying and a day."""
        state, key = self._exchange.state, f"{contract.underlying}:{contract.expires}"
        if key not in state.expiries:
            state.expiries.append(key)
            state.put(contract.expires, "expire", underlying=contract.underlying, expires=contract.expires)

    # ------------------------------------------------------------------------------------------------ quotes
    def mid(self, underlying: int) -> int:
        """The mid of the underlying's quote; px units, 0 = it has none."""
        bid, _, ask, _, _ = self._exchange.matcher.top(underlying)
        return (bid + ask) // 2 if bid and ask else 0

    def spot(self, underlying: int) -> int:
        """The same, else its mark."""
        return self.mid(underlying) or self._exchange.mark(underlying)

    def quote(self, contract: Contract) -> Quote:
        """What is bid and asked now; nothing while the underlying has no quote."""
        return self._quote(contract, self.mid(contract.underlying))

    def _quote(self, contract: Contract, spot: int) -> Quote:
        now = self._exchange.now
        return options.quote(contract, spot, now) if spot and now <= contract.expires else Quote(0, 0, 0, 0)

    def mark(self, instrument: int) -> int:
        """What a contract is valued at: the middle of its quote; px units."""
        contract = self.contracts.get(instrument)
        return 0 if contract is None else self._quote(contract, self.spot(contract.underlying)).mid

    def left(self, contract: Contract, side: Side) -> int:
        """Contracts that a taker of `side` finds at the quote that the matcher was told."""
        shown = self._shown.get(contract.id, Quote(0, 0, 0, 0))
        return (shown.ask_qty if side is Side.BUY else shown.bid_qty) - self._taken.get((contract.id, side), 0)

    def took(self, instrument: int, side: Side, qty: int) -> None:
        """An order of ours traded."""
        self._taken[instrument, side] = self._taken.get((instrument, side), 0) + qty

    def refresh(self, contract: Contract) -> Quote:
        """Tell the matcher the present quote, where it is another. The caller settles."""
        old, now = self._shown.get(contract.id), self._exchange.now
        made_of = self.mid(contract.underlying), now // MINUTE
        if old is not None and self._made_of[contract.id] == made_of and now <= contract.expires:
            return old
        fresh = self.quote(contract)
        self._made_of[contract.id] = made_of
        if fresh != old:
            self._shown[contract.id] = fresh
            for side, told, before in ((Side.BUY, fresh[2:], old and old[2:]), (Side.SELL, fresh[:2], old and old[:2])):
                if told != before:
                    self._taken.pop((contract.id, side), None)
            self._exchange.matcher.market(_quote_record(contract.id, fresh, now))
        return fresh

    def requote(self) -> None:
        """The agenda's tick while orders in contracts are open: new quotes, the prints since the last one, and who meets them."""
        exchange = self._exchange
        exchange.state.requotes = False
        for number in sorted({i for (_, i), open_ in exchange._open.items() if open_.rows and i > mleg.PACKAGE}):
            contract = self.contracts[number]
            fresh = self.refresh(contract)
            for print_ in options.prints(contract, exchange.now - GRID + 1, exchange.now):
                px = fresh.ask if print_.lifts else fresh.bid
                if px:
                    exchange.matcher.market(_trade_record(number, px, print_.qty, exchange.now))
            exchange._settle()
        mleg.meet(exchange)
        self.keep()

    def keep(self) -> None:
        """Have the next tick on the agenda while an order in a contract is open."""
        exchange = self._exchange
        if not exchange.state.requotes and any(open_.rows for (_, i), open_ in exchange._open.items() if i >= mleg.PACKAGE):
            exchange.state.requotes = True
            at = (exchange.now // GRID + 1) * GRID
            if exchange.hours.calendar is not None and not exchange.hours.is_open(at):
                at = exchange.hours.calendar.next_open(at)  # the open routes what waits: nothing trades before
            exchange.state.put(at, "requote")

    def route(self, row: Row) -> bool:
        """Before an order in a contract goes to the matcher; False where it does not go there itself."""
        if row.ratio:
            return False
        self.keep()
        if row.instrument == mleg.PACKAGE:
            mleg.route(self._exchange, row)
            return False
        self.refresh(self.contracts[row.instrument])
        self._exchange._settle()
        return True

    # ------------------------------------------------------------------------------------------------ money and shares
    def legs(self, owner: Account, without: Row | None = None) -> dict[int, list[Leg]]:
        """Positions and what open orders may add to them at worst, by underlying; a package adds all of its legs."""
        found: dict[int, list[Leg]] = {}
        for number, position in owner.positions.items():
            if number >= FIRST_CONTRACT and position.qty:
                self.add(found, number, position.qty)
        for (account, number), open_ in self._exchange._open.items():
            if account != owner.id or number < FIRST_CONTRACT:
                continue
            for row in open_:
                counts = row.ratio or row.side is Side.SELL
                if counts and (without is None or without.number not in (row.number, row.parent)):
                    self.add(found, number, row.leaves if row.side is Side.BUY else -row.leaves)
        return found

    def add(self, found: dict[int, list[Leg]], number: int, qty: int) -> None:
        """Add contracts to legs by underlying."""
        c = self.contracts[number]
        found.setdefault(c.underlying, []).append(Leg(c.is_call, c.strike, c.expires, qty))

    def need(self, owner: Account, underlying: int, legs: Iterable[Leg]) -> Need:
        """What legs on one underlying need beside the account's free shares of it."""
        held = self._exchange._open_orders(owner.id, underlying).held[Side.SELL]
        shares = owner.positions.get(underlying, Position()).qty - held
        one = MULTIPLIER * 10 ** self._exchange.assets_.instruments[underlying].qty_exp
        return need(joined(legs), max(0, shares // one), spreads=self.level_of(owner) >= 3)

    def covering(self, owner: Account, underlying: int) -> int:
        """Qty units of an underlying that stand behind short calls, open orders included."""
        legs = self.legs(owner).get(underlying)
        if not legs:
            return 0
        one = MULTIPLIER * 10 ** self._exchange.assets_.instruments[underlying].qty_exp
        return int(self.need(owner, underlying, legs).covering * one)

    def level_of(self, owner: Account) -> int:
        """The account's options trading level: the venue's, or what its owner wishes below that."""
        wish = owner.configuration.max_options_trading_level
        return self.level if wish is None else min(self.level, wish)

    def figures(self, owner: Account, worth: Figures) -> Figures:
        """What options add to an account's figures."""
        ordered = any(number >= mleg.PACKAGE for account, number in self._exchange._open if account == owner.id)
        if not ordered and not any(number >= FIRST_CONTRACT for number in owner.positions):
            return worth
        net = gross = locked = reserved = 0
        held: dict[int, list[Leg]] = {}
        for number, position in owner.positions.items():
            if number >= FIRST_CONTRACT and position.qty:
                value = money(self.mark(number), position.qty, EXP)
                net, gross = net + value, gross + abs(value)
                self.add(held, number, position.qty)
        for underlying, legs in held.items():
            locked += money(self.need(owner, underlying, legs).loss, 1, EXP)
        for (account, number), open_ in self._exchange._open.items():
            if account == owner.id and number >= mleg.PACKAGE:
                reserved += sum(row.reserved for row in open_)
        return msgspec.structs.replace(worth, options=net, options_gross=gross, locked=locked, options_reserved=reserved)

    def afford(self, owner: Account, instrument: Instrument, terms: Terms, old: Row | None) -> tuple[str, int]:
        """The position intent and the px units that each contract's share reserves. Raises VenueRefusal."""
        contract = self.contracts[instrument.id]
        open_ = self._exchange._open_orders(owner.id, instrument.id)
        rules.refuse_wash(open_, terms, {old.number} if old else ())
        self.refuse_level(owner, contract, 1)
        position = owner.positions.get(instrument.id, Position())
        intent = rules.position_intent(position.qty, terms)
        wanted = terms.qty - (old.spent if old else 0)
        if intent.endswith("close"):
            rules.refuse_short_of_shares(instrument, open_, position.qty, terms.side, wanted, old.held if old else 0)
        back = old.reserved if old else 0
        if terms.side is Side.SELL:
            unit_px = self._collateral(owner, contract, wanted, old)
        elif intent.endswith("close"):
            return intent, 0
        else:
            self.refuse_level(owner, contract, 2)
            unit_px = option_terms.premium(terms, self.quote(contract).ask)
        self.refuse_cost(owner, money(unit_px, wanted, EXP), back, contract, terms.side)
        self.due(contract)
        return intent, unit_px

    def refuse_level(self, owner: Account, contract: Contract | None, wanted: int) -> None:
        """403 where the account's level is too low; 422 where the contract has expired."""
        if contract is not None and self._exchange.now >= contract.expires:
            raise invalid(f"option contract {contract.symbol} has expired")
        level = self.level_of(owner)
        if level < wanted:
            what = "options trading is not enabled for this account" if not level else f"this order needs options level {wanted}"
            raise VenueRefusal(403, 40310000, f"account not eligible: {what}", options_trading_level=level)

    def _collateral(self, owner: Account, contract: Contract, qty: int, old: Row | None) -> int:
        """Px units that a contract's share must have behind it, after a sale of `qty`."""
        legs = self.legs(owner, old).get(contract.underlying, [])
        before = self.need(owner, contract.underlying, legs)
        after = self.need(owner, contract.underlying, [*legs, Leg(contract.is_call, contract.strike, contract.expires, -qty)])
        self.refuse_naked(owner, contract.underlying, after)
        return -(-max(0, after.loss - before.loss) // qty)

    def refuse_naked(self, owner: Account, underlying: int, after: Need) -> None:
        """403 where a short call has neither shares nor a long call behind it."""
        if not after.naked:
            return
        held = self._exchange._open_orders(owner.id, underlying).held[Side.SELL]
        exp = self._exchange.assets_.instruments[underlying].qty_exp
        shares = max(0, owner.positions.get(underlying, Position()).qty - held)
        required, available = str((after.naked + after.covering) * MULTIPLIER), format_units(shares, exp)
        message = f"insufficient underlying qty available for covered call (required: {required}, available: {available})"
        raise VenueRefusal(403, 40310000, message, available_qty=available, required_qty=required)

    def refuse_cost(self, owner: Account, cost: int, back: int, contract: Contract | None, side: Side) -> None:
        """403 where the options buying power, with `back` that a replaced order frees, is below the cost."""
        free = self._exchange.figures(owner).options_free + back
        if cost > max(free, 0):
            power, basis = money_text(max(0, free)), money_text(cost)
            what = ""
            if contract is not None and side is Side.SELL and not contract.is_call:
                what = f" for cash-secured put (required: {basis}, available: {power})"
            message = f"insufficient options buying power{what}"
            raise VenueRefusal(403, 40310000, message, options_buying_power=power, cost_basis=basis)


def _quote_record(instrument: int, quote: Quote, at: int) -> Any:
    row = np.zeros(1, dtype=quote_dtype)
    row["type"], row["instrument"], row["ts_event"] = int(RecordType.QUOTE), instrument, at
    row["bid_px"], row["ask_px"] = quote.bid or NO_PRICE, quote.ask or NO_PRICE
    row["bid_qty"], row["ask_qty"] = quote.bid_qty, quote.ask_qty
    return row.view(market_dtype)


def _trade_record(instrument: int, px: int, qty: int, at: int) -> Any:
    row = np.zeros(1, dtype=trade_dtype)
    row["type"], row["instrument"], row["ts_event"] = int(RecordType.TRADE), instrument, at
    row["px"], row["qty"] = px, qty
    return row.view(market_dtype)
