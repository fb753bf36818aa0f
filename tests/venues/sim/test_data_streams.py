"""The streams beside iex and sip, what comes late, and the socket itself."""

import asyncio
from typing import Any

import aiohttp
import msgspec
import numpy as np
import pytest
import requests
import websockets
from tests import synthetic
from tests.venues.sim.clients import reached
from tests.venues.sim.test_server_streams import MSGPACK, Socket, auth, enter, listing, run

from pyrt._core.types import NO_PRICE, RecordType, TradingState, market_dtype, status_dtype
from pyrt.clock import MINUTE, SECOND
from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.market.market import DEFAULT_START
from pyrt.venues.sim.market.side import fakepaca_market
from pyrt.venues.sim.server.config import SimConfig
from pyrt.venues.sim.server.server import open_venue
from pyrt.venues.sim.times import parse_time

pytestmark = pytest.mark.row("X08")

S = DEFAULT_START
VENUE = {"speed": 60.0, "feeds": ("iex", "delayed_sip", "otc"), "start": S, "ping_seconds": 0.5, "auth_seconds": 60}


def at(venue: SimulatedVenue, path: str) -> str:
    return venue.data_url.replace("/v2/iex", path)


def test_the_test_stream_is_always_on_and_lists_nothing(venue: SimulatedVenue) -> None:
    async def story(client: Socket) -> None:
        await enter(venue, client)
        await client.send({"action": "subscribe", "trades": ["FAKEPACA"], "quotes": ["FAKEPACA"], "bars": ["*"]})
        trade, quote, bar = await client.until("t"), await client.until("q"), await client.until("b")
        assert {message["S"] for message in (trade, quote, bar)} == {"FAKEPACA"}
        assert parse_time(trade["t"]) >= S

    run(at(venue, "/v2/test"), story)
    keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
    assert requests.get(f"{venue.url}/v2/assets/FAKEPACA", headers=keys, timeout=30).status_code == 404


def test_the_test_symbol_goes_on_in_the_time_of_an_old_recording(tmp_path: Any) -> None:
    rows = [(34_200_000 + i * 60_000, 50_000, 50_300, 49_900, 50_100, 400) for i in range(5)]
    path = synthetic.lean(tmp_path, "minute/syn/20121129_trade.zip", rows)
    with simulated_venue(market=f"lean:{path}", speed=100.0) as venue:
        begin = reached(venue)
        assert begin < parse_time("2019-01-01")

        async def story(client: Socket) -> None:
            await enter(venue, client)
            await client.send({"action": "subscribe", "trades": ["*"]})
            assert begin < parse_time((await client.until("t"))["t"]) <= venue.clock()["now_ns"]

        run(at(venue, "/v2/test"), story)


def test_a_side_market_is_the_same_in_shifted_time() -> None:
    late = fakepaca_market("FAKEPACA", 1, S)
    early = fakepaca_market("FAKEPACA", 1, parse_time("2012-06-21T10:00:00Z"))
    for side, begin in ((late, S), (early, parse_time("2012-06-21T10:00:00Z"))):
        side.open(begin)
        rows = side.advance(begin + 2 * MINUTE)
        assert rows["ts_event"][0] > begin
        assert rows["ts_event"][-1] <= begin + 2 * MINUTE
        bars = side.history_bars("FAKEPACA", begin, begin, MINUTE)
        assert bars["start"].tolist() == [begin]
    early.close()
    assert not early.is_open


def test_delayed_sip_is_a_quarter_of_an_hour_behind(venue: SimulatedVenue) -> None:
    heard: list[Any] = []

    async def story(client: Socket) -> None:
        await enter(venue, client)
        await client.send({"action": "subscribe", "trades": ["AAPL"], "bars": ["AAPL"]})
        while not any(m["T"] == "b" for m in heard):
            heard.extend(m for m in await client.hear() if m["T"] in "tb")

    before = reached(venue) - 15 * MINUTE
    run(at(venue, "/v2/delayed_sip"), story)
    times = [parse_time(m["t"]) for m in heard if m["T"] == "t"]
    assert before < times[0] < times[-1] <= venue.clock()["now_ns"] - 15 * MINUTE
    keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
    bar = heard[-1] if heard[-1]["T"] == "b" else next(m for m in heard if m["T"] == "b")
    query = {"symbols": "AAPL", "timeframe": "1Min", "start": bar["t"], "end": bar["t"], "feed": "delayed_sip"}
    (row,) = requests.get(f"{venue.url}/v2/stocks/bars", params=query, headers=keys, timeout=30).json()["bars"]["AAPL"]
    assert {k: bar[k] for k in "ohlcvn"} == {k: row[k] for k in "ohlcvn"}


@pytest.mark.parametrize(
    ("path", "code"), [("/v2/sip", 409), ("/v2/boats", 409), ("/v2/overnight", 409), ("/v1beta1/news", 409), ("/v2/otc", 0)]
)
def test_feeds_that_the_plan_does_not_hold(venue: SimulatedVenue, path: str, code: int) -> None:
    async def story(client: Socket) -> None:
        await client.hear()
        answer = await client.ask(auth(venue))
        if code:
            assert answer == {"T": "error", "code": code, "msg": "insufficient subscription"}
            await client.closed()
        else:
            assert (await client.ask({"action": "subscribe", "trades": ["*"]}))["trades"] == ["*"]

    run(at(venue, path), story)


def test_a_path_that_is_not_there_is_a_plain_404(venue: SimulatedVenue) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        run(at(venue, "/v2/nowhere"), lambda client: client.hear())
    assert refused.value.status == 404


def test_imbalances_are_a_channel_that_is_listed_when_it_is_named(venue: SimulatedVenue) -> None:
    async def story(client: Socket) -> None:
        await enter(venue, client)
        assert await client.ask({"action": "subscribe", "imbalances": ["AAPL"]}) == listing() | {"imbalances": ["AAPL"]}
        assert await client.ask({"action": "unsubscribe", "imbalances": ["AAPL"]}) == listing()
        for foreign in ("corrections", "cancelErrors", "orderbooks", "news"):
            assert (await client.ask({"action": "subscribe", foreign: ["AAPL"]}))["code"] == 410

    run(venue.data_url, story)


# ---------------------------------------------------------------------------------------------------- what comes late
def test_corrections_come_with_trades_and_change_bars_and_history() -> None:
    heard: dict[str, list[Any]] = {kind: [] for kind in "tcxbud"}
    market = "generated:rate=40,corrections=0.001,symbols=AAPL+SPY+MSFT"
    with simulated_venue(speed=0.0, start=S, seed=3, market=market) as venue:

        async def story(client: Socket) -> None:
            await enter(venue, client)
            await client.send({"action": "subscribe", "trades": ["*"], "bars": ["*"], "updatedBars": ["*"], "dailyBars": ["*"]})
            while len(heard["u"]) < 3 or not heard["c"] or not heard["x"]:
                for message in await client.hear():
                    heard.get(message["T"], []).append(message)

        run(venue.data_url, story)
    assert set(heard["c"][0]) == {"T", "S", "x", "oi", "op", "os", "oc", "ci", "cp", "cs", "cc", "z", "t"}
    assert set(heard["x"][0]) == {"T", "S", "i", "x", "p", "s", "a", "z", "t"}
    trades = {(t["S"], t["i"]): t for t in heard["t"]}
    end = max(b["t"] for b in heard["u"])
    for correction in heard["c"]:
        first = trades[correction["S"], correction["oi"]]
        assert (first["p"], first["s"], first["c"]) == (correction["op"], correction["os"], correction["oc"])
        assert correction["cp"] != correction["op"]
        assert correction["t"] == first["t"]
    for cancel in heard["x"]:
        first = trades[cancel["S"], cancel["i"]]
        assert first["p"] == cancel["p"]
        assert 2 * SECOND <= parse_time(cancel["t"]) - parse_time(first["t"]) <= 20 * SECOND
    with simulated_venue(start=parse_time(end) + 10 * MINUTE, seed=3, market=market) as later:
        keys = {"APCA-API-KEY-ID": later.key, "APCA-API-SECRET-KEY": later.secret}

        def rows(kind: str, symbol: str, begin: str, end: str) -> list[Any]:
            query = {"symbols": symbol, "timeframe": "1Min", "start": begin, "end": end, "limit": 10_000}
            url = f"{later.url}/v2/stocks/{kind}"
            return list(requests.get(url, params=query, headers=keys, timeout=60).json()[kind].get(symbol, []))

        for bar in heard["u"]:
            (row,) = rows("bars", bar["S"], bar["t"], bar["t"])
            told = next(b for b in heard["b"] if (b["S"], b["t"]) == (bar["S"], bar["t"]))
            assert {k: bar[k] for k in "ohlcvn"} == {k: row[k] for k in "ohlcvn"}
            assert {k: v for k, v in bar.items() if k != "T"} != {k: v for k, v in told.items() if k != "T"}
        first = trades[heard["c"][0]["S"], heard["c"][0]["oi"]]
        marked = rows("trades", first["S"], first["t"], first["t"])
        assert [(row["i"], row["u"]) for row in marked] == [(first["i"], "incorrect"), (heard["c"][0]["ci"], "corrected")]
        gone = trades[heard["x"][0]["S"], heard["x"][0]["i"]]
        assert [row["u"] for row in rows("trades", gone["S"], gone["t"], gone["t"])] == ["canceled"]


def status(now: int, state: TradingState, bands: bool) -> Any:
    rows = np.zeros(1, dtype=status_dtype)
    rows["type"], rows["instrument"], rows["ts_event"] = int(RecordType.STATUS), 1, now
    rows["upper_px"], rows["lower_px"] = (200 * 10**9, 180 * 10**9) if bands else (NO_PRICE, NO_PRICE)
    rows["code"], rows["reason"], rows["tape"] = (ord("B") if bands else ord("H")), ord("M"), ord("C")
    rows["state"] = 0 if bands else int(state)
    return rows.view(market_dtype)


def test_statuses_and_bands_are_two_channels() -> None:
    async def main() -> None:
        async with (
            open_venue(SimConfig(start=S)) as (venue, listening),
            aiohttp.ClientSession() as http,
            http.ws_connect(listening.data_url) as ws,
        ):
            client = Socket(ws, False)
            await client.hear()
            await client.ask({"action": "auth", "key": listening.key, "secret": listening.secret})
            assert venue.streams is not None
            for channel, kind in (("statuses", "s"), ("lulds", "l")):
                other = "lulds" if channel == "statuses" else "statuses"
                await client.ask({"action": "subscribe", channel: ["AAPL"]})
                await client.ask({"action": "unsubscribe", other: ["AAPL"]})
                now = venue.floor.now
                rows = [status(now, TradingState.HALTED, bands) for bands in (True, False)]
                venue.streams.stocks.publish(np.concatenate(rows), now)
                assert [m["T"] for m in await client.hear()] == [kind]

    asyncio.run(main())


# ---------------------------------------------------------------------------------------------------- the socket
@pytest.mark.parametrize("wanted", [True, False])
def test_compression_is_for_clients_that_offer_it(wanted: bool) -> None:
    with simulated_venue(speed=20.0, start=S, compression=wanted) as venue:

        async def main() -> None:
            async with aiohttp.ClientSession() as http:
                for offered in (15, 0):
                    async with http.ws_connect(venue.data_url, compress=offered, headers=MSGPACK) as ws:
                        assert bool(ws.compress) == (wanted and bool(offered))
                        client = Socket(ws, True)
                        await enter(venue, client)
                        await client.send({"action": "subscribe", "quotes": ["*"]})
                        assert (await client.until("q"))["bp"] > 0

        asyncio.run(main())


def test_a_large_message_in_fragments_is_heard(venue: SimulatedVenue) -> None:
    names = [f"S{n:015d}" for n in range(70_000)]
    message = msgspec.msgpack.encode({"action": "subscribe", "trades": names})
    assert len(message) > 1 << 20

    async def main() -> None:
        headers = MSGPACK | {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
        async with websockets.connect(venue.data_url, additional_headers=headers, max_size=None) as ws:
            assert [msgspec.msgpack.decode(await ws.recv())[0]["msg"] for _ in range(2)] == ["connected", "authenticated"]
            await ws.send([message[i : i + 32_768] for i in range(0, len(message), 32_768)])
            (answer,) = msgspec.msgpack.decode(await ws.recv())
            assert answer["trades"] == answer["corrections"] == names
            await ws.ping()

    asyncio.run(main())


def test_wrong_keys_in_the_headers_of_the_upgrade(venue: SimulatedVenue) -> None:
    async def story(client: Socket) -> None:
        await client.hear()
        assert await client.hear() == [{"T": "error", "code": 402, "msg": "auth failed"}]
        assert await client.ask(auth(venue)) == {"T": "success", "msg": "authenticated"}

    run(venue.data_url, story, **{"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": "wrong"})


def test_the_slot_of_a_client_that_is_gone_without_a_word_is_free_after_the_pings(venue: SimulatedVenue) -> None:
    keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}

    async def main() -> None:
        async with aiohttp.ClientSession() as http:

            async def code() -> int:
                async with http.ws_connect(venue.data_url) as ws:
                    client = Socket(ws, False)
                    await client.hear()
                    return int((await client.ask(auth(venue))).get("code", 0))

            silent = await http.ws_connect(venue.data_url, headers=keys, autoping=False)
            assert [(await silent.receive_json())[0]["msg"] for _ in range(2)] == ["connected", "authenticated"]

            async def answer_pings() -> None:
                while (frame := await silent.receive()).type is aiohttp.WSMsgType.PING:
                    await silent.pong(frame.data)

            alive = asyncio.create_task(answer_pings())
            assert await code() == 406
            alive.cancel()  # from here on it reads nothing and answers nothing
            while await code():
                pass
            await silent.close()

    asyncio.run(main())
