"""What a session holds does not grow with the orders that it has had."""

import gc
import sys

import numpy as np
import pytest
from bench.material import T0
from bench.rig import Shell, Taker, assemble
from tests.sizes import size

from pyrt._core.types import RecordType, market_dtype, quote_dtype
from pyrt.clock import Now
from pyrt.execution import past
from pyrt.live import state
from pyrt.ports import TimerFired

STEP = 10_000_000  # ns between two orders


class Life:
    """A session that takes and gives back, each order filled at once, and reads the venue now and then."""

    def __init__(self) -> None:
        self.shell = Shell(lambda body: None)
        self.at = T0
        self.session = assemble(self.shell, [Taker()], self.now)

    @property
    def now(self) -> Now:
        return Now(self.at, self.at)

    def orders(self, n: int) -> None:
        quote = np.zeros(1, quote_dtype)
        quote["type"], quote["instrument"] = RecordType.QUOTE, 1
        quote["bid_px"], quote["ask_px"] = 100 * 10**9, 100 * 10**9 + 10**7
        quote["bid_qty"] = quote["ask_qty"] = 10**12
        for _ in range(n):
            self.at += STEP
            quote["ts_event"] = quote["ts_recv"] = self.at
            self.session.on_market(quote.view(market_dtype), self.now)
            self.shell.answer(self.now)
        self.session.step(TimerFired(key="execution.reconcile", at=self.at, clock=1), self.now)
        self.shell.answer(self.now)

    def held(self) -> tuple[int, int]:
        """Objects that the collector knows, and blocks of the allocator."""
        gc.collect()
        return len(gc.get_objects()), sys.getallocatedblocks()


def growth(before: int, n: int) -> tuple[int, int, int]:
    """What n orders add to objects, blocks and the state's bytes, once so many were there."""
    life = Life()
    life.orders(before)
    objects, blocks = life.held()
    kept = len(state.state_of(life.session))
    life.orders(n)
    assert life.session.counts["orders"] == before + n
    more_objects, more_blocks = life.held()
    return more_objects - objects, more_blocks - blocks, len(state.state_of(life.session)) - kept


def test_a_session_does_not_grow_with_its_orders() -> None:
    n = 2000
    objects, blocks, kept = growth(past.KEPT + 1000, n)
    assert objects < n // 20
    assert blocks < n // 4
    assert kept <= 41 * n  # the row of each


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_orders() -> None:
    n = size("ORDERS", 100_000)
    objects, blocks, kept = growth(5000, n)
    print(f"{n} orders: {objects:+} objects, {blocks:+} blocks, {kept / n:.1f} bytes of state an order")
    assert objects < 200
    assert blocks < 2000
    assert kept <= 41 * n
