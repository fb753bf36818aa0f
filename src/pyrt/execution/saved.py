"""The engine's durable state as one value, so that a start need not fold every fact again."""

from itertools import islice

import msgspec

from pyrt.execution.orders import Booked, Order, Orders
from pyrt.model import AccountSeen

CHUNK = 1024  # orders, by number, and fills, by place, that are packed together

Fill = tuple[str, int, Booked]  # venue order id, cumulative quantity, what was booked

_pack = msgspec.msgpack.Encoder().encode
_orders = msgspec.msgpack.Decoder(list[Order]).decode
_fills = msgspec.msgpack.Decoder(list[Fill]).decode


class OrdersState(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What `Orders` folded out of the facts. Equal facts give an equal state, in every order that matters."""

    orders: list[msgspec.Raw]  # of list[Order]
    open: list[int]  # in the order in which they became open
    placed: list[tuple[str, int]]  # venue ids that their order no longer has
    fills: list[msgspec.Raw]  # of list[Fill]
    positions: list[tuple[int, int]]
    corrections: list[str]
    corrected: list[tuple[str, int]]
    busted: list[tuple[str, int, int]]
    latches: list[tuple[str, str]]
    account: AccountSeen | None
    cash_flow: int
    cash_base: int | None
    unexplained_cash: int
    activities: list[str]
    held: list[tuple[int, int, int]]  # strategy, instrument, qty
    epoch: int
    begun: list[tuple[int, int]]
    last_number: int
    last_ts: int
    opened_at: int


class Saver:
    """Packs only what changed since the last time: most orders are over, and a fill stays as it is."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._packed: dict[int, msgspec.Raw] = {}
        self._fills: list[msgspec.Raw] = []
        self._deleted = 0  # `taken_back` when `_fills` was packed

    def save(self) -> OrdersState:
        """The state as it is now."""
        orders = self._orders
        return OrdersState(
            orders=self._order_chunks(),
            open=list(orders.open),
            placed=list(orders.placed),
            fills=self._fill_chunks(),
            positions=list(orders.positions.items()),
            corrections=sorted(orders.corrections),
            corrected=sorted(orders.corrected),
            busted=[(*key, ts) for key, ts in orders.busted.items()],
            latches=list(orders.latches.items()),
            account=orders.account,
            cash_flow=orders.cash_flow,
            cash_base=orders.cash_base,
            unexplained_cash=orders.unexplained_cash,
            activities=sorted(orders.activities),
            held=[(*key, qty) for key, qty in orders.held.items()],
            epoch=orders.epoch,
            begun=list(orders.begun.items()),
            last_number=orders.last_number,
            last_ts=orders.last_ts,
            opened_at=orders.opened_at,
        )

    def _order_chunks(self) -> list[msgspec.Raw]:
        by_number = self._orders.by_number
        for chunk in sorted({number // CHUNK for number in self._orders.touched}):
            numbers = range(chunk * CHUNK, (chunk + 1) * CHUNK)
            self._packed[chunk] = msgspec.Raw(_pack([by_number[n] for n in numbers if n in by_number]))
        self._orders.touched.clear()
        return list(self._packed.values())

    def _fill_chunks(self) -> list[msgspec.Raw]:
        fills = self._orders.fills
        if self._deleted != self._orders.taken_back:
            self._fills, self._deleted = [], self._orders.taken_back
        fresh = [(venue_id, cum, fill) for (venue_id, cum), fill in islice(fills.items(), len(self._fills) * CHUNK, None)]
        chunks = [msgspec.Raw(_pack(fresh[at : at + CHUNK])) for at in range(0, len(fresh), CHUNK)]
        self._fills += chunks[: len(fresh) // CHUNK]
        return self._fills + chunks[len(fresh) // CHUNK :]


def restore(orders: Orders, state: OrdersState) -> None:
    """Go on from a state; the orders must be new. Raises KeyError, ValueError for one that does not fit together."""
    if orders.by_number:
        raise ValueError("these orders took in facts already")
    by_number = orders.by_number = {order.number: order for chunk in state.orders for order in _orders(chunk)}
    orders.open = {number: by_number[number] for number in state.open}
    orders.by_source = {(o.strategy, o.source): o.number for o in by_number.values() if not o.external}
    orders.by_venue_id = {o.venue_order_id: o.number for o in by_number.values() if o.venue_order_id} | dict(state.placed)
    orders.placed = list(state.placed)
    orders.fills = {(venue_id, cum): booked for chunk in state.fills for venue_id, cum, booked in _fills(chunk)}
    orders.executions = {booked.execution_id: key for key, booked in orders.fills.items() if booked.execution_id}
    orders.positions = dict(state.positions)
    orders.corrections, orders.corrected = set(state.corrections), set(state.corrected)
    orders.busted = {(venue_id, cum): ts for venue_id, cum, ts in state.busted}
    orders.latches = dict(state.latches)
    orders.account, orders.cash_flow, orders.epoch = state.account, state.cash_flow, state.epoch
    orders.cash_base, orders.unexplained_cash, orders.activities = state.cash_base, state.unexplained_cash, set(state.activities)
    orders.held = {(strategy, instrument): qty for strategy, instrument, qty in state.held}
    orders.last_number, orders.last_ts, orders.opened_at = state.last_number, state.last_ts, state.opened_at
    orders.begun = dict(state.begun)
    orders.touched = set(by_number)
    for number in sorted(by_number):
        if by_number[number].group:
            orders.groups.setdefault(by_number[number].group, []).append(number)
