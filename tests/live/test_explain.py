"""What `pyrt explain` is answered: booked is what was booked."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.execution.test_explain import broken

from pyrt.live.explain import explain
from pyrt.model import PositionAdjusted
from pyrt.ports import Event


@pytest.mark.row("X03")
@pytest.mark.parametrize("fault", [False, True])
def test_an_explanation_that_a_fault_of_ours_kept_from_the_books_is_not_told_as_booked(fault: bool) -> None:
    bench = broken("5")

    def handle(event: Event) -> None:
        if not fault:
            bench.on(event)

    risk = SimpleNamespace(position=lambda strategy, instrument: SimpleNamespace(qty=0), latches={})
    session = SimpleNamespace(instruments=bench.engine._orders.instruments, execution=bench.engine, names={}, risk=risk)
    live = cast(
        Any, SimpleNamespace(session=session, shell=SimpleNamespace(handle=handle, failed="a fault inside pyrt" if fault else ""))
    )
    symbol = session.instruments[1].symbol
    answer = explain(live, symbol, "5", who="anna", why="a transfer", to="", cost="190")
    assert answer["ok"] is not fault
    assert answer["text"] == live.shell.failed
    assert len(bench.told(PositionAdjusted)) == (0 if fault else 1)
