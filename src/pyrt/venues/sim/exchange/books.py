"""What the exchange knows, as its REST shows it; nothing here changes anything."""

from bisect import bisect_right
from collections.abc import Iterable
from operator import attrgetter

from pyrt._core.match import Matcher
from pyrt._core.types import Side
from pyrt.model import Instrument
from pyrt.venues.sim.exchange import activities, corrections, day_trades, mleg, orders, state
from pyrt.venues.sim.exchange.account import Account, Figures, Position, figures, money, show_account, show_position, value_exp
from pyrt.venues.sim.exchange.assets import Assets
from pyrt.venues.sim.exchange.contracts import Options
from pyrt.venues.sim.exchange.open_orders import OpenOrders
from pyrt.venues.sim.exchange.orders import FINAL, FIRST_CONTRACT, Body, Row, VenueRefusal


class Books:
    """Accounts, orders and fills in Alpaca's shapes; `account` is an id, None = the first one."""

    def __init__(self, instruments: Iterable[Instrument], kept: state.State, queue: str = "pessimistic") -> None:
        self.assets_ = Assets(instruments)
        self.matcher = Matcher(self.assets_.instruments, queue)
        self.state = kept
        self.default = ""
        self.old_fields = False  # show and rule as before July 2026
        self.options: Options | None = None
        self._open: dict[tuple[str, int], OpenOrders] = {}
        self._groups: dict[int, list[int]] = {}  # numbers of all that ever belonged to it
        self._ids: dict[str, int] = {}
        self.touched: set[int] = set()  # numbers of rows that changed, also where no update tells it; whoever keeps rows empties it

    # ------------------------------------------------------------------------------------------------ rows
    def _index(self, row: Row) -> None:
        self._ids[row.id] = row.number
        self._account(row.account).cids[row.cid] = row.number
        if row.status not in FINAL:
            self.open_of(row).add(row)
        if row.group:
            self._groups.setdefault(row.group, []).append(row.number)

    def open_of(self, row: Row) -> OpenOrders:
        """The open orders of its account in its instrument."""
        return self._open_orders(row.account, row.instrument)

    def _open_orders(self, account: str, instrument: int) -> OpenOrders:
        found = self._open.get((account, instrument))
        if found is None:
            found = self._open[account, instrument] = OpenOrders()
        return found

    @property
    def has_open_orders(self) -> bool:
        """Whether the market may meet an order."""
        return any(open_.rows for open_ in self._open.values())

    def _working(self, account: str) -> list[Row]:
        """The open orders of an account, oldest first."""
        rows = (row for (owner, _), open_ in self._open.items() if owner == account for row in open_)
        return sorted(rows, key=lambda row: row.number)

    def mark(self, instrument: int) -> int:
        """The price that positions are valued at: the last trade, else the bid, else the ask; px units, 0 = none yet."""
        if self.options is not None and instrument >= mleg.PACKAGE:
            return self.options.mark(instrument)
        bid, _, ask, _, last = self.matcher.top(instrument)
        return last or bid or ask or self.state.marks.get(instrument, 0)

    def _reserve(self, row: Row) -> int:
        """Money units that an order should hold back now."""
        exp = value_exp(self.assets_.instruments[row.instrument])
        if row.by_money and row.opening:
            return 0 if row.status in FINAL else max(0, row.notional * 10**9 - money(1, row.traded, exp))
        full = money(row.unit_px, row.leaves, exp)
        if row.flying and row.replaces is not None:  # while it is under way the larger of both is held back
            return max(0, full - self.replaced_by(row).reserved)
        return full

    def _hold(self, row: Row) -> int:
        """Qty units of the position that an order should hold back now; a pair of exits shares its shares."""
        if row.waits or (row.role == "stop_loss" and self.partner(row) is not None):
            return 0
        if row.flying and row.replaces is not None:
            return max(0, row.leaves - self.replaced_by(row).held)
        return row.leaves

    def weigh(self, row: Row) -> None:
        """Bring what an order holds back up to date, after anything that its leaves or its group depend on."""
        money_units, shares = self._reserve(row), self._hold(row)
        self._account(row.account).reserved += money_units - row.reserved
        self.open_of(row).held[row.side] += shares - row.held
        if (row.reserved, row.held) != (money_units, shares):
            self.touched.add(row.number)
        row.reserved, row.held = money_units, shares

    def replaced_by(self, row: Row) -> Row:
        """The order that a replacement stands in for."""
        return self.state.rows[self._ids[row.replaces or ""] - 1]

    def mates(self, row: Row) -> list[Row]:
        """The other open orders of its group, oldest first; not those that are under way to replace one."""
        rows = (self.state.rows[number - 1] for number in self._groups.get(row.group, ()))
        return [mate for mate in rows if mate is not row and mate.status not in FINAL and not (mate.flying and mate.replaces)]

    def partner(self, row: Row) -> Row | None:
        """The other exit that shares the shares of this one."""
        other = "take_profit" if row.role == "stop_loss" else "stop_loss"
        return next((mate for mate in self.mates(row) if mate.role == other), None) if row.role != "entry" else None

    def _show(self, row: Row, nested: bool = False) -> Body:
        exp = self.assets_.instruments[row.instrument].qty_exp
        self.follow(row)
        legs = [self._show(self.state.rows[number - 1]) for number in row.legs] if nested and row.legs else None
        shown = orders.show(row, exp, legs)
        return shown if row.order_class != "mleg" else mleg.show(self, row, shown)

    def follow(self, row: Row) -> None:
        """Learn from the matcher what a trailing stop has seen."""
        if row.trails and row.working and not row.triggered:
            best = self.matcher.best(row.instrument, row.number)
            if best and best != row.hwm:
                row.hwm = best
                self.touched.add(row.number)

    def _account(self, account: str | None) -> Account:
        return self.state.accounts[self.default if account is None else account]

    def _row(self, order_id: str, owner: Account) -> Row:
        number = self._ids.get(order_id, 0)
        if not number or self.state.rows[number - 1].account != owner.id:
            raise VenueRefusal(404, 40410000, f"order not found for {order_id}")
        return self.state.rows[number - 1]

    def order(self, order_id: str, nested: bool = False, account: str | None = None) -> Body:
        """GET /v2/orders/{id}. Raises VenueRefusal 404."""
        return self._show(self._row(order_id, self._account(account)), nested)

    def order_by_cid(self, cid: str, account: str | None = None) -> Body:
        """GET /v2/orders:by_client_order_id. Raises VenueRefusal 404."""
        number = self._account(account).cids.get(cid)
        if number is None:
            raise VenueRefusal(404, 40410000, f"order not found for {cid}")
        return self._show(self.state.rows[number - 1])

    def orders(
        self,
        status: str = "open",
        limit: int = 50,
        after: int = 0,
        until: int = 0,
        direction: str = "desc",
        side: str | None = None,
        symbols: Iterable[str] | None = None,
        nested: bool = False,
        account: str | None = None,
        asset_class: str = "",
    ) -> list[Body]:
        """GET /v2/orders; `after` and `until` are exclusive, ns UTC of submission, 0 = not asked.

        Nested, a leg stands under its parent wherever the parent is in the list too; else it is a row of its own.
        """
        owner, wanted = self._account(account).id, frozenset(symbols or ())

        def asked(row: Row) -> bool:
            if row.account != owner or (until and row.created_at >= until):
                return False
            if status != "all" and (row.status in FINAL) != (status == "closed"):
                return False
            symbols_of = (
                {row.symbol} if not row.legs else {row.symbol, *(self.state.rows[number - 1].symbol for number in row.legs)}
            )
            return not ((wanted and not wanted & symbols_of) or (side and row.side.name.lower() != side))

        rows = self._working(owner) if status == "open" else self.state.rows
        rows = rows[bisect_right(rows, after, key=attrgetter("created_at")) :] if after else rows
        found: list[Body] = []
        for row in rows if direction == "asc" else reversed(rows):
            if len(found) >= limit:
                break
            if asked(row) and not (nested and row.parent and asked(self.state.rows[row.parent - 1])):
                shown = self._show(row, nested)
                if asset_class in ("", "all", shown["asset_class"] or "us_option"):
                    found.append(shown if nested else {**shown, "legs": None})
        return found

    def figures(self, owner: Account) -> Figures:
        """What an account is worth now."""
        worth = figures(owner, self.assets_.instruments, self.mark, self.old_fields)
        return worth if self.options is None else self.options.figures(owner, worth)

    def account(self, account: str | None = None) -> Body:
        """GET /v2/account."""
        owner = self._account(account)
        worth = self.figures(owner)
        shown = show_account(owner, worth) | (day_trades.show(owner, worth, self.state.now) if self.old_fields else {})
        if self.options is not None:
            shown |= {"options_approved_level": self.options.level, "options_trading_level": self.options.level_of(owner)}
        return shown

    def _find(self, name: object) -> Instrument | None:
        """The instrument of a symbol or an asset id; that of a contract too."""
        return self.assets_.find(name) or (None if self.options is None else self.options.find(name))

    def _covering(self, owner: Account, instrument: Instrument) -> int:
        """Qty units that stand behind short calls."""
        return 0 if self.options is None or instrument.id >= FIRST_CONTRACT else self.options.covering(owner, instrument.id)

    def _position(self, name: str, account: str | None) -> tuple[Instrument, Position]:
        instrument = self._find(name)
        if instrument is None:
            raise VenueRefusal(404, 40410000, f"symbol not found: {name}")
        position = self._account(account).positions.get(instrument.id)
        if position is None or not position.qty:
            raise VenueRefusal(404, 40410000, "position does not exist")
        return instrument, position

    def position(self, symbol_or_asset_id: str, account: str | None = None) -> Body:
        """GET /v2/positions/{symbol or asset id}. Raises VenueRefusal 404."""
        instrument, position = self._position(symbol_or_asset_id, account)
        held = self._open_orders(self._account(account).id, instrument.id).held[Side.SELL if position.qty > 0 else Side.BUY]
        if position.qty > 0:
            held += self._covering(self._account(account), instrument)
        px = self.mark(instrument.id)
        last_px = self.state.closes.get(instrument.id) or px
        return show_position(position, self.assets_.shown[instrument.id], instrument, px, last_px, held)

    def positions(self, account: str | None = None) -> list[Body]:
        """GET /v2/positions, by symbol."""
        open_ = (self.assets_.instruments[i].symbol for i, p in self._account(account).positions.items() if p.qty)
        return [self.position(symbol, account) for symbol in sorted(open_)]

    def activities(
        self,
        types: Iterable[str] | None = None,
        after: int = 0,
        until: int = 0,
        direction: str = "desc",
        page_size: int = 100,
        page_token: str | None = None,
        account: str | None = None,
    ) -> list[Body]:
        """GET /v2/account/activities: `after`, `until` exclusive, ns UTC. Raises VenueRefusal for an unknown token."""
        owner = self._account(account).id
        found: list[Body] = []
        ahead = activities.ahead(self.state, None if types is None else frozenset(types), direction, after)
        if page_token and not any(item.id == page_token for item in ahead):
            raise VenueRefusal(422, 40010001, "page_token is invalid")
        for item in ahead:  # what the search for the token left over
            if len(found) >= page_size:
                break
            if until and item.ts >= until:
                continue
            if isinstance(item, activities.Entry):
                found += [activities.show_entry(item)] if item.account == owner else []
            elif (row := self.state.rows[item.number - 1]).account == owner and not item.busted:
                found.append(state.show_activity(item, row, self.assets_.instruments[row.instrument].qty_exp))
        return found

    def assets(self) -> list[Body]:
        """GET /v2/assets."""
        return [dict(asset) for asset in self.assets_.shown.values() if asset["class"] != "us_option"]

    def asset(self, symbol_or_id: str) -> Body:
        """GET /v2/assets/{symbol or id}. Raises VenueRefusal 404."""
        return self.assets_.asset(symbol_or_id)

    def truth(self) -> Body:
        """Every order, fill and refused request as the exchange knows them, in the order in which they came."""
        return {
            "now": self.state.now,
            "orders": [{"account": row.account, **self._show(row)} for row in self.state.rows],
            "fills": [state.show_fill(self.state, fill, self.assets_.instruments) for fill in self.state.fills],
            "refused": list(self.state.refused),
            "corrections": corrections.told(self.state),
            "entries": [{"account": entry.account, **activities.show_entry(entry)} for entry in self.state.entries],
            "halted": {self.assets_.instruments[i].symbol: reason for i, reason in self.state.halted.items()},
        }
