"""Market-data REST beyond bars, trades and quotes: plans, auctions, codes, the screener, and pages that stay."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests
from alpaca.common.exceptions import APIError
from alpaca.data.enums import DataFeed, MarketType, MostActivesBy
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.historical.screener import ScreenerClient
from alpaca.data.requests import MarketMoversRequest, MostActivesRequest, StockLatestTradeRequest, StockTradesRequest

from pyrt.clock import DAY, MINUTE, SECOND
from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.market.archive import Archive, Ask
from pyrt.venues.sim.market.bars_of import bars_of
from pyrt.venues.sim.market.corrections import mark, revise
from pyrt.venues.sim.market.generator import BLOCK
from pyrt.venues.sim.market.market import DEFAULT_START, Market, open_market
from pyrt.venues.sim.market.rows import parse_timeframe, parse_token
from pyrt.venues.sim.times import format_time, parse_time

pytestmark = pytest.mark.row("X08")

S = DEFAULT_START
NOON = parse_time("2026-03-02T17:00:00Z")
MARKET = "generated:rate=0.5,symbols=AAPL+SPY+BTC/USD"
VENUE = {"market": MARKET, "start": NOON}


@pytest.fixture(scope="module")
def free() -> Iterator[SimulatedVenue]:
    """The free plan: no sip until it is a quarter of an hour old."""
    with simulated_venue(market=MARKET, start=NOON, feeds=("iex", "otc")) as v:
        yield v


def get(venue: SimulatedVenue, path: str, **query: Any) -> Any:
    keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
    return requests.get(venue.url + path, params=query, headers=keys, timeout=60)


def test_recent_sip_data_is_not_in_the_free_plan(venue: SimulatedVenue, free: SimulatedVenue) -> None:
    recent = {"message": "subscription does not permit querying recent SIP data"}
    for path in ("/v2/stocks/trades", "/v2/stocks/quotes/latest", "/v2/stocks/snapshots"):
        refused = get(free, path, symbols="AAPL", feed="sip")
        assert (refused.status_code, refused.json()) == (403, recent)
    old = get(free, "/v2/stocks/trades", symbols="AAPL", feed="sip", start="2026-03-02T16:00:00Z", end="2026-03-02T16:30:00Z")
    assert len(old.json()["trades"]["AAPL"]) > 5
    assert get(free, "/v2/stocks/trades/latest", symbols="AAPL").status_code == 200  # iex is the best of the plan
    assert get(venue, "/v2/stocks/trades/latest", symbols="AAPL", feed="sip").status_code == 200
    late = get(venue, "/v2/stocks/trades/latest", symbols="AAPL", feed="delayed_sip").json()["trades"]["AAPL"]
    assert parse_time(late["t"]) <= NOON - 14 * MINUTE
    client = StockHistoricalDataClient(free.key, free.secret, url_override=free.url)
    with pytest.raises(APIError, match="recent SIP data"):
        client.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="AAPL", feed=DataFeed.SIP))
    client._session.close()


def test_a_feed_of_the_plan_in_which_nothing_trades_is_empty(free: SimulatedVenue) -> None:
    query = {"symbols": "AAPL", "feed": "otc", "timeframe": "1Min"}
    for kind in ("bars", "trades", "quotes"):
        assert get(free, f"/v2/stocks/{kind}", **query).json() == {kind: {}, "next_page_token": None}
        assert get(free, f"/v2/stocks/{kind}/latest", **query).json() == {kind: {}}
    assert get(free, "/v2/stocks/AAPL/quotes/latest", feed="otc").status_code == 404
    assert get(free, "/v2/stocks/AAPL/quotes/latest", feed="boats").json() == {
        "message": "subscription does not permit querying BOATS data"
    }


@pytest.mark.parametrize(
    "token", ["!", "WyJBQVBMIiwxZTQwLDFd", "WyJBQVBMIiwxLC0xXQ==", "WyJBQVBMIiwxMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAsMV0="]
)
def test_a_token_that_is_not_ours_is_a_400(venue: SimulatedVenue, token: str) -> None:
    for path in ("trades", "auctions"):
        answer = get(venue, f"/v2/stocks/{path}", symbols="AAPL", page_token=token)
        assert (answer.status_code, answer.json()) == (400, {"message": "invalid page token"})


@pytest.mark.parametrize("start", ["1901-01-01", "1990-01-01", "2199-12-31T23:59:59Z"])
def test_spans_far_from_the_present(venue: SimulatedVenue, start: str) -> None:
    for path in ("stocks/trades", "stocks/auctions"):
        query = {"symbols": "SPY", "limit": 2, "start": start}
        assert get(venue, f"/v2/{path}", **query).status_code == 200


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"feed": "nasdaq"}, "invalid feed: nasdaq"),
        ({"adjustment": "half"}, "invalid adjustment: half"),
        ({"asof": "yesterday"}, "invalid asof: yesterday"),
        ({"currency": "EUR"}, "invalid currency: this venue has USD alone"),
        ({"limit": "0"}, "invalid limit: it must be from 1 to 10000"),
        ({"sort": "up"}, "invalid sort: it must be asc or desc"),
        ({"page_token": "!"}, "invalid page token"),
        ({"timeframe": "7Day"}, "invalid timeframe: 7Day"),
        ({"start": "2026-03-02", "end": "2026-03-01"}, "end should not be before start"),
        ({"symbols": ""}, "symbols is required"),
    ],
)
def test_what_cannot_be_asked_is_a_400_without_a_code(venue: SimulatedVenue, query: dict[str, str], message: str) -> None:
    answer = get(venue, "/v2/stocks/bars", **({"symbols": "AAPL", "timeframe": "1Min"} | query))
    assert (answer.status_code, answer.json()) == (400, {"message": message})


def test_terms_that_change_nothing_here_are_taken(venue: SimulatedVenue) -> None:
    query = {"symbols": "AAPL", "timeframe": "1Min", "start": "2026-03-02T16:00:00Z", "end": "2026-03-02T16:10:00Z"}
    plain = get(venue, "/v2/stocks/bars", **query).json()
    terms = {"adjustment": "split,dividend", "asof": "2026-03-02", "currency": "usd", "feed": "iex", "sort": "asc"}
    assert get(venue, "/v2/stocks/bars", **query, **terms).json() == plain
    assert get(venue, "/v2/stocks/bars", **query | {"symbols": "NOPE"}).json() == {"bars": {}, "next_page_token": None}
    assert get(venue, "/v2/stocks/NOPE/bars", timeframe="1Min").json() == {"bars": None, "symbol": "NOPE", "next_page_token": None}
    assert get(venue, "/v2/stocks/trades", symbols="BTC/USD").json()["trades"] == {}


def test_auctions(venue: SimulatedVenue) -> None:
    days = get(venue, "/v2/stocks/auctions", symbols="AAPL,SPY", start="2026-02-27", limit=3).json()
    assert [(s, [d["d"] for d in rows]) for s, rows in days["auctions"].items()] == [
        ("AAPL", ["2026-02-27", "2026-03-02"]),
        ("SPY", ["2026-02-27"]),
    ]
    opening, closing = days["auctions"]["AAPL"][0]["o"][0], days["auctions"]["AAPL"][0]["c"][0]
    assert set(opening) == set(closing) == {"t", "x", "p", "s", "c"}
    assert (opening["c"], closing["c"]) == ("O", "6")
    trades = {"symbols": "AAPL", "start": "2026-02-27T14:30:00Z", "end": "2026-02-27T20:59:59.999999999Z"}
    first = get(venue, "/v2/stocks/trades", **trades, limit=50).json()["trades"]["AAPL"]
    assert opening["t"] == next(t["t"] for t in first if "O" in t["c"])
    after = {"start": "2026-02-27T21:00:00Z", "end": "2026-02-27T21:01:00Z"}
    last = get(venue, "/v2/stocks/trades", symbols="AAPL", **after, limit=50).json()["trades"]["AAPL"]
    assert closing["t"] == next(t["t"] for t in last if "6" in t["c"])
    assert days["auctions"]["AAPL"][1]["c"] == []  # it is noon
    token = days["next_page_token"]
    rest = get(venue, "/v2/stocks/auctions", symbols="AAPL,SPY", start="2026-02-27", limit=3, page_token=token).json()
    assert [(s, [d["d"] for d in rows]) for s, rows in rest["auctions"].items()] == [("SPY", ["2026-03-02"])]
    assert rest["next_page_token"] is None
    one = get(venue, "/v2/stocks/AAPL/auctions", start="2026-02-27").json()
    assert (one["symbol"], one["auctions"]) == ("AAPL", days["auctions"]["AAPL"])


def test_codes(venue: SimulatedVenue) -> None:
    assert get(venue, "/v2/stocks/meta/exchanges").json()["V"] == "IEX"
    assert get(venue, "/v2/stocks/meta/conditions/trade", tape="C").json()["@"] == "Regular Sale"
    assert get(venue, "/v2/stocks/meta/conditions/quote", tape="A").json()["R"]
    assert get(venue, "/v2/stocks/meta/conditions/trade").json() == {"message": "invalid tape: "}
    assert get(venue, "/v2/stocks/meta/conditions/bar", tape="A").status_code == 400


def test_the_screener_and_the_news(venue: SimulatedVenue) -> None:
    client = ScreenerClient(venue.key, venue.secret, url_override=venue.url)
    actives = client.get_most_actives(MostActivesRequest(by=MostActivesBy.TRADES, top=1))
    assert [a.symbol for a in actives.most_actives] == ["SPY"]
    movers = client.get_market_movers(MarketMoversRequest(market_type=MarketType.STOCKS))
    assert {m.symbol for m in (*movers.gainers, *movers.losers)} <= {"AAPL", "SPY"}
    assert all(m.change > 0 for m in movers.gainers)
    assert all(m.change < 0 for m in movers.losers)
    assert [m["symbol"] for side in ("gainers", "losers") for m in get(venue, "/v1beta1/screener/crypto/movers").json()[side]] == [
        "BTC/USD"
    ]
    client._session.close()
    for path in ("/v1beta1/news", "/v1beta1/news?symbols=AAPL"):
        answer = get(venue, path)
        assert answer.status_code == 404
        assert "no news" in answer.json()["message"]


@pytest.fixture(scope="module")
def sparse() -> Market:
    """Made once: its minutes are kept."""
    return open_market("generated:rate=0.1,symbols=AAPL", 3, S)


LONG = [pytest.param(text, marks=pytest.mark.nightly) for text in ("1Hour", "1Week", "1M", "2Month", "12Month")]


@pytest.mark.parametrize("timeframe", ["1Min", "7Min", "59T", "5H", "23Hour", "1D", *LONG])
def test_every_timeframe_sums_the_minutes(timeframe: str, sparse: Market) -> None:
    market = sparse
    archive = Archive(market, market.instruments)
    frame = parse_timeframe(timeframe)
    first = S - (70 if frame.unit == "M" else 7 if frame.unit == "W" else 2 if frame.count > 5 else 1) * DAY
    ask = Ask(kind="bars", symbols=["AAPL"], start=first, end=S, now=S, limit=10_000, timeframe=frame)
    rows = archive.page(ask)[0].get("AAPL", [])
    begins = [parse_time(row["t"]) for row in rows]
    assert rows
    if frame.interval:
        assert all(t % frame.interval == 0 for t in begins)
        assert begins[-1] + frame.interval <= S
    else:
        assert begins == [frame.start_of(t) for t in begins if t >= first]
    for row, begin in zip(rows, begins, strict=True):
        end = min(begin + frame.interval if frame.interval else S + 1, S + 1)
        following = [t for t in begins if t > begin]
        minutes = market.history_bars("AAPL", begin, min([end, *following]) - 1, MINUTE, S)
        minutes = minutes[minutes["start"] + MINUTE <= S]
        assert row["v"] * 10**9 == minutes["volume"].sum()
        assert row["n"] == minutes["trades"].sum()
        assert (row["h"], row["l"]) == (minutes["high_px"].max() / 1e9, minutes["low_px"].min() / 1e9)


def test_trades_are_shown_as_they_were_known_and_pages_do_not_move() -> None:
    market = open_market("generated:rate=50,corrections=0.001,symbols=SPY", 3, S)
    archive = Archive(market, market.instruments)
    late = market.history_corrections("SPY", S, S + 5 * MINUTE)
    cancels = late[late["type"] == 7]
    assert len(cancels) > 3
    first = cancels[0]
    told, known = int(first["seq"]), int(first["ts_event"])

    def page(now: int, limit: int = 10_000, token: str | None = None) -> tuple[list[Any], str | None]:
        old = parse_token(token) if token else None
        seen = min(now, old.now) if old else now
        ask = Ask(kind="trades", symbols=["SPY"], start=told, end=told + MINUTE, now=seen, limit=limit, token=old)
        rows, following = archive.page(ask)
        return rows.get("SPY", []), following

    assert "u" not in page(known - 1)[0][0]
    assert page(known)[0][0]["u"] in ("canceled", "incorrect")
    whole = page(known - 1)[0]
    some, token = page(known - 1, 1)
    while token:
        rows, token = page(known + DAY, 1000, token)  # corrections came while the pages were read
        some += rows
    assert [(row["i"], row.get("u")) for row in some] == [(row["i"], row.get("u")) for row in whole]


def test_bars_hold_what_was_corrected_by_then() -> None:
    market = open_market("generated:rate=50,corrections=0.001,symbols=SPY", 3, S)
    late = market.history_corrections("SPY", S, S + 20 * MINUTE)
    crossing = late[(late["seq"] // BLOCK != late["ts_event"] // BLOCK) & (late["type"] == 7)][0]
    minute = int(crossing["seq"]) // BLOCK * BLOCK
    trades = market.history_trades("SPY", minute, minute + BLOCK - 1)
    own = market.history_corrections("SPY", minute, minute + BLOCK - 1)
    for now in (minute + BLOCK, int(crossing["ts_event"]), minute + 2 * BLOCK):
        (bar,) = market.history_bars("SPY", minute, minute, MINUTE, now)
        (want,) = bars_of(revise(trades, own[own["ts_event"] <= now]), BLOCK)
        assert bar.tolist() == want.tolist()
    marked, marks = mark(trades, own)
    assert len(marked) == len(trades) + int((own["type"] == 1).sum())
    assert (np.diff(marked["ts_event"]) >= 0).all()
    assert len(marks) == len(own)


def test_the_hook_for_adjustments_sees_the_bars_of_a_page() -> None:
    market = open_market("generated:rate=1,symbols=AAPL", 3, S)
    asked: list[tuple[str, str]] = []

    def adjust(bars: Any, symbol: str, adjustment: str) -> Any:
        asked.append((symbol, adjustment))
        return bars[:1]

    archive = Archive(market, market.instruments, adjust)
    frame = parse_timeframe("1Min")
    ask = Ask(kind="bars", symbols=["AAPL"], start=S - 10 * MINUTE, end=S, now=S, limit=9, timeframe=frame, adjustment="split")
    rows = archive.page(ask)[0]["AAPL"]
    assert [row["t"] for row in rows] == [format_time(S - 10 * MINUTE)]
    assert asked == [("AAPL", "split")]


def test_alpaca_py_reads_marked_trades() -> None:
    with simulated_venue(market="generated:rate=50,corrections=0.001,symbols=SPY", seed=3, start=S + 10 * MINUTE) as venue:
        client = StockHistoricalDataClient(venue.key, venue.secret, url_override=venue.url)
        span = {"start": format_time(S), "end": format_time(S + 5 * MINUTE)}
        rows = get(venue, "/v2/stocks/SPY/trades", limit=10_000, **span).json()["trades"]
        marked = [row for row in rows if "u" in row]
        assert marked
        assert {row["u"] for row in marked} <= {"canceled", "incorrect", "corrected"}
        begin = parse_time(marked[0]["t"])
        parsed = client.get_stock_trades(
            StockTradesRequest(symbol_or_symbols="SPY", start=format_time(begin), end=format_time(begin + SECOND))
        )
        assert parsed["SPY"][0].id == marked[0]["i"]
        client._session.close()
