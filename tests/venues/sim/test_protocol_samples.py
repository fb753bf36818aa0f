"""Every sample of the protocol: the venue makes an object with the same keys and kinds of values, and clients read it."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import alpaca.trading.models as models
import msgspec
import pytest
import requests
from tests.reference import samples
from tests.reference.samples import differences, kind, read

from pyrt._core.wire import Decoder
from pyrt.config import Secret
from pyrt.model import Instrument
from pyrt.venues.alpaca import answers, wire
from pyrt.venues.alpaca.channels import Channels
from pyrt.venues.alpaca.history import History
from pyrt.venues.alpaca.session import Answer
from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.times import parse_time

pytestmark = pytest.mark.row("X08")

BEGIN = parse_time("2026-03-02T15:04:06Z")
MINUTE = 60 * 10**9
ALL = ["trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds"]
TABLES: dict[str, dict[str, str]] = {
    "stream": samples.STREAM,
    "rare": samples.RARE,
    "books": samples.BOOKS,
    "account stream": samples.ACCOUNT_STREAM,
    "trading": {"order": json.dumps(samples.ORDER), **samples.TRADING},
    "errors": samples.ERRORS,
    "data": samples.DATA,
}
CASES = [(table, name) for table, rows in TABLES.items() for name in rows]


class Scene:
    """One client that makes the venue say everything; what it said, by table and name."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self.venue = venue
        self.made: dict[tuple[str, str], Any] = {}
        self.frames: dict[str, list[bytes]] = {"msgpack": [], "json": []}
        self.updates: list[bytes] = []
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update({"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret})

    def ask(self, method: str, path: str, **options: Any) -> Any:
        answer = self.session.request(method, self.venue.url + path, timeout=30, **options)
        return answer.json() if answer.content else None

    def order(self, **body: Any) -> Any:
        body = {"symbol": "AAPL", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day"} | body
        return self.ask("POST", "/v2/orders", json=body)

    def play(self) -> None:
        asyncio.run(self.account_stream())
        asyncio.run(self.data_stream("msgpack", {"Content-Type": "application/msgpack"}))
        asyncio.run(self.data_stream("json", {}))
        asyncio.run(self.rare())
        asyncio.run(self.books())
        self.trading()
        self.errors()

    # ------------------------------------------------------------------------------------------------ streams
    async def account_stream(self) -> None:
        """Everything of section 2, with an order that fills in part."""
        made, key = self.made, {"key_id": self.venue.key, "secret_key": self.venue.secret}
        listen = json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}})
        async with aiohttp.ClientSession() as session, session.ws_connect(self.venue.stream_url) as ws:
            await ws.send_str(listen)
            made["account stream", "unauthorized"] = json.loads((await ws.receive(timeout=30)).data)
            await ws.send_str(json.dumps({"action": "authenticate", "data": key}))
            made["account stream", "authorization"] = json.loads((await ws.receive(timeout=30)).data)
            await ws.send_str(listen)
            made["account stream", "listening"] = json.loads((await ws.receive(timeout=30)).data)
            await asyncio.to_thread(self.order, qty="400000")
            while True:
                frame = (await ws.receive(timeout=60)).data
                self.updates.append(frame)
                heard = json.loads(frame)
                if heard["data"]["event"] == "partial_fill":
                    made["account stream", "partial fill"] = heard
                    made["trading", "order"] = await asyncio.to_thread(
                        self.ask, "GET", f"/v2/orders/{heard['data']['order']['id']}"
                    )
                    return

    async def data_stream(self, codec: str, headers: dict[str, str]) -> None:
        """Everything of sections 1.2 to 1.5."""

        def unpack(data: Any) -> Any:
            return json.loads(data) if codec == "json" else msgspec.msgpack.decode(data)

        async with aiohttp.ClientSession() as session, session.ws_connect(self.venue.data_url, headers=headers) as ws:

            async def say(message: Any) -> None:
                await (ws.send_str(json.dumps(message)) if codec == "json" else ws.send_bytes(msgspec.msgpack.encode(message)))

            async def hear() -> Any:
                data = (await ws.receive(timeout=60)).data
                self.frames[codec].append(data.encode() if isinstance(data, str) else data)
                return unpack(data)

            (self.made["stream", "connected"],) = await hear()
            await say({"action": "auth", "key": self.venue.key, "secret": self.venue.secret})
            (self.made["stream", "authenticated"],) = await hear()
            await say({"action": "auth", "key": self.venue.key, "secret": self.venue.secret})
            (self.made["stream", "error"],) = await hear()
            await say({"action": "subscribe", **{channel: ["AAPL"] for channel in ALL}})
            wanted = {"subscription", "t", "q", "b", "d"}
            while wanted:
                for message in await hear():
                    if codec == "json":
                        self.made.setdefault(("stream", message["T"]), message)
                    wanted.discard(message["T"])

    async def rare(self) -> None:
        """What takes a while, of any symbol."""
        await self.hear_all(self.venue.data_url, {channel: ["*"] for channel in ALL}, "rare", lambda m: m["T"], set(samples.RARE))

    async def books(self) -> None:
        """Section 1.6: the whole book, then a change of it."""
        url = self.venue.url.replace("http", "ws") + "/v1beta3/crypto/us"
        await self.hear_all(
            url, {"orderbooks": ["BTC/USD"]}, "books", lambda m: "whole" if m.get("r") else "change", {"whole", "change"}
        )

    async def hear_all(self, url: str, wanted: Any, table: str, name: Callable[[Any], str], names: set[str]) -> None:
        keys = {"APCA-API-KEY-ID": self.venue.key, "APCA-API-SECRET-KEY": self.venue.secret}
        async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=keys, max_msg_size=0) as ws:
            await ws.send_str(json.dumps({"action": "subscribe", **wanted}))
            while missing := names - {known for place, known in self.made if place == table}:
                for message in json.loads((await ws.receive(timeout=60)).data):
                    if "S" in message and name(message) in missing:
                        self.made.setdefault((table, name(message)), message)

    # ------------------------------------------------------------------------------------------------ REST
    def trading(self) -> None:
        made, ask = self.made, self.ask
        self.order(symbol="SPY", qty="1")
        resting = self.order(type="limit", limit_price="1.00", symbol="MSFT", time_in_force="gtc")
        made["trading", "account"] = ask("GET", "/v2/account")
        made["trading", "activity"] = ask("GET", "/v2/account/activities/FILL")[0]
        made["trading", "position"] = ask("GET", "/v2/positions/AAPL")
        made["trading", "clock"] = ask("GET", "/v2/clock")
        (made["trading", "calendar"],) = ask("GET", "/v2/calendar?start=2024-07-03&end=2024-07-04")
        made["trading", "configurations"] = ask("GET", "/v2/account/configurations")
        made["trading", "history"] = ask(
            "GET", "/v2/account/portfolio/history?period=1D&timeframe=1Min&intraday_reporting=continuous"
        )
        made["trading", "asset"] = ask("GET", "/v2/assets/AAPL")
        (cancelled,) = (row for row in ask("DELETE", "/v2/orders") if row["id"] == resting["id"])
        cancelled.pop("body", None)
        made["trading", "cancelled"] = cancelled
        (closed, *_) = ask("DELETE", "/v2/positions?cancel_orders=true")
        assert differences(kind(samples.ORDER), kind(closed.pop("body"))) == []
        made["trading", "closed"] = closed

    def errors(self) -> None:
        made = self.made
        wrong = {"APCA-API-KEY-ID": "nobody", "APCA-API-SECRET-KEY": "nothing"}
        made["errors", "unauthorized"] = requests.get(self.venue.url + "/v2/account", headers=wrong, timeout=30).json()
        self.order(symbol="TSLA", client_order_id="twice", type="limit", limit_price="1")
        made["errors", "duplicate"] = self.order(symbol="TSLA", client_order_id="twice", type="limit", limit_price="1")
        made["errors", "not found"] = self.ask("GET", f"/v2/orders/{samples.UUID}")
        made["errors", "poor"] = self.order(qty="1000000", symbol="GOOGL", type="limit", limit_price="999.99")
        bought = self.order(symbol="AMZN", qty="5", type="limit", limit_price="900.00")
        while self.ask("GET", f"/v2/orders/{bought['id']}")["status"] != "filled":  # it may be in a pause
            time.sleep(0.01)
        self.order(symbol="AMZN", qty="5", side="sell", type="limit", limit_price="950.00")
        made["errors", "no shares"] = self.order(symbol="AMZN", qty="5", side="sell", type="limit", limit_price="960.00")
        made["errors", "data"] = self.ask("GET", "/v2/stocks/bars?symbols=AAPL&timeframe=1Min&limit=0")

    def data(self) -> None:
        window = "&start=2026-03-02T14:40:00Z&end=2026-03-02T15:03:30Z"
        for name, path in {
            "bars": f"bars?symbols=AAPL&timeframe=1Min&limit=2{window}",
            "trades": f"trades?symbols=AAPL&limit=10000{window}",
            "quotes": f"quotes?symbols=AAPL&limit=10000{window}",
            "snapshots": "snapshots?symbols=AAPL",
            "latest trades": "trades/latest?symbols=AAPL",
            "latest quotes": "quotes/latest?symbols=AAPL",
            "latest bars": "bars/latest?symbols=AAPL",
            "bars of one": f"AAPL/bars?timeframe=1Min{window}",
            "nothing": f"bars?symbols=NOSUCH&timeframe=1Min{window}",
        }.items():
            self.made["data", name] = self.ask("GET", f"/v2/stocks/{path}")
        self.made["data", "orderbooks"] = self.ask("GET", "/v1beta3/crypto/us/latest/orderbooks?symbols=BTC/USD")


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with simulated_venue(start=BEGIN, calendar=True, seed=3) as slow:  # the bar of a day takes long where time is fast
        history = Scene(slow)
        history.data()
        history.session.close()
    with simulated_venue(
        market="generated:halts=20,corrections=0.02", speed=240.0, start=BEGIN, calendar=True, cash="100000000", seed=3
    ) as venue:
        scene = Scene(venue)
        scene.made |= history.made
        scene.play()
        yield scene
        scene.session.close()


@pytest.mark.parametrize(("table", "name"), CASES)
def test_the_venue_makes_it(scene: Scene, table: str, name: str) -> None:
    assert differences(kind(read(TABLES[table][name])), kind(scene.made[table, name])) == []


def test_a_partial_fill_carries_the_order_as_of_it(scene: Scene) -> None:
    heard = scene.made["account stream", "partial fill"]
    data = heard["data"]
    assert heard["stream"] == "trade_updates"
    assert set(data) == {"event", "execution_id", "timestamp", "price", "qty", "position_qty", "order"}
    assert differences(kind(samples.ORDER), kind(data["order"])) == []
    assert data["order"]["status"] == "partially_filled"
    assert data["order"]["filled_qty"] == data["qty"] == data["position_qty"]
    assert (data["price"], data["timestamp"]) == (data["order"]["filled_avg_price"], data["order"]["updated_at"])


def test_our_reader_takes_every_object_of_the_account(scene: Scene) -> None:
    reader, made = wire.Reader(), scene.made
    order = reader.order(made["trading", "order"])
    assert (order.symbol, order.qty, order.status) == ("AAPL", "400000", made["trading", "order"]["status"])  # it may be whole
    assert reader.account(made["trading", "account"]).cash == made["trading", "account"]["cash"]
    assert reader.fill(made["trading", "activity"]).activity_id == made["trading", "activity"]["id"]
    assert reader.positions([made["trading", "position"]])[0].qty == made["trading", "position"]["qty"]
    updates = [reader.frame(frame) for frame in scene.updates]
    assert updates[-1].order.filled_qty == made["account stream", "partial fill"]["data"]["qty"]
    for name in ("authorization", "unauthorized", "listening"):
        control = reader.frame(json.dumps(made["account stream", name]).encode())
        assert control.stream == made["account stream", name]["stream"]
    assert not reader.counters


@pytest.mark.parametrize(
    ("name", "model"), [("account", "TradeAccount"), ("clock", "Clock"), ("calendar", "Calendar"), ("asset", "Asset")]
)
def test_alpacas_models_take_the_rest(scene: Scene, name: str, model: str) -> None:
    assert getattr(models, model)(**scene.made["trading", name])


@pytest.mark.parametrize("codec", ["msgpack", "json"])
def test_our_decoder_takes_every_message(scene: Scene, codec: str) -> None:
    decoder = Decoder(codec)
    decoder.register("AAPL", 1, tick=10**7, sub_tick=10**5)
    taken = [(decoder.feed(frame, 1), decoder.take())[1] for frame in scene.frames[codec]]
    assert {int(t) for records, _ in taken for t in records["type"]} >= {1, 2}
    assert sum(len(bars) for _, bars in taken) > 0
    wrong = ("malformed", "unknown_type", "unknown_symbol", "bad_time")
    assert {name: decoder.counters[name] for name in wrong} == dict.fromkeys(wrong, 0)
    assert decoder.counters["control"] == 4  # whose fields the decoder does not know
    channels = Channels()
    assert channels.acknowledge(scene.made["stream", "subscription"])
    assert channels.acknowledged["trades"] == {"AAPL"}


@pytest.mark.parametrize("name", [name for name in samples.ERRORS if name != "data"])
def test_our_answers_take_every_error(scene: Scene, name: str) -> None:
    body = scene.made["errors", name]
    refusal = answers.refusal(Answer(422, {}, json.dumps(body).encode()))
    assert refusal == (True, body["code"], body["message"])
    assert body["code"] == read(samples.ERRORS[name])["code"]


def test_our_history_takes_bars_and_trades(scene: Scene) -> None:
    client = History(url=scene.venue.url, key=Secret(scene.venue.key), secret=Secret(scene.venue.secret))
    apple = Instrument(id=1, symbol="AAPL")
    read_: dict[str, Callable[[], Any]] = {
        "bars": lambda: client.bars(apple, MINUTE, BEGIN - 10 * MINUTE, BEGIN),
        "trades": lambda: client.trades(apple, BEGIN - MINUTE, BEGIN),
    }
    rows = {name: sum(len(page) for page in pages()) for name, pages in read_.items()}
    client.close()
    assert rows["bars"] == 10
    assert rows["trades"] > 0
