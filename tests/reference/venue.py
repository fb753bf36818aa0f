"""A venue small enough to be believed: unique client ids, orders, executions, positions; plain Python, no I/O."""

from pyrt._core.types import Side, format_units, to_units
from pyrt.model import OrderType, TimeInForce
from pyrt.ports import OrderRequest, TradeUpdate, VenueAccount, VenueFill, VenueOrder, VenuePosition

TYPE_WORDS = {OrderType.MARKET: "market", OrderType.LIMIT: "limit", OrderType.STOP: "stop", OrderType.STOP_LIMIT: "stop_limit"}
TIF_WORDS = {TimeInForce.DAY: "day", TimeInForce.GTC: "gtc", TimeInForce.IOC: "ioc", TimeInForce.FOK: "fok"}
FINAL = ("filled", "canceled", "expired", "rejected", "replaced")


class Row:
    """One order as the venue keeps it."""

    def __init__(self, venue_id: str, request: OrderRequest, now: int) -> None:
        self.id, self.request, self.created_at, self.updated_at = venue_id, request, now, now
        self.qty, self.filled, self.status = to_units(request.qty), 0, "new"
        self.base = 0  # what the orders that it replaced filled: part of qty
        self.replaces = self.replaced_by = ""

    @property
    def left(self) -> int:
        """What is still to be filled."""
        return self.qty - self.base - self.filled

    def show(self) -> VenueOrder:
        r = self.request
        return VenueOrder(
            id=self.id,
            cid=r.cid,
            symbol=r.symbol,
            side=r.side,
            type=TYPE_WORDS[r.type],
            tif=TIF_WORDS[r.tif],
            qty=r.qty,
            filled_qty=format_units(self.filled),
            limit_price=r.limit_price,
            stop_price=r.stop_price,
            status=self.status,
            created_at=self.created_at,
            updated_at=self.updated_at,
            replaces=self.replaces,
            replaced_by=self.replaced_by,
        )


class Refusal(Exception):
    """An HTTP error: status, code, text."""

    def __init__(self, http: int, code: int, text: str) -> None:
        super().__init__(text)
        self.http, self.code, self.text = http, code, text


class Venue:
    """Orders, fills, positions. Each change appends the stream events it causes to `events`."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.by_cid: dict[str, Row] = {}
        self.fills: list[VenueFill] = []
        self.positions: dict[str, int] = {}
        self.cash = to_units("1000000")
        self.events: list[TradeUpdate] = []
        self.serial = 0
        self.posts: list[str] = []

    def submit(self, request: OrderRequest, now: int) -> VenueOrder:
        self.posts.append(request.cid)
        if request.cid in self.by_cid:
            raise Refusal(422, 40010001, "client_order_id must be unique")
        row = self._new(request, now)
        self._tell("new", row, now)
        return row.show()

    def replace(self, venue_id: str, request: OrderRequest, now: int) -> VenueOrder:
        self.posts.append(request.cid)
        if request.cid in self.by_cid:
            raise Refusal(422, 40010001, "client_order_id must be unique")
        old = self.rows[venue_id]
        if old.status not in ("new", "partially_filled"):
            raise Refusal(422, 42210000, "order is not replaceable")
        if to_units(request.qty) <= old.base + old.filled:
            raise Refusal(422, 42210000, "qty must be more than what is filled")
        row = self._new(request, now)
        row.replaces, old.replaced_by, row.base = old.id, row.id, old.base + old.filled
        old.status, old.updated_at = "replaced", now
        self._tell("replaced", old, now)
        self._tell("new", row, now)
        return row.show()

    def cancel(self, venue_id: str, now: int) -> None:
        row = self.rows.get(venue_id)
        if row is None:
            raise Refusal(404, 40410000, "order not found")
        if row.status in FINAL:
            raise Refusal(422, 42210000, f'order is already in "{row.status}" state')
        row.status, row.updated_at = "canceled", now
        self._tell("canceled", row, now)

    def fill(self, venue_id: str, qty: int, px: str, now: int) -> None:
        row = self.rows[venue_id]
        row.filled += qty
        full, late = row.left <= 0, row.status in FINAL
        row.status, row.updated_at = "filled" if full else row.status if late else "partially_filled", now
        sign = 1 if row.request.side is Side.BUY else -1
        symbol = row.request.symbol
        self.positions[symbol] = self.positions.get(symbol, 0) + sign * qty
        self.cash -= sign * to_units(px) * qty // 10**9
        self.serial += 1
        self.fills.append(
            VenueFill(
                activity_id=f"a{self.serial}",
                order_id=row.id,
                symbol=symbol,
                side=row.request.side,
                price=px,
                qty=format_units(qty),
                cum_qty=format_units(row.filled),
                ts=now,
            )
        )
        event = "fill" if row.status == "filled" else "partial_fill"
        self._tell(event, row, now, price=px, qty=format_units(qty), execution_id=f"x{self.serial}")

    def working(self) -> list[Row]:
        return [row for row in self.rows.values() if row.status not in FINAL]

    def account(self) -> VenueAccount:
        cash = format_units(self.cash)
        return VenueAccount(id="acct", cash=cash, buying_power=cash, equity=cash, last_equity=cash, multiplier="2", blocked=False)

    def show_positions(self) -> tuple[VenuePosition, ...]:
        return tuple(
            VenuePosition(symbol=symbol, qty=format_units(qty), avg_entry_price="100")
            for symbol, qty in sorted(self.positions.items())
            if qty
        )

    def show_orders(self, since: int) -> tuple[VenueOrder, ...]:
        return tuple(r.show() for r in self.rows.values() if r.status not in FINAL or r.created_at > since)

    def show_fills(self, since: int) -> tuple[VenueFill, ...]:
        return tuple(fill for fill in self.fills if fill.ts > since)

    def _new(self, request: OrderRequest, now: int) -> Row:
        self.serial += 1
        row = Row(f"v{self.serial}", request, now)
        self.rows[row.id] = self.by_cid[request.cid] = row
        return row

    def _tell(self, event: str, row: Row, now: int, *, price: str = "", qty: str = "", execution_id: str = "") -> None:
        position = format_units(self.positions.get(row.request.symbol, 0))
        self.events.append(
            TradeUpdate(
                event=event, order=row.show(), ts=now, price=price, qty=qty, execution_id=execution_id, position_qty=position
            )
        )
