"""Opening and closing auctions, half days, and orders that grow old."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt._core.types import Flag, RecordType, format_units, market_dtype, quote_dtype, to_units, trade_dtype
from pyrt.calendar import Calendar
from pyrt.model import AssetClass, Instrument
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import VenueRefusal
from pyrt.venues.sim.market.market import open_market
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.times import format_time, parse_time

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
AAPL, COIN = Instrument(id=1, symbol="AAPL"), Instrument(id=2, symbol="BTC/USD", asset_class=AssetClass.CRYPTO)
OPEN, CLOSE = parse_time("2026-03-03T14:30:00Z"), parse_time("2026-03-03T21:00:00Z")
HALF_DAY = "2026-11-27"  # 09:30 to 13:00, UTC-5


def quote(bid, ask, ts, size=1000):
    row = np.zeros(1, dtype=quote_dtype)
    row["type"], row["instrument"], row["ts_event"] = int(RecordType.QUOTE), 1, ts
    row["bid_px"], row["ask_px"] = to_units(bid), to_units(ask)
    row["bid_qty"] = row["ask_qty"] = size * SECOND
    return row.view(market_dtype)


def trade(px, qty, ts, conditions="@", flags=0, instrument=1):
    row = np.zeros(1, dtype=trade_dtype)
    row["type"], row["instrument"], row["ts_event"], row["flags"] = int(RecordType.TRADE), instrument, ts, flags
    row["px"], row["qty"], row["conditions"] = to_units(px), qty * SECOND, int.from_bytes(conditions.encode(), "little")
    return row.view(market_dtype)


def order(side="buy", qty="10", kind="market", tif="cls", symbol="AAPL", **more):
    return {"symbol": symbol, "qty": qty, "side": side, "type": kind, "time_in_force": tif, **more}


def opened(start="2026-03-03T11:00:00Z", **config):
    ex = Exchange([AAPL, COIN], calendar=Calendar(), always_open=False, start=parse_time(start), **config)
    ex.on_market(np.concatenate([quote("99.9", "100.1", ex.now), trade("100", 1, ex.now)]))
    return ex


def events(ex):
    return [(u["event"], u["order"]["client_order_id"], u.get("price"), u.get("qty")) for _, u in ex.take_updates()]


def refusal(ex, body, at):
    with pytest.raises(VenueRefusal) as caught:
        ex.submit(body, parse_time(at))
    return caught.value


# ---------------------------------------------------------------------------------------------------- when they are taken
@pytest.mark.row("X08")
@pytest.mark.parametrize(
    ("tif", "at", "auction"),
    [
        ("opg", "2026-03-03T09:27:59.999999999-05:00", "2026-03-03T09:30:00-05:00"),
        ("opg", "2026-03-03T09:28:00-05:00", None),
        ("opg", "2026-03-03T18:59:59-05:00", None),
        ("opg", "2026-03-03T19:00:00-05:00", "2026-03-04T09:30:00-05:00"),
        ("opg", "2026-03-06T19:00:00-05:00", "2026-03-09T09:30:00-04:00"),  # a Friday; the clocks change
        ("opg", "2026-03-07T12:00:00-05:00", "2026-03-09T09:30:00-04:00"),  # a Saturday
        ("cls", "2026-03-03T15:49:59-05:00", "2026-03-03T16:00:00-05:00"),
        ("cls", "2026-03-03T15:50:00-05:00", None),
        ("cls", "2026-03-03T18:59:59-05:00", None),
        ("cls", "2026-03-03T19:00:00-05:00", "2026-03-04T16:00:00-05:00"),
        ("cls", "2026-11-27T12:49:59-05:00", "2026-11-27T13:00:00-05:00"),  # a half day
        ("cls", "2026-11-27T12:50:00-05:00", None),
        ("cls", "2026-11-27T19:00:00-05:00", "2026-11-30T16:00:00-05:00"),
        ("cls", "2026-11-26T15:55:00-05:00", "2026-11-27T13:00:00-05:00"),  # Thanksgiving
    ],
)
def test_the_windows(tif, at, auction):
    ex = opened("2026-03-02T15:00:00Z")
    if auction is None:
        assert refusal(ex, order(tif=tif), at).http == 422
        assert ex.state.rows == []
        return
    answer = ex.submit(order(tif=tif), parse_time(at))
    assert (answer["status"], answer["time_in_force"]) == ("accepted", tif)
    assert [format_time(c.at) for c in ex.state.crosses] == [format_time(parse_time(auction))]


@pytest.mark.row("X08")
def test_what_is_no_auction_order():
    ex = opened()
    at = "2026-03-03T12:00:00Z"
    assert "market or limit" in refusal(ex, order(kind="stop", stop_price="101"), at).message
    assert "crypto" in refusal(ex, order(symbol="BTC/USD"), at).message
    assert "extended" in refusal(ex, order(kind="limit", limit_price="100", extended_hours=True), at).message
    always = Exchange([AAPL], start=ex.now)
    always.on_market(quote("99", "100", ex.now))
    assert "never closes" in refusal(always, order(), at).message
    placed = ex.submit(order(), parse_time(at))
    with pytest.raises(VenueRefusal):
        ex.replace(placed["id"], {"qty": "5"}, ex.now)  # accepted orders are not replaceable
    ex.cancel(placed["id"], ex.now)
    assert ex.orders() == []
    working = ex.submit(order(kind="limit", limit_price="90", tif="day"), OPEN)
    with pytest.raises(VenueRefusal, match="cannot be replaced by opg or cls"):
        ex.replace(working["id"], {"time_in_force": "cls"}, OPEN)
    ex.cancel(working["id"], ex.now)
    assert ex.account()["buying_power"] == "200000"


# ---------------------------------------------------------------------------------------------------- what they trade at
@pytest.mark.row("X08")
@pytest.mark.parametrize("conditions", ["M", "6", " 6X"])
def test_the_close_is_the_official_print(conditions):
    ex = opened()
    for cid, body in {
        "market": order(),
        "good": order(kind="limit", limit_price="101"),
        "bad": order(kind="limit", limit_price="100.99"),
    }.items():
        ex.submit({**body, "client_order_id": cid}, OPEN)
    ex.on_market(trade("101.5", 300, CLOSE - SECOND))
    assert events(ex) == []
    late = trade("99", 300, CLOSE + SECOND)
    ex.on_market(np.concatenate([late, trade("101", 50_000, CLOSE + 2 * SECOND, conditions, int(Flag.INELIGIBLE))]))
    assert events(ex) == [("fill", "market", "101", "10"), ("fill", "good", "101", "10"), ("canceled", "bad", None, None)]
    assert ex.order_by_cid("good")["filled_at"] == format_time(CLOSE + 2 * SECOND)
    ex.advance(CLOSE + 3600 * SECOND)
    assert events(ex) == []
    assert ex.state.crosses == []


@pytest.mark.row("X08")
def test_without_an_official_print_the_last_trade_before_the_close_stands_in():
    ex = opened()
    ex.submit(order(qty="40", client_order_id="first"), OPEN)
    ex.submit(order(qty="40", client_order_id="second"), OPEN)
    odd = trade("55", 7, CLOSE - 1, "I", int(Flag.INELIGIBLE))
    ex.on_market(np.concatenate([trade("101", 50, CLOSE - SECOND), odd, trade("102", 900, CLOSE + SECOND)]))
    ex.advance(CLOSE + 5 * MINUTE - 1)
    assert events(ex) == []
    ex.advance(CLOSE + 5 * MINUTE)
    # Fifty shares were offered.
    assert events(ex) == [
        ("fill", "first", "101", "40"),
        ("partial_fill", "second", "101", "10"),
        ("canceled", "second", None, None),
    ]


@pytest.mark.row("X08")
def test_the_open_is_the_official_print_else_the_first_regular_trade():
    official = opened()
    official.submit(order(tif="opg", client_order_id="a"), OPEN - 3600 * SECOND)
    official.on_market(
        np.concatenate([trade("100", 5, OPEN - 1), trade("100.2", 90, OPEN), trade("100.5", 5000, OPEN + SECOND, "O")])
    )
    assert events(official) == [("fill", "a", "100.5", "10")]

    first = opened()
    first.submit(order(tif="opg", client_order_id="a"), OPEN - 3600 * SECOND)
    first.on_market(np.concatenate([trade("100", 5, OPEN - 1), trade("100.2", 90, OPEN), trade("100.3", 90, OPEN + SECOND)]))
    first.advance(OPEN + MINUTE)
    assert events(first) == [("fill", "a", "100.2", "10")]

    late = opened()
    late.submit(order(tif="opg", client_order_id="a"), OPEN - 3600 * SECOND)
    late.advance(OPEN + 30 * MINUTE)
    assert events(late) == []
    late.on_market(trade("103", 90, OPEN + 31 * MINUTE))
    assert events(late) == [("fill", "a", "103", "10")]

    never = opened()
    never.submit(order(tif="opg", client_order_id="a"), OPEN - 3600 * SECOND)
    never.advance(CLOSE)
    assert events(never) == [("canceled", "a", None, None)]


@pytest.mark.row("X08")
def test_who_comes_first():
    ex = opened()
    for cid, body in {
        "low": order(qty="30", kind="limit", limit_price="101"),
        "high": order(qty="30", kind="limit", limit_price="103"),
        "high too": order(qty="30", kind="limit", limit_price="103"),
        "any": order(qty="30"),
    }.items():
        ex.submit({**body, "client_order_id": cid}, OPEN)
    other = ex.open_account()
    ex.submit({**order("sell", "70", "limit", limit_price="100"), "client_order_id": "short"}, OPEN, other)
    ex.on_market(trade("101", 70, CLOSE + 1, "6"))
    # Seventy shares on either side.
    assert events(ex) == [
        ("fill", "any", "101", "30"),
        ("fill", "high", "101", "30"),
        ("partial_fill", "high too", "101", "10"),
        ("fill", "short", "101", "70"),
        ("canceled", "low", None, None),
        ("canceled", "high too", None, None),
    ]


tape = st.lists(st.tuples(st.integers(-40, 400), st.integers(98, 103), st.integers(1, 40), st.sampled_from("@@@6M")), max_size=25)
asked = st.lists(
    st.tuples(st.sampled_from(["buy", "sell"]), st.sampled_from([None, "99", "100", "101"]), st.integers(1, 30)), max_size=5
)


@settings(max_examples=60, deadline=None)
@given(tape, asked, st.integers(1, 25))
def test_the_batches_in_which_the_market_comes_do_not_matter(prints, wanted, size):
    rows = np.concatenate([quote("99.9", "100.1", CLOSE - 3600 * SECOND)] + [
        trade(str(px), qty, CLOSE + at * SECOND, mark) for at, px, qty, mark in sorted(prints)
    ])  # fmt: skip
    seen = []
    for batch in (1, size, len(rows)):
        ex = opened()
        accounts = {"buy": ex.default, "sell": ex.open_account()}
        for side, limit, qty in wanted:
            kind = {"kind": "limit", "limit_price": limit} if limit else {}
            ex.submit(order(side, str(qty), **kind), OPEN, accounts[side])
        for begin in range(0, len(rows), batch):
            ex.on_market(rows[begin : begin + batch])
        ex.advance(CLOSE + 3600 * SECOND)
        assert ex.orders() == []
        seen.append((ex.take_updates(), ex.save()))
    assert seen[0] == seen[1] == seen[2]


def test_an_auction_outlives_a_restart():
    ex = opened()
    ex.submit(order(client_order_id="a"), OPEN)
    again = Exchange.load(ex.save(), [AAPL, COIN], calendar=Calendar(), always_open=False)
    again.on_market(trade("101", 70, CLOSE + 1, "6"))
    assert events(again) == [("fill", "a", "101", "10")]


# ------------------------------------------------------------------------------------------------ half days, hours, age
@pytest.mark.row("X08")
def test_a_half_day_ends_at_one():
    ex = opened(f"{HALF_DAY}T08:00:00-05:00")
    at = parse_time(f"{HALF_DAY}T10:00:00-05:00")
    day = ex.submit(order(kind="limit", limit_price="90", tif="day"), at)
    late = ex.submit(order(kind="limit", limit_price="91", tif="day", extended_hours=True), at)
    gtc = ex.submit(order(kind="limit", limit_price="92", tif="gtc"), at)
    assert day["expires_at"] == format_time(parse_time(f"{HALF_DAY}T13:00:00-05:00"))
    assert late["expires_at"] == format_time(parse_time(f"{HALF_DAY}T17:00:00-05:00"))
    assert gtc["expires_at"] == format_time(parse_time("2027-02-25T16:15:00-05:00"))
    ex.on_market(trade("100", 5, parse_time(f"{HALF_DAY}T12:59:59-05:00")))
    ex.take_updates()
    ex.on_market(trade("80", 5, parse_time(f"{HALF_DAY}T13:00:01-05:00")))
    assert [(u["event"], u["timestamp"]) for _, u in ex.take_updates()] == [
        ("expired", f"{HALF_DAY}T18:00:00Z"),
        ("partial_fill", f"{HALF_DAY}T18:00:01Z"),
    ]
    ex.advance(parse_time(f"{HALF_DAY}T17:00:00-05:00"))
    assert [u["event"] for _, u in ex.take_updates()] == ["expired"]
    assert [o["id"] for o in ex.orders()] == [gtc["id"]]


@pytest.mark.row("X08")
def test_the_overnight_session_is_not_traded():
    ex = opened()
    night = parse_time("2026-03-03T21:00:00-05:00")
    waiting = ex.submit(order(kind="limit", limit_price="100", tif="day", extended_hours=True), night)
    assert (waiting["status"], waiting["expires_at"]) == ("accepted", format_time(parse_time("2026-03-04T20:00:00-05:00")))
    ex.on_market(trade("90", 500, night + SECOND))
    assert events(ex) == []
    ex.on_market(quote("89", "90", parse_time("2026-03-04T04:00:01-05:00")))
    assert [e[0] for e in events(ex)] == ["new", "fill"]


@pytest.mark.row("X08")
def test_a_gtc_order_ends_after_ninety_days():
    ex = opened()
    placed = ex.submit(order(kind="limit", limit_price="90", tif="gtc"), OPEN)
    assert placed["expires_at"] == format_time(parse_time("2026-06-01T16:15:00-04:00"))
    ex.advance(parse_time("2026-06-01T16:14:59-04:00"))
    assert events(ex) == [("new", placed["client_order_id"], None, None)]
    ex.advance(parse_time("2026-06-01T16:15:00-04:00"))
    assert [e[0] for e in events(ex)] == ["expired"]
    assert ex.order(placed["id"])["expired_at"] == placed["expires_at"]
    assert Exchange([AAPL]).hours.expiry(OPEN, ex.state.rows[0].tif, False) == 0  # a venue that never closes


# ---------------------------------------------------------------------------------------------------- the generated market
@pytest.mark.row("X08")
def test_the_generated_market_has_its_crosses():
    market = open_market("generated:rate=0.1,symbols=AAPL+SPY", 7, parse_time(f"{HALF_DAY}T09:00:00-05:00"))
    rows = market.advance(parse_time(f"{HALF_DAY}T14:00:00-05:00"))
    prints = rows[rows["type"] == int(RecordType.TRADE)].view(trade_dtype)
    crosses = prints[np.isin(prints["conditions"], [ord("O"), ord("6")])]
    assert [(int(c["instrument"]), chr(c["conditions"])) for c in np.sort(crosses, order=["instrument", "ts_event"])] == [
        (1, "O"), (1, "6"), (3, "O"), (3, "6"),
    ]  # fmt: skip
    for cross in crosses:
        clock = "09:30" if chr(cross["conditions"]) == "O" else "13:00"
        begin = parse_time(f"{HALF_DAY}T{clock}:00-05:00")
        assert begin <= cross["ts_event"] < begin + MINUTE
        assert 10_000 * SECOND <= cross["qty"] < 50_000 * SECOND
    past = market.history_trades("AAPL", parse_time("2026-11-25T00:00:00Z"), parse_time("2026-11-27T14:00:00Z")).view(trade_dtype)
    assert [chr(c) for c in past["conditions"].tolist() if c in (ord("O"), ord("6"))] == ["O", "6"]  # Wednesday, Thanksgiving


@pytest.mark.row("X08")
def test_a_half_day_at_high_speed():
    begin = parse_time(f"{HALF_DAY}T09:00:00-05:00")
    market = open_market("generated:rate=0.5,symbols=AAPL", 3, begin)
    ex = Exchange(market.instruments, calendar=Calendar(), always_open=False, start=begin)
    floor = Floor(market, ex, begin, 0.0)
    floor.step(begin + MINUTE)
    for cid, body in {"moo": order(tif="opg"), "loc": order(kind="limit", limit_price="999"), "day": order(tif="day")}.items():
        ex.submit({**body, "client_order_id": cid}, floor.now)
    ex.submit({**order(kind="limit", limit_price="1", tif="day"), "client_order_id": "low"}, floor.now)
    ex.take_updates()
    while floor.now < parse_time(f"{HALF_DAY}T13:06:00-05:00"):
        floor.run_ahead()
    filled = {o["client_order_id"]: (o["status"], o["filled_at"], o["filled_avg_price"]) for o in ex.orders("closed")}
    cross = {chr(t["conditions"]): t for t in market.history_trades("AAPL", begin, floor.now).view(trade_dtype)}
    for cid, mark in (("moo", "O"), ("loc", "6")):
        price = format_units(int(cross[mark]["px"]))
        assert filled[cid] == ("filled", format_time(int(cross[mark]["ts_event"])), price)
    assert filled["low"][0] == "expired"
    assert ex.order_by_cid("low")["expired_at"] == f"{HALF_DAY}T18:00:00Z"
    assert ex.positions()[0]["qty"] == "30"


def test_pairs_trade_while_the_exchange_is_closed() -> None:
    """A share's order waits for the open; a pair's works at once, trades, is replaced, and stays at the close."""
    ex = opened("2026-03-03T03:00:00Z", cash="1000000")
    coin = quote("60000", "60001", ex.now)
    coin["instrument"] = 2
    ex.on_market(coin)
    share = ex.submit(order(kind="limit", limit_price="90", tif="day"), ex.now)
    pair = ex.submit(order(qty="1", kind="limit", limit_price="50000", tif="gtc", symbol="BTC/USD"), ex.now)
    assert (share["status"], pair["status"]) == ("accepted", "pending_new")
    assert ex.order(pair["id"])["status"] == "new"
    assert ex.replace(pair["id"], {"limit_price": "51000"}, ex.now)["replaces"] == pair["id"]
    market = ex.submit(order(qty="1", tif="ioc", symbol="BTC/USD"), ex.now)
    assert ex.order(market["id"])["status"] == "filled"
    ex.advance(CLOSE + 6 * 3600 * SECOND)
    assert [o["symbol"] for o in ex.orders(status="open")] == ["BTC/USD"]
    assert ex.orders(status="open")[0]["status"] == "new"
