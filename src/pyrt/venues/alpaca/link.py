"""One Alpaca account as the runner needs it: who we are there, its instruments, and the adapters to it."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np
import requests

from pyrt._core.bars import BarAggregator
from pyrt._core.types import bar_dtype, market_dtype, to_units, trade_dtype
from pyrt.calendar import Calendar, ExchangeDays
from pyrt.clock import DAY, MINUTE, VenueClock
from pyrt.errors import ConfigError, Misbehaved, NotAuthorized, NotConnected
from pyrt.model import AssetClass, Instrument, Instruments
from pyrt.ports import AssetTold, ClockMeasured, Sink
from pyrt.venues.alpaca.body import read_page
from pyrt.venues.alpaca.broker import AlpacaBroker
from pyrt.venues.alpaca.budget import WINDOW, Budget, Purpose
from pyrt.venues.alpaca.clock import measure_clock
from pyrt.venues.alpaca.feed import AlpacaFeed
from pyrt.venues.alpaca.history import History
from pyrt.venues.alpaca.keys import SIM, Keys, check_url
from pyrt.venues.alpaca.requests_session import read_whole
from pyrt.venues.alpaca.statement import Statement, read_statement
from pyrt.venues.alpaca.stream import TradingStream

Records = np.ndarray[Any, Any]
_TIMEOUT = (5.0, 10.0)
_ROOM = 2 * WINDOW  # ns that a question about a symbol waits for room


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where a venue answers, without paths."""

    trading: str  # http(s)://host: REST under /v2, and where the trading stream upgrades
    data: str  # http(s)://host: historical data under /v2
    stream: str  # ws(s)://host: market data stream
    updates: str  # ws(s)://host: trading stream


PAPER = Addresses(
    trading="https://paper-api.alpaca.markets",
    data="https://data.alpaca.markets",
    stream="wss://stream.data.alpaca.markets",
    updates="wss://paper-api.alpaca.markets",
)

LIVE = Addresses(
    trading="https://api.alpaca.markets",
    data="https://data.alpaca.markets",
    stream="wss://stream.data.alpaca.markets",
    updates="wss://api.alpaca.markets",
)


class AlpacaLink:
    """Connects on construction: checks the keys, learns the account id, measures the venue's clock.

    Raises NotAuthorized, NotConnected or Misbehaved.
    """

    def __init__(
        self,
        name: str,
        addresses: Addresses,
        keys: Keys,
        *,
        data_feed: str = "iex",
        rate_limit: int = 200,
        transport: str = "requests",
        reconnect_delay: tuple[float, float] = (0.25, 30.0),
    ) -> None:
        for url in (addresses.trading, addresses.data, addresses.stream, addresses.updates):
            check_url(url, name)
        self.name = name
        self._at = addresses
        self._keys = keys
        self._data_feed = data_feed
        self._budget = Budget(rate_limit, time.monotonic_ns)
        self._transport = transport
        self._reconnect_delay = reconnect_delay
        self.account_id = str(self._get("/v2/account").get("id", ""))
        if not self.account_id:
            raise Misbehaved("the account has no id", where=f"{addresses.trading}/v2/account")
        self.clock: VenueClock = self.measure().clock

    def measure(self) -> ClockMeasured:
        """The venue's clock as it stands now; blocks. Raises VenueError."""
        if check_url(self._at.trading) != SIM:  # the simulated venue does not count who asks for its time
            self._budget.note(3)
        return measure_clock(self._at.trading, key=self._keys.key, secret=self._keys.secret, samples=2)

    def instruments(self, symbols: Sequence[str], first_id: int) -> list[Instrument]:
        """Definitions of symbols, with ids from `first_id` up. Raises ConfigError for one that the venue does not trade."""
        return [self._instrument(symbol, first_id + i) for i, symbol in enumerate(symbols)]

    def _instrument(self, symbol: str, number: int) -> Instrument:
        unknown = ConfigError(f"{self.name} has no symbol {symbol!r}", mend="check its spelling")
        asset = self._get(_asset(symbol), unknown, Purpose.LOOKUP)
        if not asset.get("tradable", False):
            raise ConfigError(f"{symbol} is not tradable on {self.name}", mend="take it out of `symbols`")
        if asset.get("symbol") != symbol:  # it has several names, and speaks of itself by one
            named = str(asset.get("symbol"))[:32]
            raise ConfigError(f"{symbol} is called {named} on {self.name}", mend=f"write {named} in `symbols`")
        try:
            return instrument_of(asset, number)
        except ValueError as e:
            raise Misbehaved(f"the terms of {symbol} cannot be used: {e}", where=self._at.trading + _asset(symbol)) from None

    def asset(self, instrument: Instrument) -> AssetTold:
        """What the venue says of an asset now; blocks. Raises VenueError, ConfigError for one that it no longer knows."""
        gone = ConfigError(f"{self.name} has no symbol {instrument.symbol!r}", mend="take it out of `symbols`")
        asset = self._get(_asset(instrument.symbol), gone, Purpose.SNAPSHOT)
        return AssetTold(
            instrument=instrument.id,
            tradable=asset.get("tradable") is True and asset.get("status", "active") == "active",
            shortable=asset.get("shortable") is True,
            easy_to_borrow=asset.get("easy_to_borrow") is True,
            overnight="overnight_tradable" in (asset.get("attributes") or ()),
        )

    def feed(
        self,
        instruments: Instruments,
        *,
        sink: Callable[[Records, Records], None],
        events: Sink,
        clock: Callable[[], VenueClock],
        symbols: Collection[str] | None = None,
        **options: Any,
    ) -> AlpacaFeed:
        """The market-data stream of this account that has `symbols` (default: all instruments), of stocks or of crypto.

        Raises ConfigError for both in one session.
        """
        classes = {i.asset_class for i in instruments if symbols is None or i.symbol in symbols}
        if len(classes) > 1:
            raise ConfigError("shares and crypto in one session", where=self.name, mend="run one session for each")
        path = "v1beta3/crypto/us" if AssetClass.CRYPTO in classes else f"v2/{self._data_feed}"
        return AlpacaFeed(
            url=f"{self._at.stream}/{path}",
            key=self._keys.key.reveal(),
            secret=self._keys.secret.reveal(),
            instruments=instruments,
            sink=sink,
            events=events,
            clock=lambda: clock().at(time.monotonic_ns()),
            reconnect_delay=self._reconnect_delay,
            **options,
        )

    def stream(self, sink: Sink, **options: Any) -> TradingStream:
        """The trading stream of this account."""
        return TradingStream(url=f"{self._at.updates}/stream", key=self._keys.key, secret=self._keys.secret, sink=sink, **options)

    def broker(self, sink: Sink, clock: Callable[[], VenueClock], **options: Any) -> AlpacaBroker:
        """The order path of this account."""
        return AlpacaBroker(
            url=self._at.trading,
            key=self._keys.key,
            secret=self._keys.secret,
            sink=sink,
            clock=clock,
            budget=self._budget,
            transport=self._transport,
            **options,
        )

    def egress(self) -> tuple[str, Keys]:
        """Where orders go, and the keys for it: for the watchdog, which has a connection of its own."""
        return self._at.trading, self._keys

    def history(self) -> History:
        """The historical data that this account may read."""
        return History(url=self._at.data, key=self._keys.key, secret=self._keys.secret, feed=self._data_feed)

    def warm_up(self, instrument: Instrument, interval: int, n: int, before: int) -> Records:
        """The last n closed bars that end at or before `before`, oldest first; below a minute they are made from trades.

        They join the live ones: what was told before a split is told as if it had been made.
        """
        client = self.history()
        end = before - before % interval
        try:
            if interval == DAY and before != end:  # a session's: days are New York's, and told under their midnight
                midnight = ExchangeDays().start(before)
                told = self._last_bars(client, instrument, interval, 2 * n + 10, midnight + interval - 1)
                return by_session(told)[-n:]
            if interval % MINUTE == 0:
                return self._last_bars(client, instrument, interval, n, end)
            bars = BarAggregator((interval,), instrument=instrument.id)
            for page in client.trades(instrument, end - n * interval, end - 1):
                bars.apply(page.view(market_dtype).data)
            bars.close(end)
            return bars.take()
        finally:
            client.close()

    def _last_bars(self, client: History, instrument: Instrument, interval: int, n: int, end: int) -> Records:
        bars = np.empty(0, bar_dtype)
        for span in (2 * n * interval, 30 * n * interval + 5 * DAY):  # the second reaches over nights, weekends and holidays
            pages = client.bars(instrument, interval, end - span, end - interval, limit=n, newest=True, adjustment="split")
            bars = np.concatenate([bars[:0], *pages])[::-1]
            if len(bars) >= n:
                break
        return bars

    def trades(self, instrument: Instrument, start: int, end: int) -> Records:
        """The trades (trade_dtype) in [start, end] ns, oldest first, flagged BACKFILLED. Blocks."""
        client = self.history()
        try:
            return np.concatenate([np.empty(0, trade_dtype), *client.trades(instrument, start, end)])
        finally:
            client.close()

    def statement(self, since: int, patience: float = 60.0) -> Statement:
        """What the venue says of the account, with all orders and fills from `since` (venue ns) on; blocks.

        patience: s in which a request that fails is tried again. Raises VenueError.
        """

        def get(path: str) -> Any:
            self._budget.note()
            return self._read(path, read_page)

        return read_statement(get, since, patience)

    def _get(self, path: str, missing: Exception | None = None, purpose: Purpose | None = None) -> dict[str, Any]:
        """One object. purpose: it waits for its share of the budget, since there may be one request for each of many symbols."""
        if purpose is None:
            self._budget.note()
        elif not self._budget.acquire(purpose, time.monotonic_ns() + _ROOM):
            raise NotConnected("no room in the request budget", where=self._at.trading + path)
        value = self._read(path, msgspec.json.decode, missing)
        if not isinstance(value, dict):
            raise Misbehaved("an answer that is no object", where=self._at.trading + path)
        return value

    def _read(self, path: str, decode: Callable[[bytes], Any], missing: Exception | None = None) -> Any:
        """The body of one GET; blocks. Raises VenueError, and `missing` for the venue's own 404."""
        where = self._at.trading + path
        headers = {"APCA-API-KEY-ID": self._keys.key.reveal(), "APCA-API-SECRET-KEY": self._keys.secret.reveal()}
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.get(where, headers=headers, timeout=_TIMEOUT, allow_redirects=False, stream=True)
                body = read_whole(answer)
        except requests.RequestException as e:
            raise NotConnected(
                f"no answer ({type(e).__name__})", where=where, mend="check the address and the connection"
            ) from None
        self._budget.learn(answer.headers)
        if answer.status_code in (401, 403):
            raise NotAuthorized("the venue refused the keys", where=where, mend="check key, secret and which venue they are for")
        own = answer.headers.get("Content-Type", "").startswith("application/json")  # a page of somebody on the way says nothing
        if answer.status_code == 404 and own and missing is not None:
            raise missing
        try:
            if answer.status_code != 200:
                raise ValueError(answer.status_code)
            return decode(body)
        except (ValueError, msgspec.DecodeError, RecursionError, Misbehaved):
            raise Misbehaved(f"an answer that cannot be used ({answer.status_code})", where=where) from None


def _asset(symbol: str) -> str:
    """The path of an asset: a pair's slash is part of its name, and the venue takes it for two parts of a path."""
    return f"/v2/assets/{quote(symbol, safe='')}"


def instrument_of(asset: dict[str, Any], number: int) -> Instrument:
    """An asset of Alpaca's (GET /v2/assets/{symbol}) as an instrument."""
    pair = asset.get("class") == "crypto"
    tick = to_units(str(asset.get("price_increment") or "0.01"))
    if pair:
        lot = to_units(str(asset.get("min_trade_increment") or "0.000000001"))
    else:
        lot = 1 if asset.get("fractionable") else 1_000_000_000
    return Instrument(
        id=number,
        symbol=str(asset["symbol"]),
        asset_class=AssetClass.CRYPTO if pair else AssetClass.US_EQUITY,
        tick=tick if pair else 10_000_000,
        sub_tick=tick if pair else 100_000,
        lot=lot,
        tradable=bool(asset.get("tradable", True)),
        shortable=bool(asset.get("shortable", True)),
        easy_to_borrow=bool(asset.get("easy_to_borrow", True)),
        min_qty=to_units(str(asset.get("min_order_size") or "0")) if pair else 0,
    )


def by_session(bars: Records) -> Records:
    """Bars of days, told under New York's midnight, under the times of their sessions; those of days without one are left out."""
    calendar = Calendar()
    spans = [calendar.day_bar(start) for start in bars["start"].tolist()]
    kept = np.array([begin - start < DAY for (begin, _), start in zip(spans, bars["start"].tolist(), strict=True)], bool)
    bars["start"], bars["ts_event"] = [begin for begin, _ in spans], [end for _, end in spans]
    kept_bars: Records = bars[kept]
    return kept_bars
