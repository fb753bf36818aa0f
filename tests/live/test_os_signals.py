"""Ctrl-C: the first ends the session in order, whatever it is doing; only a second one of the user ends it at once."""

import asyncio
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from pyrt.live.os_signals import Signals


def runner(*, stopping: bool) -> Any:
    event = asyncio.Event()
    if stopping:
        event.set()
    told: list[str] = []
    return SimpleNamespace(stopping=event, aborting=False, told=told, stop=told.append)


@pytest.mark.parametrize("stopping", [False, True])
def test_the_first_is_never_the_one_that_ends_at_once(stopping: bool) -> None:
    """A session that ends because its journal failed is still cancelling: a Ctrl-C meanwhile is not the user's second."""

    async def press() -> Any:
        it = runner(stopping=stopping)
        signals = Signals(it)
        signals._hit(signal.SIGINT)
        assert not it.aborting
        assert it.told == ["SIGINT"]
        with pytest.raises(KeyboardInterrupt):
            signals._hit(signal.SIGTERM)
        return it

    assert asyncio.run(press()).aborting
