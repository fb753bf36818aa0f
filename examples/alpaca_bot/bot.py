"""A bot as people write it with alpaca-py: it knows nothing of pyrt, and finds its account in the environment."""

import os
import time

from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockLatestQuoteRequest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, OrderStatus, TimeInForce
from alpaca.trading.models import Order
from alpaca.trading.requests import LimitOrderRequest


class Bot:
    """Buys at the offer, with a client_order_id, so that a request may be sent again when its answer was lost."""

    def __init__(self) -> None:
        key, secret = os.environ["APCA_API_KEY_ID"], os.environ["APCA_API_SECRET_KEY"]
        self.trading = TradingClient(key, secret, url_override=os.environ["APCA_API_BASE_URL"])
        self.data = StockHistoricalDataClient(key, secret, url_override=os.environ["APCA_API_DATA_URL"])

    def buy(self, symbol: str, qty: int, name: str) -> Order:
        quote = self.data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=symbol))[symbol]
        request = LimitOrderRequest(
            symbol=symbol,
            qty=qty,
            side=OrderSide.BUY,
            time_in_force=TimeInForce.DAY,
            limit_price=round(quote.ask_price * 1.01, 2),
            client_order_id=name,
        )
        try:
            self.trading.submit_order(request)
        except Exception:  # the answer was lost: ask before sending anything again
            return self.trading.get_order_by_client_id(name)
        return self.trading.get_order_by_client_id(name)

    def wait(self, name: str, seconds: float = 60.0) -> Order:
        give_up = time.monotonic() + seconds
        while (order := self.trading.get_order_by_client_id(name)).status != OrderStatus.FILLED and time.monotonic() < give_up:
            time.sleep(0.02)
        return order
