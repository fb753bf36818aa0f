"""A book of orders, the plain way: a dict of orders, and a list for the queue of each price."""

from collections import Counter

from pyrt._core.l3 import OrderAction
from pyrt._core.types import Side

MOST = 2**62


class ReferenceL3:
    def __init__(self):
        self.orders = {}  # number -> [side, px, qty, by]
        self.queues = {}  # (side, px) -> [number, ...]
        self.counts = Counter()

    def add(self, order, side, px, qty, by=b""):
        if side not in (Side.BUY, Side.SELL) or not 0 < qty < MOST or not -MOST < px < MOST:
            self.counts["refused"] += 1
            return False
        if order in self.orders:
            self.counts["duplicates"] += 1
            self._out(order)
        if sum(self.orders[n][2] for n in self.queues.get((side, px), ())) + qty >= MOST:
            self.counts["refused"] += 1
            return False
        self.orders[order] = [side, px, qty, by]
        self.queues.setdefault((side, px), []).append(order)
        return True

    def _out(self, order):
        side, px, *_ = self.orders.pop(order)
        queue = self.queues[side, px]
        queue.remove(order)
        if not queue:
            del self.queues[side, px]

    def _known(self, order):
        self.counts["unknown"] += order not in self.orders
        return order in self.orders

    def reduce(self, order, qty):
        if not self._known(order):
            return False
        if qty <= 0:
            self.counts["refused"] += 1
            return False
        left = self.orders[order][2] - qty
        self.counts["clipped"] += left < 0
        if left <= 0:
            self._out(order)
        else:
            self.orders[order][2] = left
        return True

    def delete(self, order):
        known = self._known(order)
        if known:
            self._out(order)
        return known

    def replace(self, order, other, px, qty):
        if not self._known(order):
            return False
        side, _, _, by = self.orders[order]
        self._out(order)
        return self.add(other, side, px, qty, by)

    def modify(self, order, px, qty):
        if order in self.orders:
            _, at, left, _ = self.orders[order]
            if at == px and 0 < qty <= left:
                self.orders[order][2] = qty
                return True
        return self.replace(order, order, px, qty)

    def clear(self):
        self.orders.clear()
        self.queues.clear()

    def apply(self, event):
        """An event as a dict of its fields; whether the book changed."""
        action, order, px, qty = event["action"], event["order"], event["px"], event["qty"]
        if action == OrderAction.ADD:
            return self.add(order, event["side"], px, qty, event["by"])
        if action == OrderAction.DELETE:
            return self.delete(order)
        if action in (OrderAction.CANCEL, OrderAction.EXECUTE):
            return self.reduce(order, qty)
        if action == OrderAction.REPLACE:
            return self.replace(order, event["other"], px, qty)
        if action == OrderAction.MODIFY:
            return self.modify(order, px, qty)
        if action == OrderAction.CLEAR:
            self.clear()
            return True
        self.counts["refused"] += action != OrderAction.TRADE
        return False

    def levels(self, side):
        """(px, qty, orders), best first."""
        rows = [(px, sum(self.orders[n][2] for n in queue), len(queue)) for (s, px), queue in self.queues.items() if s == side]
        return sorted(rows, reverse=side == Side.BUY)

    def queue(self, side, px):
        return [(n, self.orders[n][2], self.orders[n][3]) for n in self.queues.get((side, px), ())]

    def ahead(self, order):
        if order not in self.orders:
            return None
        side, px, *_ = self.orders[order]
        before = self.queues[side, px][: self.queues[side, px].index(order)]
        return len(before), sum(self.orders[n][2] for n in before)
