"""The way of trade updates from the exchange to the sockets, where armed faults lose, double, hold or reorder them."""

import asyncio
from collections.abc import Callable
from typing import Any

from pyrt.venues.sim.server import skew
from pyrt.venues.sim.server.faults import Faults
from pyrt.venues.sim.server.kinds import DelayUpdates, DropUpdates, DuplicateUpdates, Fault, ReorderUpdates
from pyrt.venues.sim.server.mishaps import offset_ns

Data = dict[str, Any]
Send = Callable[[Any, Data], None]  # an account's id and the update, to every socket of it


class UpdatePath:
    """Passes updates on in their order, unless a fault bites."""

    def __init__(self, faults: Faults, send: Send) -> None:
        self._faults = faults
        self._send = send
        self._held: list[tuple[Any, Data]] = []  # sent after the next update

    def pass_on(self, account: Any, data: Data) -> None:
        """One update, told by the exchange now."""
        if not self._held and not self._faults.armed(Fault):
            self._send(account, data)
            return
        offset = offset_ns(self._faults)
        data = skew.moved_values(data, offset) if offset else data
        who = {"event": data["event"], "order": data["order"]["id"], "note": data["event"]}
        if self._faults.meets(DropUpdates, **who) is not None:
            return
        if (late := self._faults.meets(DelayUpdates, **who)) is not None:
            asyncio.get_running_loop().call_later(late.seconds, self._send, account, data)
            return
        if (later := self._faults.meets(ReorderUpdates, **who)) is not None:
            self._held.append((account, data))
            asyncio.get_running_loop().call_later(later.seconds, self._release)
            return
        self._send(account, data)
        if self._faults.meets(DuplicateUpdates, **who) is not None:
            self._send(account, data)
        self._release()

    def _release(self) -> None:
        held, self._held = self._held, []
        for account, data in held:
            self._send(account, data)
