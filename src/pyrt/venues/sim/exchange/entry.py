"""Whether a request may become an order: its terms, its account, its asset, the market, the money and the shares."""

from pyrt._core.types import Side
from pyrt.model import AssetClass, Instrument
from pyrt.venues.sim.exchange import admission, auctions, crypto, day_trades, notional, option_terms, rules, terms
from pyrt.venues.sim.exchange.account import Account, Position
from pyrt.venues.sim.exchange.orders import FIRST_CONTRACT, Body, Row, Terms, invalid
from pyrt.venues.sim.exchange.trade import Trading
from pyrt.venues.sim.times import new_york


class Entry(Trading):
    """Requests as rows. Raises VenueRefusal; then nothing has changed."""

    def _day(self, ns: int) -> str:
        return new_york(ns).date().isoformat()

    def _check(self, body: Body, owner: Account) -> tuple[Instrument, Terms, str, int]:
        terms.refuse_unreadable(body)
        symbol = body.get("symbol")
        if symbol in (None, ""):
            raise invalid("symbol is required", 40010001)
        instrument = self._find(symbol)
        if instrument is None:
            raise invalid(f'asset "{symbol}" not found')
        asset = self.assets_.shown[instrument.id]
        admission.refuse(owner, instrument, asset, body)
        if self.options is not None and instrument.id >= FIRST_CONTRACT:
            option_terms.refuse(body)
        order = terms.read_terms(body, instrument, bool(asset["fractionable"]))
        admission.refuse_terms(owner, instrument, asset, order)
        auctions.refuse(self.hours, self.state.now, order)
        self._fresh(owner, order.cid)
        if order.notional:
            order = notional.estimate(order, instrument, *self._prices(instrument), self._free(owner, instrument, order.side))
        intent, unit_px = self._afford(owner, instrument, order, None)
        if order.order_class in ("bracket", "oto"):
            bid, ask = self._prices(instrument)
            rules.refuse_base(order, order.limit_px or (ask if order.side is Side.BUY else bid))
        return instrument, order, intent, unit_px

    def _fresh(self, owner: Account, cid: str) -> None:
        if cid and cid in owner.cids:
            raise invalid("client_order_id must be unique", 40010001)

    def _prices(self, instrument: Instrument) -> tuple[int, int]:
        """What a seller and a buyer may expect: bid and ask, or what else is known; px units, 0 = nothing."""
        bid, _, ask, _, _ = self.matcher.top(instrument.id)
        mark = self.mark(instrument.id)
        return bid or mark or ask, ask or mark or bid

    def _free(self, owner: Account, instrument: Instrument, side: Side) -> int | None:
        """Qty units that an order of `side` may close; None = it would open."""
        qty = owner.positions.get(instrument.id, Position()).qty
        if (qty >= 0) == (side is Side.BUY):
            return None
        return max(0, abs(qty) - self._open_orders(owner.id, instrument.id).held[side])

    def _afford(self, owner: Account, instrument: Instrument, order: Terms, old: Row | None) -> tuple[str, int]:
        """The position intent and the price that reserves buying power; `old` is the order that this one stands in for."""
        if self.options is not None and instrument.id >= FIRST_CONTRACT:
            return self.options.afford(owner, instrument, order, old)
        open_ = self._open_orders(owner.id, instrument.id)
        own = [old, *self.mates(old)] if old is not None else []
        rules.refuse_wash(open_, order, {row.number for row in own})
        position = owner.positions.get(instrument.id, Position())
        wanted = order.qty - (old.spent if old else 0)
        if instrument.asset_class == AssetClass.CRYPTO:
            held = open_.held[Side.SELL] - sum(row.held for row in own if row.side is Side.SELL)
            ask, worth, back = self._prices(instrument)[1], self.figures(owner), old.reserved if old else 0
            return crypto.afford(instrument, order, held, position.qty, wanted, ask, worth, back)
        intent = rules.position_intent(position.qty, order)
        rules.refuse_class(order, intent) if old is None else None
        if intent.endswith("close"):
            held = sum(row.held for row in own if row.side is order.side)
            free = position.qty - (self._covering(owner, instrument) if position.qty > 0 else 0)
            rules.refuse_short_of_shares(instrument, open_, free, order.side, wanted, held)
            if self.old_fields:
                pending = sum(not row.opening for row in open_ if row is not old)
                day_trades.refuse(owner, instrument, position, pending, self._day(self.state.now))
            return intent, 0
        unit_px = rules.reserve_px(order, self._prices(instrument)[1])
        worth = self.figures(owner)
        admission.refuse_short(owner, instrument, self.assets_.shown[instrument.id], order, worth, open_)
        rules.refuse_cost(instrument, order, unit_px, wanted, worth, old.reserved if old else 0)
        return intent, unit_px

    def _works(self, now: int, instrument: Instrument, order: Terms) -> bool:
        pair = instrument.asset_class == AssetClass.CRYPTO
        return self.hours.takes(now, order.tif, extended=order.extended, pair=pair)

    def _new_row(self, owner: Account, instrument: Instrument, order: Terms, intent: str, unit_px: int, old: Row | None) -> Row:
        now = self.state.now
        row = Row(
            number=len(self.state.rows) + 1,
            id=self.state.new_id(),
            cid=order.cid or self.state.new_id(),
            account=owner.id,
            instrument=instrument.id,
            symbol=instrument.symbol,
            asset=str(self.assets_.shown[instrument.id]["id"]),
            side=order.side,
            type=order.type,
            tif=order.tif,
            qty=order.qty,
            limit_px=order.limit_px,
            stop_px=order.stop_px,
            extended=order.extended,
            intent=intent,
            opening=intent.endswith("open"),
            unit_px=unit_px,
            status="pending_new" if self._works(now, instrument, order) else "accepted",
            created_at=now,
            updated_at=now,
            expires_at=self.hours.expiry(now, order.tif, order.extended),
            order_class=order.order_class,
            notional=order.notional,
            trail_px=order.trail_px,
            trail_ratio=order.trail_ratio,
        )
        if old is not None:
            row.replaces = old.id
            row.follow_on(old)
            row.group, row.role, row.waits = old.group, old.role, old.waits
            row.triggered = row.stays_reached(old)
        self.state.rows.append(row)
        return row
