"""The benchmark of the venue measures what it says: in small, and by counting. Nothing here depends on time."""

import sys

import msgspec
import pytest
from bench import venue

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the CPU of another process comes from /proc")


@pytest.mark.row("X08")
def test_orders_are_served_while_others_rest() -> None:
    served = venue.orders(30, 20, fills=True, state=True)
    assert served.done == 30
    assert served.seconds > 0


def test_messages_of_a_frame_are_counted() -> None:
    for count in (0, 1, 15, 16, 65535, 65536):
        assert venue.length(msgspec.msgpack.encode([{}] * count)) == count


def test_market_messages_are_served() -> None:
    assert any(venue.market(seconds).done > 1000 for seconds in (0.2, 2.0, 20.0, 60.0))
