"""A lumibot strategy as its documentation writes them: on_trading_iteration, create_order, submit_order, get_position.

lumibot has no setting for another address: the three classes of alpaca-py that it makes are put in place with `url_override`,
before it imports them; everything else is its own.
"""

import functools
import logging
import os

import alpaca.data.historical
import alpaca.trading.client
import alpaca.trading.stream
from told import SYMBOL, TARGET, believe, data, listen, tell

BASE = os.environ["APCA_API_BASE_URL"]
alpaca.trading.client.TradingClient = functools.partial(alpaca.trading.client.TradingClient, url_override=BASE)
alpaca.trading.stream.TradingStream = functools.partial(
    alpaca.trading.stream.TradingStream, url_override="ws" + BASE.removeprefix("http") + "/stream"
)
alpaca.data.historical.StockHistoricalDataClient = functools.partial(
    alpaca.data.historical.StockHistoricalDataClient, url_override=BASE
)

from lumibot.brokers import Alpaca  # noqa: E402
from lumibot.strategies import Strategy  # noqa: E402
from lumibot.traders import Trader  # noqa: E402


class Hold(Strategy):
    """Brings the position to the target, one share an order."""

    def initialize(self):
        self.set_market("24/7")
        self.sleeptime = "1S"
        tell("ready")

    def on_trading_iteration(self):
        if self.get_last_price(SYMBOL) is not None:
            data()
        position = self.get_position(SYMBOL)
        held = float(position.quantity) if position is not None else 0.0
        pending = sum(float(order.quantity) for order in self.get_orders() if order.is_active())
        if held + pending < TARGET:
            self.submit_order(self.create_order(SYMBOL, 1, "buy"))
        reached = [order for order in self.broker.get_all_orders() if order.status != "error"]
        believe(held, len(reached))


if __name__ == "__main__":
    listen()
    logging.getLogger("lumibot").addHandler(logging.NullHandler())
    pair = {"API_KEY": os.environ["APCA_API_KEY_ID"], "API_SECRET": os.environ["APCA_API_SECRET_KEY"], "PAPER": True}
    trader = Trader(quiet_logs=True)
    trader.add_strategy(Hold(broker=Alpaca(pair)))
    trader.run_all()
