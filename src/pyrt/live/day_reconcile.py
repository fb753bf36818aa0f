"""A day's books held against what the venue says, line by line. Nothing is corrected here; every difference is shown."""

from datetime import datetime
from decimal import Decimal, localcontext
from zoneinfo import ZoneInfo

import msgspec

from pyrt.calendar import ExchangeDays
from pyrt.execution.sighting import STATUS
from pyrt.live.day import EXACT, ZERO, Books, FillLine, OrderLine
from pyrt.model import OrderStatus
from pyrt.ports import VenueFill, VenueOrder
from pyrt.venues.alpaca.statement import Activity, Statement

CASH = Decimal("0.000001")  # what cash may differ by
CENT = Decimal("0.01")  # what the venue's rounded values may differ by, for each position
ABSENT = {OrderStatus.ABANDONED.name, OrderStatus.CANCELED_LOCAL.name, OrderStatus.REJECTED.name, OrderStatus.INTENT.name}
FEES = ("FEE", "CFEE")


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Where the venue says something else."""

    what: str  # "order", "fill", "position", "cost", "unrealised", "cash", "account"
    which: str
    ours: str
    venue: str


class Reconciled(msgspec.Struct, kw_only=True):
    """The outcome: how many lines of each kind were compared, and every difference."""

    compared: dict[str, int] = {}
    differences: list[Difference] = []
    not_compared: list[str] = []  # and why

    @property
    def clean(self) -> bool:
        """Everything was compared, and nothing differs."""
        return not self.differences and not self.not_compared

    def check(self, what: str, which: str, ours: object, venue: object, *, within: Decimal = ZERO) -> bool:
        """Compare one value; numbers may differ by `within`."""
        self.compared[what] = self.compared.get(what, 0) + 1
        same = abs(ours - venue) <= within if isinstance(ours, Decimal) and isinstance(venue, Decimal) else ours == venue
        if not same:
            self.differences.append(Difference(what=what, which=which, ours=_show(ours), venue=_show(venue)))
        return same


def reconcile(books: Books, statement: Statement | None) -> Reconciled:
    """Compare; marks, unrealised profit and fees that are no part of a fill are taken from the statement into the books."""
    result = Reconciled()
    if statement is None:
        result.not_compared.append("the venue was not asked")
        return result
    result.check("account", "id", books.account, statement.account_id)
    with localcontext(EXACT):
        news = _News(books, statement, result)
        _fills(books, statement, result, news)
        _orders(books, statement, result, news)
        for activity in statement.activities:
            if activity.type in FEES and activity.date == books.day:
                books.fees -= _number(activity.net_amount)
        if books.complete:
            _positions(books, statement, result, news)
            if not news.symbols:
                _cash(books, statement, result)
        else:
            result.not_compared.append("positions, unrealised profit and cash: fills of a later day moved them")
    return result


class _News:
    """Fills of its orders after the journal's last record, as of an exit left at the venue: the next start books them."""

    def __init__(self, books: Books, statement: Statement, result: Reconciled) -> None:
        known, cids = {o.venue_order_id for o in books.orders}, {o.cid for o in books.orders}
        known |= {o.id for o in statement.orders if o.cid in cids}
        late = [f for f in statement.fills if f.ts > books.ended and f.order_id in known]
        self.fills = {f.activity_id for f in late}
        self.orders = {f.order_id for f in late}
        self.symbols = {f.symbol.replace("/", "") for f in late}
        if late:
            said = "; ".join(f"{f.side.name} {_show(_number(f.qty))} {f.symbol} at {_show(_number(f.price))}" for f in late[:3])
            more = f" and {len(late) - 3} more" if len(late) > 3 else ""
            what = "fills after the journal's last record, and the orders, positions and cash that they moved"
            result.not_compared.append(f"{what}: {said}{more}")


def _fills(books: Books, statement: Statement, result: Reconciled, news: _News) -> None:
    day_of = ExchangeDays()
    theirs: dict[tuple[str, Decimal], VenueFill] = {
        (f.order_id, _number(f.cum_qty)): f for f in statement.fills if f.activity_id not in news.fills
    }
    for line in books.fills:
        shown = theirs.pop((line.venue_order_id, line.cumulative), None)
        if line.note:  # what the venue shows of an execution that it took back is its own affair: cash and position are compared
            continue
        said = None if shown is None else f"{shown.side.name} {_show(_number(shown.qty))} at {_show(_number(shown.price))}"
        line.agreed = result.check("fill", _fill(line), f"{line.side} {_show(line.quantity)} at {_show(line.price)}", said)
    for (order, cumulative), shown in theirs.items():
        if day_of(shown.ts) == books.day and shown.ts > books.begun:
            said = f"{shown.side.name} {_show(_number(shown.qty))} at {_show(_number(shown.price))}"
            result.check("fill", f"{shown.symbol} {order} up to {_show(cumulative)}", None, said)


def _fill(line: FillLine) -> str:
    return f"order {line.number} {line.symbol} {line.venue_order_id} up to {_show(line.cumulative)}"


def _orders(books: Books, statement: Statement, result: Reconciled, news: _News) -> None:
    day_of = ExchangeDays()
    by_id = {o.id: o for o in statement.orders}
    by_cid = {o.cid: o for o in statement.orders if o.cid}
    known = set()
    for line in books.orders:
        shown = by_id.get(line.venue_order_id) or by_cid.get(line.cid)
        if shown is not None:
            known.add(shown.id)
            if shown.id in news.orders:
                continue
            line.agreed = _order(line, shown, books.complete, result)
        elif line.status not in ABSENT and day_of(line.ts) == books.day:
            line.agreed = result.check("order", f"order {line.number}", line.status, None)
    for shown in statement.orders:
        if shown.id not in known and day_of(shown.created_at) == books.day and shown.created_at > books.begun:
            result.check("order", f"{shown.symbol} {shown.id}", None, f"{shown.side.name} {shown.qty} {shown.status}")


def _order(line: OrderLine, shown: VenueOrder, final: bool, result: Reconciled) -> bool:
    which = f"order {line.number} {line.symbol}"
    good = result.check("order", f"{which}: filled", line.filled, _number(shown.filled_qty))
    if line.average is not None and shown.filled_avg_price and not line.earlier:
        digits = Decimal(1).scaleb(-len(shown.filled_avg_price.partition(".")[2]))
        good &= result.check("order", f"{which}: average", line.average, _number(shown.filled_avg_price), within=digits)
    status = STATUS.get(shown.status)
    if final and status is not None:  # on a later day an order that worked is another
        good &= result.check("order", f"{which}: status", line.status, status.name)
    return good


def _positions(books: Books, statement: Statement, result: Reconciled, news: _News) -> None:
    theirs = {s: h for h in statement.positions if (s := h.symbol.replace("/", "")) not in news.symbols}
    for line in books.positions:
        if line.symbol.replace("/", "") in news.symbols:
            continue
        shown = theirs.pop(line.symbol.replace("/", ""), None)
        qty = ZERO if shown is None else _number(shown.qty)
        result.check("position", line.symbol, line.quantity, qty)
        if shown is None or not line.quantity:
            line.unrealised = ZERO if not line.quantity else None
            continue
        average, own = _number(shown.avg_entry_price), line.cost / (line.quantity * line.multiplier)
        result.check("cost", f"{line.symbol} average", own, average, within=CENT)
        if shown.current_price:
            line.mark = _number(shown.current_price)
            line.unrealised = line.quantity * line.mark * line.multiplier - line.cost
            if shown.unrealised:
                within = CENT + CENT * abs(line.quantity) * line.multiplier / 100
                result.check("unrealised", line.symbol, line.unrealised, _number(shown.unrealised), within=within)
    for shown in theirs.values():
        result.check("position", shown.symbol, ZERO, _number(shown.qty))


def _cash(books: Books, statement: Statement, result: Reconciled) -> None:
    if books.cash is None:
        result.not_compared.append("cash: the journal never saw the account")
        return
    moved = sum((_number(a.net_amount) for a in statement.activities if since(a, books.begun)), ZERO)
    result.check("cash", "at the end of the day", books.cash + moved, _number(statement.cash), within=CASH)
    books.cash += moved


def since(activity: Activity, begun: int) -> bool:
    """Whether an activity came after the journal's first look at the account, by the New York time that its id begins with."""
    at = datetime.fromtimestamp(begun / 1e9, ZoneInfo("America/New_York"))
    stamp = activity.id.partition("::")[0]
    if len(stamp) != 17 or not stamp.isdigit() or stamp.endswith("000000000"):  # a day without a time
        return activity.date >= at.date().isoformat()
    return stamp >= at.strftime("%Y%m%d%H%M%S") + f"{begun // 1_000_000 % 1000:03d}"


def _number(text: str) -> Decimal:
    return Decimal(text) if text else ZERO


def _show(value: object) -> str:
    if value is None:
        return "nothing"
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
