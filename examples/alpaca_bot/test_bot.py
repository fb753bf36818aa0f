"""The bot's own tests: `pip install pyrt-trading` brings the fixtures."""

import pytest
from bot import Bot

from pyrt.venues.sim.library import SimulatedVenue


def test_it_buys(alpaca_env: SimulatedVenue) -> None:
    bot = Bot()
    bot.buy("AAPL", 3, "first")
    assert bot.wait("first").filled_qty == "3"
    assert [position.symbol for position in bot.trading.get_all_positions()] == ["AAPL"]


@pytest.mark.alpaca_venue(cash=500, faults=[{"kind": "gateway_timeout"}])
def test_a_lost_answer_makes_no_second_order(alpaca_env: SimulatedVenue) -> None:
    Bot().buy("AAPL", 1, "first")
    assert [order["client_order_id"] for order in alpaca_env.truth()["orders"]] == ["first"]
    assert alpaca_env.faults()["fired"] == {"gateway_timeout": 1}
