"""A bot in the style of alpaca-py's examples: TradingClient for orders, TradingStream for fills, StockDataStream for quotes.

As in the examples no client_order_id is given and nothing is set that the library sets itself (it repeats 429 and 504). A request
that raises is logged and the bot looks again a second later; what is already held is read once, at the start.
"""

import contextlib
import logging
import os
import threading
import time
from typing import Any

from alpaca.common.exceptions import APIError
from alpaca.data.live import StockDataStream
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import MarketOrderRequest
from alpaca.trading.stream import TradingStream
from told import SYMBOL, TARGET, believe, data, listen, tell

log = logging.getLogger("bot")


class Bot:
    """Brings the position to the target."""

    def __init__(self) -> None:
        pair = os.environ["APCA_API_KEY_ID"], os.environ["APCA_API_SECRET_KEY"]
        base = os.environ["APCA_API_BASE_URL"]
        stream = "ws" + base.removeprefix("http")
        self.client = TradingClient(*pair, url_override=base)
        self.updates = TradingStream(*pair, url_override=f"{stream}/stream")
        self.quotes = StockDataStream(*pair, url_override=f"{stream}/v2/iex")
        self.position, self.orders = 0.0, 0
        self.open: set[str] = set()
        self.ended: set[str] = set()  # may be told before the answer of the request

    async def on_update(self, update: Any) -> None:
        """Fills move the position; the end of an order makes room for another."""
        if update.event in ("fill", "partial_fill"):
            self.position += float(update.qty)
        if update.event in ("fill", "canceled", "expired", "rejected"):
            self.ended.add(str(update.order.id))
            self.open.discard(str(update.order.id))

    async def on_quote(self, quote: Any) -> None:
        """Only that it came."""
        data()

    def run(self) -> None:
        """One look a second."""
        with contextlib.suppress(APIError):  # none
            self.position = float(self.client.get_open_position(SYMBOL).qty)
        self.updates.subscribe_trade_updates(self.on_update)
        self.quotes.subscribe_quotes(self.on_quote, SYMBOL)
        threading.Thread(target=self.updates.run, daemon=True).start()
        threading.Thread(target=self.quotes.run, daemon=True).start()
        time.sleep(2)
        tell("ready")
        while True:
            if self.position + len(self.open) < TARGET:
                self.buy()
            believe(self.position, self.orders)
            time.sleep(1)

    def buy(self) -> None:
        """One share at the market."""
        try:
            wanted = MarketOrderRequest(symbol=SYMBOL, qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
            order = self.client.submit_order(order_data=wanted)
        except Exception as error:
            log.warning("not sent: %s", error)
            return
        self.orders += 1
        if str(order.id) not in self.ended:
            self.open.add(str(order.id))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    listen()
    Bot().run()
