"""The data stream against a small real server that misbehaves on command."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from aiohttp import WSMsgType, web

from pyrt._core.encode import Encoder
from pyrt._core.types import Flag, GapCause, RecordType, gap_dtype, trade_dtype
from pyrt.errors import ConfigError
from pyrt.model import Instrument, Instruments
from pyrt.ports import StreamState, Subscription
from pyrt.venues.alpaca import silence
from pyrt.venues.alpaca.backoff import Backoff
from pyrt.venues.alpaca.channels import TRIES, Channels
from pyrt.venues.alpaca.feed import AlpacaFeed

KEY, SECRET = "PKTEST0123456789", "s3cr3t-never-shown-anywhere"
CHANNELS = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "corrections", "cancelErrors")


class Venue:
    """Alpaca's side of the stream: welcome, authentication, subscriptions, and whatever a test makes of it."""

    def __init__(self, codec: str = "msgpack") -> None:
        self.codec = msgspec.msgpack if codec == "msgpack" else msgspec.json
        self.encoder = Encoder(codec)
        for symbol, instrument in (("AAPL", 1), ("MSFT", 2)):
            self.encoder.register(symbol, instrument)
        self.sockets: list[web.WebSocketResponse] = []
        self.subscribed: dict[str, set[str]] = {}
        self.requests: list[dict[str, Any]] = []
        self.content_types: list[str | None] = []
        self.refusals: list[tuple[int, str]] = []  # answers to auth, first come first served
        self.errors: dict[str, tuple[int, str]] = {}  # channel -> answer to its subscription
        self.omit: set[str] = set()  # symbols that no acknowledgement ever holds
        self.forget = 0  # so many acknowledgements leave out what was asked
        self.welcome = True
        self.acknowledges = True
        self.http = 0
        self.autoping = True

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.content_types.append(request.headers.get("Content-Type"))
        if self.http:
            return web.Response(status=self.http, text="no")
        ws = web.WebSocketResponse(autoping=self.autoping)
        await ws.prepare(request)
        self.sockets.append(ws)
        self.subscribed = {name: set() for name in CHANNELS}
        if self.welcome:
            await self.send(ws, [{"T": "success", "msg": "connected"}])
        async for message in ws:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                await self.answer(ws, self.codec.decode(message.data))
        return ws

    async def answer(self, ws: web.WebSocketResponse, request: dict[str, Any]) -> None:
        action = request.pop("action")
        if action == "auth":
            if request != {"key": KEY, "secret": SECRET}:
                await self.send(ws, [{"T": "error", "code": 402, "msg": "auth failed"}])
            elif self.refusals:
                code, text = self.refusals.pop(0)
                await self.send(ws, [{"T": "error", "code": code, "msg": text}])
            else:
                await self.send(ws, [{"T": "success", "msg": "authenticated"}])
            return
        self.requests.append({"action": action, **request})
        for channel, symbols in request.items():
            if channel in self.errors:
                code, text = self.errors[channel]
                await self.send(ws, [{"T": "error", "code": code, "msg": text}])
                return
            change = self.subscribed[channel].update if action == "subscribe" else self.subscribed[channel].difference_update
            if self.forget:
                self.forget -= 1
            else:
                change(set(symbols) - self.omit)
        if self.acknowledges:
            await self.send(ws, [{"T": "subscription", **{name: sorted(s) for name, s in self.subscribed.items()}}])

    async def send(self, ws: web.WebSocketResponse, message: Any) -> None:
        await self.send_frame(ws, self.codec.encode(message))

    async def send_frame(self, ws: web.WebSocketResponse, frame: bytes) -> None:
        with suppress(ConnectionError):
            await (ws.send_bytes(frame) if self.codec is msgspec.msgpack else ws.send_str(frame.decode()))

    def frame(self, *ids: int, instrument: int = 1) -> bytes:
        trades = np.zeros(len(ids), trade_dtype)
        trades["type"], trades["instrument"], trades["ts_event"] = RecordType.TRADE, instrument, 1_772_463_845_123_456_789
        trades["px"], trades["qty"], trades["trade_id"] = 189_510_000_000, 100 * 10**9, ids
        return self.encoder.encode(trades)

    async def trade(self, *ids: int, instrument: int = 1) -> None:
        await self.send_frame(self.sockets[-1], self.frame(*ids, instrument=instrument))

    def cut(self) -> None:
        """RST, no closing handshake."""
        transport = self.sockets[-1]._req.transport  # type: ignore[union-attr]
        assert transport is not None
        plain = transport.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        transport.abort()


class Reader:
    """What the feed gave."""

    def __init__(self) -> None:
        self.records: list[np.ndarray[Any, Any]] = []
        self.states: list[StreamState] = []
        self.now = 1_000

    def sink(self, records: Any, bars: Any) -> None:
        self.records.append(records)

    def clock(self) -> int:
        self.now += 1
        return self.now

    def of(self, kind: RecordType, dtype: Any) -> Any:
        every = [r[r["type"] == kind] for r in self.records]
        return np.concatenate(every).view(dtype) if every else np.zeros(0, dtype)

    @property
    def ids(self) -> list[int]:
        return [int(i) for i in self.of(RecordType.TRADE, trade_dtype)["trade_id"]]

    @property
    def gaps(self) -> Any:
        return self.of(RecordType.GAP, gap_dtype)


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def instruments() -> Instruments:
    known = Instruments()
    known.add(Instrument(id=1, symbol="AAPL"))
    known.add(Instrument(id=2, symbol="MSFT"))
    return known


@asynccontextmanager
async def running(
    venue: Venue, *, codec: str = "msgpack", start: bool = True, **options: Any
) -> AsyncIterator[tuple[AlpacaFeed, Reader]]:
    app = web.Application()
    app.router.add_get("/v2/iex", venue.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    reader = Reader()
    options = {"key": KEY, "secret": SECRET, "reconnect_delay": (0.01, 0.05), "limit_delay": 0.2, "rng": Random(7)} | options
    feed = AlpacaFeed(
        url=f"ws://127.0.0.1:{port}/v2/iex",
        instruments=instruments(),
        sink=reader.sink,
        events=reader.states.append,  # type: ignore[arg-type]
        clock=reader.clock,
        codec=codec,
        **options,
    )
    task = asyncio.create_task(feed.run())
    try:
        yield feed, reader
        await feed.close()
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.cleanup()


def aapl(**more: Any) -> Subscription:
    return Subscription(trades=frozenset({"AAPL"}), **more)


@pytest.mark.row("S020")
@pytest.mark.parametrize("codec", ["msgpack", "json"])
def test_authenticates_subscribes_and_reads(codec: str) -> None:
    async def body() -> None:
        venue = Venue(codec)
        async with running(venue, codec=codec) as (feed, reader):
            feed.want(aapl())
            await until(lambda: feed.up)
            await venue.trade(1, 2)
            await until(lambda: len(reader.ids) == 2)
            trade = reader.of(RecordType.TRADE, trade_dtype)[0]
            assert (trade["instrument"], trade["px"], trade["qty"]) == (1, 189_510_000_000, 100 * 10**9)
            assert trade["flags"] & Flag.FEED_IEX
            assert trade["ts_recv"] > 1_000
            assert venue.content_types == [f"application/{codec}"]
            assert feed.acknowledged["trades"] == {"AAPL"}
        assert [s.up for s in reader.states] == [True]

    asyncio.run(body())


@pytest.mark.row("S020")
def test_wrong_key_ends_the_feed_and_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        venue = Venue()
        async with running(venue, secret=SECRET + "x") as (feed, reader):
            await until(lambda: reader.states)
            await asyncio.sleep(0.2)
            assert len(venue.sockets) == 1
            (state,) = reader.states
            assert state.final
            assert not state.up
            assert "402" in state.text
            for text in (state.text, repr(feed), str(feed), caplog.text):
                assert SECRET not in text
                assert KEY not in text

    asyncio.run(body())


@pytest.mark.row("S020")
@pytest.mark.parametrize(("http", "final"), [(401, True), (403, True), (404, True), (429, False), (500, False)])
def test_a_refused_upgrade(http: int, final: bool) -> None:
    async def body() -> None:
        venue = Venue()
        venue.http = http
        async with running(venue) as (feed, reader):
            await until(lambda: reader.states)
            assert reader.states[0].final is final
            assert str(http) in reader.states[0].text
            if not final:
                venue.http = 0
                await until(lambda: feed.connections == 1)

    asyncio.run(body())


@pytest.mark.row("S024")
def test_connection_limit_waits_and_tries_again() -> None:
    async def body() -> None:
        venue = Venue()
        venue.refusals = [(406, "connection limit exceeded")] * 2
        async with running(venue, limit_delay=0.3) as (feed, reader):
            feed.want(aapl())
            loop = asyncio.get_running_loop()
            start = loop.time()
            await until(lambda: feed.up)
            assert loop.time() - start >= 0.6
            assert len(venue.sockets) == 3
            assert [s.final for s in reader.states] == [False, False, False]

    asyncio.run(body())


@pytest.mark.row("S024")
def test_what_was_told_without_an_acknowledgement_has_a_gap_when_the_connection_ends() -> None:
    """The venue took the request, and its answer was lost: what it told until the answer was given up has an end all the same."""

    async def body() -> None:
        venue = Venue()
        venue.acknowledges = False
        async with running(venue, answer_within=0.5) as (feed, reader):
            feed.want(aapl())
            await until(lambda: venue.subscribed.get("trades"))
            await venue.trade(1)
            await until(lambda: reader.ids == [1])
            venue.acknowledges = True
            await until(lambda: feed.up)
            await venue.trade(3)
            await until(lambda: reader.ids == [1, 3])
            assert [int(k) for part in reader.records for k in part["type"]] == [RecordType.TRADE, RecordType.GAP, RecordType.TRADE]

    asyncio.run(body())


@pytest.mark.row("S024")
def test_twenty_drops_lose_no_subscription_and_mark_each_gap() -> None:
    async def body() -> None:
        venue = Venue()
        async with running(venue) as (feed, reader):
            feed.want(aapl(quotes=frozenset({"AAPL", "MSFT"})))
            for n in range(1, 21):
                await until(lambda: feed.up)
                assert (venue.subscribed["trades"], venue.subscribed["quotes"]) == ({"AAPL"}, {"AAPL", "MSFT"})
                await venue.trade(n)
                await until(lambda n=n: reader.ids == list(range(1, n + 1)))  # type: ignore[misc]
                venue.cut()
                await until(lambda: not feed.up)
            await until(lambda: feed.up)
            assert len(reader.gaps) == 40
            assert set(reader.gaps["instrument"]) == {1, 2}
            assert set(reader.gaps["cause"]) == {GapCause.DISCONNECT}
            assert (reader.gaps["from_ts"] < reader.gaps["to_ts"]).all()
            assert (reader.gaps["flags"] == Flag.GAP).all()
            assert feed.connections == 21
            assert feed.counters["resubscribed"] == 0
            # a subscription, a loss, a subscription ...: each gap lies between the trades around it
            kinds = [int(k) for part in reader.records for k in part["type"]]
            assert kinds == [RecordType.TRADE, RecordType.GAP, RecordType.GAP] * 20

    asyncio.run(body())


@pytest.mark.row("S033")
def test_changing_the_wanted_set_keeps_the_connection() -> None:
    async def body() -> None:
        venue = Venue()
        async with running(venue) as (feed, reader):
            feed.want(aapl())
            await until(lambda: feed.up)
            feed.want(Subscription(trades=frozenset({"MSFT"}), bars=frozenset({"*"})))
            await until(lambda: venue.subscribed["trades"] == {"MSFT"} and venue.subscribed["updatedBars"] == {"*"})
            await until(lambda: feed.channels.settled)
            assert feed.acknowledged["bars"] == {"*"}
            await venue.trade(5, instrument=2)
            await until(lambda: reader.ids == [5])
            assert len(venue.sockets) == 1
            with pytest.raises(ConfigError, match="unknown symbols ZZZ"):
                feed.want(Subscription(trades=frozenset({"ZZZ"})))

    asyncio.run(body())


def test_an_acknowledgement_that_leaves_something_out_is_asked_again() -> None:
    async def body() -> None:
        venue = Venue()
        venue.forget = 1
        async with running(venue) as (feed, _):
            feed.want(aapl())
            await until(lambda: feed.up)
            assert venue.subscribed["trades"] == {"AAPL"}
            assert feed.counters["resubscribed"] == 1

    asyncio.run(body())


def test_what_every_acknowledgement_leaves_out_is_given_up_and_told() -> None:
    """Bounded, and the rest runs; the next connection asks anew."""

    async def body() -> None:
        venue = Venue()
        venue.omit = {"MSFT"}
        async with running(venue, answer_within=1.0) as (feed, reader):
            both = frozenset({"AAPL", "MSFT"})
            feed.want(Subscription(trades=both, quotes=both))
            await until(lambda: feed.up)
            assert reader.states[-1].without == ("MSFT",)
            assert [s.text for s in reader.states if s.text] == [
                "the venue leaves out trades of MSFT",
                "the venue leaves out quotes of MSFT",
            ]
            asked = len(venue.requests)
            assert asked == 2 * (1 + TRIES)
            assert feed.channels.settled
            await venue.trade(1)
            await until(lambda: reader.ids == [1])
            assert len(venue.requests) == asked
            venue.omit = set()
            await venue.sockets[-1].close()
            await until(lambda: feed.acknowledged["quotes"] == both and feed.up)
            assert reader.states[-1].without == ()

    asyncio.run(body())


@pytest.mark.parametrize(("code", "text"), [(405, "symbol limit exceeded"), (410, "invalid subscribe action for this feed")])
def test_a_refused_channel_is_reported_and_the_rest_runs(code: int, text: str) -> None:
    async def body() -> None:
        venue = Venue()
        venue.errors["quotes"] = (code, text)
        async with running(venue) as (feed, reader):
            feed.want(aapl(quotes=frozenset({"AAPL"}), bars=frozenset({"AAPL"})))
            await until(lambda: feed.up)
            assert feed.acknowledged["trades"] == feed.acknowledged["bars"] == {"AAPL"}
            assert feed.acknowledged["quotes"] == frozenset()
            assert any(str(code) in s.text and "quotes" in s.text for s in reader.states)
            assert not any(s.final for s in reader.states)
            await venue.trade(1)
            await until(lambda: reader.ids == [1])
            assert len([r for r in venue.requests if "quotes" in r]) == 1

    asyncio.run(body())


@pytest.mark.row("S024")
def test_a_slow_client_error_reconnects() -> None:
    async def body() -> None:
        venue = Venue()
        async with running(venue) as (feed, reader):
            feed.want(aapl())
            await until(lambda: feed.up)
            await venue.send(venue.sockets[-1], [{"T": "error", "code": 407, "msg": "slow client"}])
            await until(lambda: feed.connections == 2 and feed.up)
            assert list(reader.gaps["cause"]) == [GapCause.SLOW]

    asyncio.run(body())


@pytest.mark.row("S024")
def test_a_silent_stream_is_left_though_pings_are_answered() -> None:
    async def body() -> None:
        venue = Venue()
        async with running(venue, stale_after=0.5, ping_after=0.1) as (feed, reader):
            feed.want(aapl())
            await until(lambda: feed.up)
            await venue.trade(1)
            await until(lambda: feed.connections >= 2)
            await until(lambda: len(reader.gaps))
            assert reader.gaps["cause"][0] == GapCause.SILENCE
            assert any("no data for" in s.text for s in reader.states)

    asyncio.run(body())


@pytest.mark.row("S024")
def test_a_busy_stream_that_is_silent_after_a_reconnection_is_left_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the connection before carried says how long a silence may be; after a silence nothing is expected."""
    monkeypatch.setattr(silence, "QUICKEST", 0.4)
    monkeypatch.setattr(silence, "LEAST", 0.5)

    async def body() -> None:
        venue = Venue()
        async with running(venue, stale_after=3.0) as (feed, reader):
            feed.want(aapl())
            await until(lambda: feed.up)
            for n in range(2000):
                await venue.trade(n + 1)
                await asyncio.sleep(0.001)
            await until(lambda: feed._silence.bound < 1.5)
            await venue.sockets[-1].close()
            await until(lambda: sum("no data for" in s.text for s in reader.states) == 2)
            soon, late = (float(s.text.split()[3]) for s in reader.states if "no data for" in s.text)
            assert soon < 3.0 <= late

    asyncio.run(body())


def test_silence_is_no_fault_while_nothing_trades() -> None:
    async def body() -> None:
        venue = Venue()
        async with running(venue, stale_after=0.2, trading=lambda: False) as (feed, _):
            feed.want(aapl())
            await until(lambda: feed.up)
            await asyncio.sleep(1.0)
            assert feed.connections == 1

    asyncio.run(body())


@pytest.mark.row("S024")
def test_a_peer_that_answers_no_ping_is_left() -> None:
    async def body() -> None:
        venue = Venue()
        venue.autoping = False
        async with running(venue, ping_after=0.3) as (feed, _):
            feed.want(aapl())
            await until(lambda: feed.connections >= 2)

    asyncio.run(body())


@pytest.mark.row("S024")
def test_a_mute_server_is_left() -> None:
    async def body() -> None:
        venue = Venue()
        venue.welcome = False
        async with running(venue, answer_within=0.3) as (feed, reader):
            await until(lambda: len(venue.sockets) == 2)
            assert "did not answer" in reader.states[0].text
            venue.welcome = True
            await until(lambda: feed.connections == 1)

    asyncio.run(body())


@pytest.mark.row("S034")
def test_delays_grow_with_jitter_and_fall_only_after_data() -> None:
    backoff = Backoff(0.25, 30.0, Random(1))
    delays = [backoff.next() for _ in range(200)]
    assert min(delays) >= 0.25
    assert max(delays) <= 30.0
    assert delays[0] == 0.25
    assert sum(delays[20:]) / 180 > 10.0
    assert len(set(delays[20:])) > 100
    backoff.reset()
    assert backoff.next() == 0.25

    async def body() -> None:
        venue = Venue()
        async with running(venue, reconnect_delay=(0.01, 0.02)) as (feed, _):
            feed.want(aapl())
            for n in (1, 2, 3):  # authenticated and subscribed, but no data
                await until(lambda n=n: feed.connections == n and feed.up)  # type: ignore[misc]
                venue.cut()
                await until(lambda: not feed.up)
            await until(lambda: feed.up)
            assert feed._backoff.tries == 3
            await venue.trade(1)
            await until(lambda: feed._intake.messages)
            venue.cut()
            await until(lambda: feed.connections == 5)
            assert feed._backoff.tries == 1

    asyncio.run(body())


def test_fragmented_messages_are_joined_and_long_ones_refused() -> None:
    async def body() -> None:
        venue = Venue()
        async with running(venue, max_message=4096) as (feed, reader):
            feed.want(aapl())
            await until(lambda: feed.up)
            frame = venue.frame(*range(30))
            writer = venue.sockets[-1]._writer
            assert writer is not None
            pieces = [frame[i : i + 100] for i in range(0, len(frame), 100)]
            raw = writer.transport
            assert raw is not None
            for i, piece in enumerate(pieces):
                head = (0x02 if i == 0 else 0x00) | (0x80 if i == len(pieces) - 1 else 0)
                raw.write(bytes([head, len(piece)]) + piece)
            await until(lambda: reader.ids == list(range(30)))
            for i in range(60):
                raw.write(bytes([0x02 if i == 0 else 0x00, 100]) + bytes(100))
            await until(lambda: feed.connections == 2)
            assert any("too long" in s.text for s in reader.states)

    asyncio.run(body())


def test_a_malformed_frame_costs_only_itself() -> None:
    async def body() -> None:
        venue = Venue()
        async with running(venue) as (feed, reader):
            feed.want(aapl())
            await until(lambda: feed.up)
            await venue.send_frame(venue.sockets[-1], venue.frame(1, 2)[:-3])
            await venue.trade(3)
            await until(lambda: reader.ids == [3])
            assert feed.counters["malformed"] == 1
            assert feed.connections == 1

    asyncio.run(body())


def test_a_failing_sink_is_not_hidden() -> None:
    async def body() -> None:
        venue = Venue()
        async with running(venue) as (feed, _):
            feed.want(aapl())
            await until(lambda: feed.up)

            def broken(records: Any, bars: Any) -> None:
                raise RuntimeError("sink is full")

            feed._sink = broken
            (task,) = [t for t in asyncio.all_tasks() if "AlpacaFeed.run" in repr(t)]
            await venue.trade(1)
            with pytest.raises(RuntimeError, match="sink is full"):
                await task
            raise Passed

    with pytest.raises(Passed):
        asyncio.run(body())


class Passed(Exception):
    """The test reached its end; the context's own closing is not wanted then."""


def test_close_while_the_venue_cannot_be_reached() -> None:
    async def body() -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            states: list[StreamState] = []
            feed = AlpacaFeed(
                url=f"ws://127.0.0.1:{port}/v2/iex",
                key=KEY,
                secret=SECRET,
                instruments=instruments(),
                sink=lambda r, b: None,
                events=states.append,  # type: ignore[arg-type]
                clock=lambda: 1,
            )
            task = asyncio.create_task(feed.run())
            await until(lambda: states)
            assert not states[0].up
            await feed.close()
            await task

    asyncio.run(body())


def test_settings_that_cannot_be() -> None:
    options: dict[str, Any] = {
        "key": "k",
        "secret": "s",
        "instruments": instruments(),
        "sink": print,
        "events": print,
        "clock": int,
    }
    with pytest.raises(ConfigError, match="WebSocket address"):
        AlpacaFeed(url="https://stream.data.alpaca.markets/v2/iex", **options)
    with pytest.raises(ConfigError, match="codec"):
        AlpacaFeed(url="wss://stream.data.alpaca.markets/v2/iex", codec="xml", **options)


def test_requests_go_one_by_one_and_end_at_the_wanted_set() -> None:
    rng = Random(3)
    names = ["A", "B", "C", "D"]
    channels = Channels()
    held: dict[str, set[str]] = {}
    for _ in range(300):
        if rng.random() < 0.1:
            channels.lost()
            held = {}
        channels.want(Subscription(trades=frozenset(rng.sample(names, 2)), quotes=frozenset(rng.sample(names, rng.randrange(4)))))
        steps = 0
        while (request := channels.next()) is not None:
            steps += 1
            assert channels.next() is None
            old = held.get(request.channel, set())
            held[request.channel] = old | request.symbols if request.action == "subscribe" else old - request.symbols
            assert channels.acknowledge(json.loads(json.dumps({k: sorted(v) for k, v in held.items()})))
        assert steps <= 4
        assert channels.settled
        assert channels.acknowledged == channels.wanted
    assert channels.repeated == 0
