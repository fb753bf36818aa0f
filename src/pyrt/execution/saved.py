"""The engine's durable state as one value, so that a start need not fold every fact again."""

import msgspec

from pyrt.execution.orders import CHUNK, Booked, Order, Orders
from pyrt.execution.past import PastState
from pyrt.model import AccountSeen

Fill = tuple[str, int, Booked]  # venue order id, cumulative quantity, what was booked

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[list[Order], list[Fill]]).decode


class OrdersState(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What `Orders` folded out of the facts. Equal facts give an equal state, in every order that matters."""

    orders: list[msgspec.Raw]  # of (list[Order], list[Fill]): those of a chunk, by number
    past: PastState
    open: list[int]  # in the order in which they became open
    placed: list[tuple[str, int]]  # venue ids that their order no longer has
    positions: list[tuple[int, int]]
    corrections: list[str]
    corrected: list[tuple[str, int]]
    busted: list[tuple[str, int, int]]
    latches: list[tuple[str, str]]
    account: AccountSeen | None
    cash_flow: int
    cash_base: int | None
    unexplained_cash: int
    activities: tuple[int, list[tuple[str, int]]]
    held: list[tuple[int, int, int]]  # strategy, instrument, qty
    epoch: int
    begun: list[tuple[int, int]]
    last_number: int
    last_ts: int
    opened_at: int


class Saver:
    """Packs only what changed since the last time: most orders are over."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._packed: dict[int, msgspec.Raw] = {}

    def save(self) -> OrdersState:
        """The state as it is now."""
        orders = self._orders
        return OrdersState(
            orders=self._chunks(),
            past=orders.past.save(),
            open=list(orders.open),
            placed=list(orders.placed),
            positions=list(orders.positions.items()),
            corrections=sorted(orders.corrections),
            corrected=sorted(orders.corrected),
            busted=[(*key, ts) for key, ts in orders.busted.items()],
            latches=list(orders.latches.items()),
            account=orders.account,
            cash_flow=orders.cash_flow,
            cash_base=orders.cash_base,
            unexplained_cash=orders.unexplained_cash,
            activities=orders.activities.save(),
            held=[(*key, qty) for key, qty in orders.held.items()],
            epoch=orders.epoch,
            begun=list(orders.begun.items()),
            last_number=orders.last_number,
            last_ts=orders.last_ts,
            opened_at=orders.opened_at,
        )

    def _chunks(self) -> list[msgspec.Raw]:
        orders = self._orders
        for chunk in sorted(orders.touched):
            mine = [n for n in range(chunk * CHUNK, (chunk + 1) * CHUNK) if n in orders.by_number]
            if mine:
                fills = [(*key, orders.fills[key]) for n in mine for key in orders.fills_of.get(n, ())]
                self._packed[chunk] = msgspec.Raw(_pack(([orders.by_number[n] for n in mine], fills)))
            else:
                self._packed.pop(chunk, None)
        orders.touched.clear()
        return [self._packed[chunk] for chunk in sorted(self._packed)]


def restore(orders: Orders, state: OrdersState) -> None:
    """Go on from a state; the orders must be new. Raises KeyError, ValueError for one that does not fit together."""
    if orders.by_number:
        raise ValueError("these orders took in facts already")
    chunks = [_unpack(chunk) for chunk in state.orders]
    by_number = orders.by_number = {order.number: order for known, _ in chunks for order in known}
    orders.past.restore(state.past)
    orders.open = {number: by_number[number] for number in state.open}
    orders.by_source = {(o.strategy, o.source): o.number for o in by_number.values() if not o.external}
    orders.by_venue_id = {o.venue_order_id: o.number for o in by_number.values() if o.venue_order_id} | dict(state.placed)
    orders.placed = list(state.placed)
    for _, fills in chunks:
        for venue_id, cum, booked in fills:
            orders.keep_fill((venue_id, cum), booked)
    orders.positions = dict(state.positions)
    orders.corrections, orders.corrected = set(state.corrections), set(state.corrected)
    orders.busted = {(venue_id, cum): ts for venue_id, cum, ts in state.busted}
    orders.latches = dict(state.latches)
    orders.account, orders.cash_flow, orders.epoch = state.account, state.cash_flow, state.epoch
    orders.cash_base, orders.unexplained_cash = state.cash_base, state.unexplained_cash
    orders.activities.restore(state.activities)
    orders.held = {(strategy, instrument): qty for strategy, instrument, qty in state.held}
    orders.last_number, orders.last_ts, orders.opened_at = state.last_number, state.last_ts, state.opened_at
    orders.begun = dict(state.begun)
    orders.touched = {number // CHUNK for number in by_number}
    for number in sorted(by_number):
        if by_number[number].group:
            orders.groups.setdefault(by_number[number].group, []).append(number)
