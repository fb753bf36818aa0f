"""Splits and dividends: shares, cost, orders, cash, entries, prices, and the data host's list of them."""

import asyncio
from datetime import date
from decimal import Decimal
from fractions import Fraction

import aiohttp
import alpaca.trading.models as alpaca
import numpy as np
import pytest
import requests
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import CorporateActionsRequest
from alpaca.trading.client import TradingClient
from alpaca.trading.requests import MarketOrderRequest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.sim.orders_world import SECOND, T, level, trade

from pyrt._core.types import Flag, RecordType, bar_dtype, to_units, trade_dtype
from pyrt.calendar import Calendar
from pyrt.errors import ConfigError
from pyrt.model import Instrument
from pyrt.venues.sim.actions import Action, read_actions
from pyrt.venues.sim.exchange.account import ONE, Position
from pyrt.venues.sim.exchange.corporate import Split
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.library import simulated_venue
from pyrt.venues.sim.market.adjust import adjust
from pyrt.venues.sim.market.market import open_market
from pyrt.venues.sim.times import parse_time

EX = parse_time("2026-03-04T02:00:00-05:00")
AAPL, SPY = Instrument(id=1, symbol="AAPL"), Instrument(id=2, symbol="SPY")
SPLIT = Action(kind="forward_split", symbol="AAPL", ex_date=date(2026, 3, 4), new_rate=2)
REVERSE = Action(kind="reverse_split", symbol="AAPL", ex_date=date(2026, 3, 4), old_rate=10)
DIVIDEND = Action(
    kind="cash_dividend", symbol="AAPL", ex_date=date(2026, 3, 4), rate="0.256", payable_date=date(2026, 3, 12), withheld="0.3"
)


def order(side="buy", qty="10", kind="market", tif="gtc", symbol="AAPL", **more):
    return {"symbol": symbol, "qty": qty, "side": side, "type": kind, "time_in_force": tif, **more}


def events(ex):
    keys = ("qty", "filled_qty", "limit_price", "stop_price")
    return [(u["event"], *(u["order"][k] for k in keys)) for _, u in ex.take_updates()]


def holding(qty="10", side="buy", **config):
    """Shares at 100, and an asset that stays at 100 until something happens."""
    ex = Exchange([AAPL, SPY], start=T, **config)
    ex.on_market(np.concatenate([level("100", "100"), trade("100")]))
    ex.submit(order(side, qty), T)
    ex.take_updates()
    return ex


def entries(ex, *types, account=None):
    rows = ex.activities(types or None, direction="asc", account=account)
    return [(a["activity_type"], a["net_amount"], a.get("qty")) for a in rows if a["activity_type"] != "FILL"]


# ---------------------------------------------------------------------------------------------------- splits
@pytest.mark.row("X13")
def test_a_forward_split_comes_at_two_in_the_morning():
    ex = holding()
    ex.schedule_action(SPLIT)
    ex.advance(EX - 1)
    before = ex.positions()[0]
    ex.advance(EX)
    (after,) = ex.positions()
    assert (before["qty"], after["qty"]) == ("10", "20")
    assert (after["avg_entry_price"], after["cost_basis"], after["current_price"], after["lastday_price"]) == (
        "50",
        "1000",
        "50",
        "50",
    )
    assert (after["market_value"], after["unrealized_pl"], after["unrealized_intraday_pl"]) == ("1000", "0", "0")
    assert ex.account()["equity"] == "100000"
    assert entries(ex) == [("SPLIT", "0", "-10"), ("SPLIT", "0", "20")]
    alpaca.NonTradeActivity(account_id=ex.default, **ex.activities(["SPLIT"])[0])
    ex.on_market(level("49.9", "50", EX + SECOND))
    ex.submit(order("sell", "20"), EX + 2 * SECOND)
    assert ex.positions() == []
    assert Exchange.load(ex.save(), [AAPL, SPY]).save() == ex.save()


@pytest.mark.row("X13")
def test_standing_orders_are_scaled_and_trigger_nothing():
    ex = holding()
    ex.schedule_action(SPLIT)
    stop = ex.submit(order("sell", "5", "stop", stop_price="89.99"), T)
    ex.submit(order("sell", "4", "limit", limit_price="111.11"), T)
    ex.take_updates()
    power = Decimal(ex.account()["buying_power"])
    ex.advance(EX)
    assert events(ex) == [("restated", "10", "0", None, "44.99"), ("restated", "8", "0", "55.56", None)]
    assert Decimal(ex.account()["buying_power"]) == power
    ex.on_market(np.concatenate([level("49.9", "50.1", EX + SECOND), trade("50", 100, EX + SECOND)]))
    assert events(ex) == []
    ex.on_market(np.concatenate([level("44.9", "45", EX + 2 * SECOND), trade("44.99", 100, EX + 2 * SECOND)]))
    assert events(ex) == [("fill", "10", "10", None, "44.99")]
    assert ex.order(stop["id"])["filled_avg_price"] == "44.9"


@pytest.mark.row("X13")
def test_a_partly_filled_order_keeps_what_was_filled():
    ex = holding()
    ex.on_market(level("99", "100", T + 1, size=4))
    ex.submit(order(qty="10", kind="limit", limit_price="100"), T + 1)
    ex.schedule_action(Action(kind="forward_split", symbol="AAPL", ex_date=date(2026, 3, 4), new_rate=3, old_rate=2))
    reserved = 200_000 - Decimal(ex.account()["buying_power"]) - Decimal(ex.account()["long_market_value"])
    ex.take_updates()
    ex.advance(EX)
    assert events(ex) == [("restated", "13", "4", "66.66", None)]  # 6 left become 9; a buy rounds down
    ex.on_market(level("60", "66", EX + 1, size=500))
    (fill,) = [u for _, u in ex.take_updates()]
    assert (fill["event"], fill["qty"], fill["position_qty"]) == ("fill", "9", str(14 * 3 // 2 + 9))
    assert reserved > 0
    assert ex.state.accounts[ex.default].reserved == 0


@pytest.mark.row("X13")
def test_a_reverse_split_cancels_orders_and_keeps_fractions():
    ex = holding("15")
    ex.schedule_action(REVERSE)
    ex.submit(order("sell", "5", "stop", stop_price="90"), T)
    ex.take_updates()
    ex.advance(EX)
    assert events(ex) == [("canceled", "5", "0", None, "90")]
    (position,) = ex.positions()
    assert (position["qty"], position["avg_entry_price"], position["current_price"]) == ("1.5", "1000", "1000")
    assert entries(ex) == [("SPLIT", "0", "-15"), ("SPLIT", "0", "1.5")]


@pytest.mark.row("X13")
@pytest.mark.parametrize(("side", "cash", "lieu"), [("buy", "99000", "500"), ("sell", "101000", "-500")])
def test_fractions_are_paid_out_where_the_action_says_so(side, cash, lieu):
    ex = holding("15", side)
    ex.schedule_action(Action(kind="reverse_split", symbol="AAPL", ex_date=date(2026, 3, 4), old_rate=10, cash_in_lieu=True))
    ex.advance(EX)
    sign = "" if side == "buy" else "-"
    (position,) = ex.positions()
    assert (position["qty"], position["cost_basis"]) == (f"{sign}1", f"{sign}1000")
    assert entries(ex, "CIL") == [("CIL", lieu, f"{sign}0.5")]
    assert (ex.account()["cash"], ex.account()["equity"]) == (cash, "100000")


@pytest.mark.row("X13")
def test_exits_and_trailing_stops_are_scaled_together():
    ex = holding("20")
    ex.schedule_action(SPLIT)
    ex.submit(order("sell", "10", "trailing_stop", trail_price="5"), T)
    pair = {"order_class": "oco", "take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "80"}}
    profit = ex.submit(order("sell", "10", "limit", **pair), T)
    ex.on_market(trade("104", 100, T + 1))
    ex.take_updates()
    ex.advance(EX)
    told = [(u["event"], u["order"]["qty"], u["order"]["limit_price"], u["order"]["stop_price"]) for _, u in ex.take_updates()]
    assert told == [("restated", "20", None, "49.5"), ("restated", "20", "55", None), ("restated", "20", None, "40")]
    assert ex.position("AAPL")["qty_available"] == "0"
    ex.on_market(np.concatenate([level("49.6", "49.7", EX + 1), trade("49.6", 100, EX + 1)]))
    assert events(ex) == []
    ex.on_market(np.concatenate([level("49.4", "49.5", EX + 2), trade("49.5", 100, EX + 2)]))
    assert [e[0] for e in events(ex)] == ["fill"]
    ex.on_market(np.concatenate([level("55.1", "55.2", EX + 3), trade("55.1", 500, EX + 3)]))
    assert ex.order(profit["id"])["status"] == "filled"
    assert ex.positions() == []
    assert ex.orders() == []


def test_a_reverse_split_ends_a_group_once():
    ex = holding("20")
    ex.schedule_action(REVERSE)
    pair = {"order_class": "oco", "take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "80"}}
    ex.submit(order("sell", "10", "limit", **pair), T)
    ex.take_updates()
    ex.advance(EX)
    assert [e[0] for e in events(ex)] == ["canceled", "canceled"]
    assert ex.position("AAPL")["qty_available"] == "2"


def test_orders_can_be_kept_or_canceled():
    for standing, told in (("keep", []), ("cancel", [("canceled", "5", "0", None, "90")])):
        ex = holding()
        ex.schedule_action(Action(kind="forward_split", symbol="AAPL", ex_date=date(2026, 3, 4), new_rate=2, orders=standing))
        placed = ex.submit(order("sell", "5", "stop", stop_price="90"), T)
        ex.take_updates()
        ex.advance(EX)
        assert events(ex) == told
        ex.on_market(np.concatenate([level("49", "50", EX + 1), trade("50", 100, EX + 1)]))
        assert (ex.order(placed["id"])["status"] == "filled") == (standing == "keep")  # what adjusting is for


def test_an_action_happens_once():
    ex = holding()
    ex.schedule_action(SPLIT)
    ex.schedule_action(SPLIT)
    again = Exchange.load(ex.save(), [AAPL, SPY])
    again.schedule_action(SPLIT)
    again.advance(EX + 1)
    again.schedule_action(SPLIT)
    again.advance(EX + 48 * 3600 * SECOND)
    assert again.positions()[0]["qty"] == "20"
    again.schedule_action(Action(kind="forward_split", symbol="SPY", ex_date=date(2026, 3, 3), new_rate=2))  # it is past
    assert len(again.state.agenda) == 0
    with pytest.raises(ConfigError, match="not traded"):
        again.schedule_action(Action(kind="forward_split", symbol="NONE", ex_date=date(2026, 3, 3), new_rate=2))


def test_a_bust_across_a_split():
    ex = holding("10")
    ex.schedule_action(Action(kind="forward_split", symbol="AAPL", ex_date=date(2026, 3, 4), new_rate=3))
    ex.on_market(level("110", "110", T + 1))
    ex.submit(order(qty="10"), T + 1)
    ex.advance(EX)
    ex.on_market(level("40", "40", EX + 1))
    ex.submit(order("sell", "6"), EX + 2)
    assert ex.positions()[0]["qty"] == "54"
    ex.bust(ex.activities(["FILL"], direction="asc")[1]["id"], EX + 3)
    (position,) = ex.positions()
    assert (position["qty"], position["cost_basis"]) == ("24", "800")
    assert ex.account()["cash"] == str(100_000 - 1000 + 240)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(-(10**12), 10**12).filter(bool),
    st.integers(1, 10**24),
    st.integers(1, 50),
    st.integers(1, 50),
    st.booleans(),
    st.integers(1, 10**12),
)
def test_splitting_conserves_value(qty, cost, new, old, whole, px):
    sign = 1 if qty > 0 else -1
    position = Position(qty=qty, cost=sign * cost, day_qty=qty)
    paid = Split(ts=0, instrument=1, fills=0, new_rate=new, old_rate=old, whole=whole, px=px).apply(position, 9)
    exact = Fraction(abs(qty) * new, old)
    unit = SECOND if whole else 1
    assert 0 <= exact - abs(position.qty) < unit
    assert position.qty % unit == 0
    assert position.cost + (paid - position.realised) == sign * cost
    assert abs(position.day_qty) <= abs(position.qty)
    assert abs(abs(paid) - (int(exact - abs(position.qty)) * px if whole else 0)) <= ONE // 200


# ---------------------------------------------------------------------------------------------------- dividends
@pytest.mark.row("X08")
def test_who_holds_at_the_ex_instant_is_paid_at_the_pay_date():
    ex = holding("10")
    short = ex.open_account()
    ex.submit(order("sell", "3"), T, short)
    ex.schedule_action(DIVIDEND)
    ex.advance(EX + SECOND)
    ex.on_market(level("100", "100", EX + SECOND))
    ex.submit(order("sell", "10"), EX + SECOND)
    assert entries(ex) == []
    cash = Decimal(ex.account()["cash"])
    ex.advance(parse_time("2026-03-12T01:59:59-04:00"))
    assert entries(ex) == []
    ex.advance(parse_time("2026-03-12T02:00:00-04:00"))
    assert entries(ex) == [("DIV", "2.56", "10"), ("DIVNRA", "-0.77", "10")]
    assert entries(ex, account=short) == [("DIV", "-0.77", "-3")]
    paid = ex.activities(["DIV"])[0]
    assert (paid["per_share_amount"], paid["symbol"], paid["date"]) == ("0.256", "AAPL", "2026-03-12")
    assert Decimal(ex.account()["cash"]) == cash + Decimal("1.79")
    alpaca.NonTradeActivity(account_id=ex.default, **paid)


def test_orders_can_be_reduced_by_a_dividend():
    ex = holding()
    ex.schedule_action(Action(kind="cash_dividend", symbol="AAPL", ex_date=date(2026, 3, 4), rate="0.256", orders="adjust"))
    ex.submit(order("sell", "1", "stop", stop_price="80"), T)
    ex.submit(order("sell", "1", "limit", limit_price="120"), T)
    ex.submit(order("buy", "1", "limit", limit_price="90"), T, ex.open_account())
    ex.take_updates()
    ex.advance(EX)
    assert events(ex) == [("restated", "1", "0", None, "79.74"), ("restated", "1", "0", "89.74", None)]


@pytest.mark.row("X13")
def test_with_a_calendar_it_is_before_the_open():
    ex = Exchange([AAPL, SPY], start=T, calendar=Calendar(), always_open=False)
    ex.on_market(np.concatenate([level("100", "100"), trade("100")]))
    ex.submit(order(qty="10", tif="day"), T)
    ex.submit(order("sell", "5", "stop", stop_price="90"), T)
    ex.schedule_action(SPLIT)
    ex.take_updates()
    ex.advance(parse_time("2026-03-04T09:30:00-05:00"))
    assert events(ex) == [("restated", "10", "0", None, "45")]
    assert ex.account()["last_equity"] == ex.account()["equity"] == "100000"
    ex.on_market(trade("50", 100, parse_time("2026-03-04T09:30:01-05:00")))
    assert ex.order(ex.orders()[0]["id"])["status"] == "new"


# ---------------------------------------------------------------------------------------------------- as data
def test_actions_are_read_from_toml_and_json(tmp_path):
    toml, json = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text(
        '[[action]]\nkind = "forward_split"\nsymbol = "AAPL"\nex_date = 2026-03-04\nnew_rate = 2\n'
        '[[action]]\nkind = "cash_dividend"\nsymbol = "AAPL"\nex_date = 2026-03-04\nrate = 0.256\n'
        'payable_date = 2026-03-12\nwithheld = 0.3\n'
    )  # fmt: skip
    json.write_text('[{"kind": "reverse_split", "symbol": "AAPL", "ex_date": "2026-03-04", "old_rate": 10}]')
    assert read_actions(toml) == (SPLIT, DIVIDEND)
    assert read_actions(json) == (REVERSE,)


@pytest.mark.parametrize(
    "text",
    [
        'kind = "forward_split"\nsymbol = "A"\nex_date = 2026-03-04\nold_rate = 2',
        'kind = "forward_split"\nsymbol = "A"\nex_date = 2026-03-04\nnew_rate = 0',
        'kind = "cash_dividend"\nsymbol = "A"\nex_date = 2026-03-04',
        'kind = "cash_dividend"\nsymbol = "A"\nex_date = 2026-03-04\nrate = "x"',
        'kind = "cash_dividend"\nsymbol = "A"\nex_date = 2026-03-04\nrate = 0.1234567891',
        'kind = "cash_dividend"\nsymbol = "A"\nex_date = 2026-03-04\nrate = nan',
        'kind = "merger"\nsymbol = "A"\nex_date = 2026-03-04',
        "what = 1",
        "kind =",
    ],
)
def test_what_is_no_action_says_so(tmp_path, text):
    path = tmp_path / "a.toml"
    path.write_text("[[action]]\n" + text)
    with pytest.raises(ConfigError):
        read_actions(path)
    with pytest.raises(ConfigError):
        read_actions(tmp_path / "none.toml")


@pytest.mark.parametrize("line", ['rate = "x"', "rate = nan", 'rate = "0.5"\nwithheld = "nan"'])
def test_what_is_no_number_is_named_in_words(tmp_path, line):
    path = tmp_path / "a.toml"
    path.write_text(f'[[action]]\nkind = "cash_dividend"\nsymbol = "A"\nex_date = 2026-03-04\n{line}')
    with pytest.raises(ConfigError, match=r"(rate|withheld) is not a number: (x|nan)"):
        read_actions(path)


# ---------------------------------------------------------------------------------------------------- adjusted history
def bars(*closes, first=EX - 2 * 86_400 * SECOND, volume=10 * SECOND):
    rows = np.zeros(len(closes), dtype=bar_dtype)
    rows["start"] = first + np.arange(len(closes)) * 86_400 * SECOND
    for name in ("open_px", "high_px", "low_px", "close_px"):
        rows[name] = [to_units(c) for c in closes]
    rows["volume"] = volume
    notional = [to_units(c) * volume for c in closes]
    rows["notional_hi"], rows["notional_lo"] = [n >> 64 for n in notional], [n & (1 << 64) - 1 for n in notional]
    return rows


def shown(rows):
    vwap = [((int(r["notional_hi"]) << 64) + int(r["notional_lo"])) // int(r["volume"]) / 1e9 for r in rows]
    return [(int(r["close_px"]) / 1e9, int(r["volume"]) // SECOND, v) for r, v in zip(rows, vwap, strict=True)]


@pytest.mark.row("X08")
def test_bars_are_adjusted():
    raw = bars("100", "102", "51", "52")
    assert adjust(raw, [SPLIT, DIVIDEND], "raw") is raw
    assert shown(adjust(raw, [SPLIT], "split")) == [(50, 20, 50), (51, 20, 51), (51, 10, 51), (52, 10, 52)]
    assert shown(adjust(raw, [SPLIT], "dividend")) == shown(raw)
    quarter = Action(kind="cash_dividend", symbol="AAPL", ex_date=date(2026, 3, 4), rate="25.5")
    assert shown(adjust(raw, [SPLIT, quarter], "dividend")) == [(75, 10, 75), (76.5, 10, 76.5), (51, 10, 51), (52, 10, 52)]
    assert shown(adjust(raw, [SPLIT, quarter], "all")) == [(37.5, 20, 37.5), (38.25, 20, 38.25), (51, 10, 51), (52, 10, 52)]
    early = adjust(raw[:1], [quarter], "dividend", {quarter.id: to_units("102")})
    assert shown(early) == [(75, 10, 75)]
    assert shown(raw)[0] == (100, 10, 100)
    assert len(adjust(raw[:0], [SPLIT], "all")) == 0
    with pytest.raises(ValueError, match="adjustment"):
        adjust(raw, [], "none")


# ------------------------------------------------------------------------------------------ the generated market, the server
@pytest.mark.row("X13")
def test_the_generated_prices_follow():
    quarter = Action(kind="cash_dividend", symbol="SPY", ex_date=date(2026, 3, 4), rate="25")
    begin, end = EX - 120 * SECOND, EX + 120 * SECOND
    spec = "generated:rate=2,symbols=AAPL+SPY"
    plain = open_market(spec, 5, begin).advance(end)
    market = open_market(spec, 5, begin, [SPLIT, quarter])
    rows = market.advance(end)
    assert (rows["ts_event"] == plain["ts_event"]).all()
    trades = (rows["type"] == int(RecordType.TRADE)) & (rows["flags"] & int(Flag.CORRECTED) == 0)
    late = rows["ts_event"] >= EX
    ratio = rows.view(trade_dtype)["px"] / plain.view(trade_dtype)["px"]
    aapl, spy = trades & (rows["instrument"] == 1), trades & (rows["instrument"] == 3)
    assert (ratio[trades & ~late] == 1).all()
    assert ratio[aapl & late] == pytest.approx(0.5, abs=2e-4)
    drop = (plain.view(trade_dtype)["px"] - rows.view(trade_dtype)["px"])[spy & late] / 1e9
    assert drop == pytest.approx(25, abs=0.2)
    again = market.history_trades("AAPL", begin, end)
    assert again.tobytes() == rows[aapl].tobytes()


async def listen_until(venue, instant):
    """Let time run, which it does only while somebody listens."""
    keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
    async with aiohttp.ClientSession() as http, http.ws_connect(venue.data_url, headers=keys) as ws:
        await ws.send_json({"action": "subscribe", "quotes": ["*"]})
        while venue.clock()["now_ns"] < instant:
            await ws.receive()


@pytest.mark.row("X13")
def test_a_venue_splits_and_lists_its_actions():
    actions = (SPLIT, DIVIDEND, Action(kind="reverse_split", symbol="SPY", ex_date=date(2026, 3, 5), old_rate=5))
    begin = EX - 30 * SECOND
    with simulated_venue(market="generated:rate=2,symbols=AAPL+SPY", start=begin, speed=0.0, actions=actions) as venue:
        trading = TradingClient(venue.key, venue.secret, paper=True, url_override=venue.url)
        trading.submit_order(MarketOrderRequest(symbol="AAPL", qty=10, side="buy", time_in_force="day"))
        listed = CorporateActionsClient(venue.key, venue.secret, url_override=venue.url)
        ask = CorporateActionsRequest(symbols=["AAPL"], start=date(2026, 3, 1), end=date(2026, 3, 31))
        found = listed.get_corporate_actions(ask).data
        assert sorted(found) == ["cash_dividends", "forward_splits"]
        (split,), (dividend,) = found["forward_splits"], found["cash_dividends"]
        assert (split.symbol, split.new_rate, split.old_rate, split.ex_date) == ("AAPL", 2, 1, SPLIT.ex_date)
        assert (dividend.rate, dividend.payable_date, str(dividend.id)) == (0.256, DIVIDEND.payable_date, DIVIDEND.id)
        typed = CorporateActionsRequest(types=["reverse_split"], start=date(2026, 3, 1), end=date(2026, 3, 31))
        assert listed.get_corporate_actions(typed).data["reverse_splits"][0].old_rate == 5
        assert listed.get_corporate_actions(CorporateActionsRequest(ids=[SPLIT.id])).data["forward_splits"] == [split]

        def get(path="/v1/corporate-actions", **query):
            headers = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
            return requests.get(f"{venue.url}{path}", params=query, headers=headers, timeout=30)

        span = {"start": "2026-03-01", "end": "2026-03-31"}
        first = get(**span, limit=2, sort="desc").json()
        second = get(**span, limit=2, sort="desc", page_token=first["next_page_token"]).json()
        assert [sorted(p["corporate_actions"]) for p in (first, second)] in (
            [["cash_dividends", "reverse_splits"], ["forward_splits"]],
            [["forward_splits", "reverse_splits"], ["cash_dividends"]],
        )
        assert second["next_page_token"] is None
        assert get(start="2025-01-01", end="2025-02-01").json() == {"corporate_actions": {}, "next_page_token": None}
        for wrong in ({"types": "x"}, {"sort": "x"}, {"limit": "0"}, {"start": "x"}, {"start": "2026-03-02", "end": "2026-03-01"}):
            assert get(**wrong).status_code == 400
        asyncio.run(listen_until(venue, EX + 10 * SECOND))
        (position,) = trading.get_all_positions()
        assert position.qty == "20"
        assert abs(float(position.unrealized_plpc)) < 0.02
        span = {"timeframe": "1Min", "start": "2026-03-04T06:55:00Z", "end": "2026-03-04T06:58:00Z", "symbols": "AAPL"}

        def bars(**query):
            return get("/v2/stocks/bars", **span, **query).json()["bars"]["AAPL"]

        raw, split, everything = bars(), bars(adjustment="split"), bars(adjustment="all")
        assert [b["c"] / 2 for b in raw] == pytest.approx([b["c"] for b in split])
        assert [b["v"] * 2 for b in raw] == [b["v"] for b in split]
        factor = everything[0]["c"] / split[0]["c"]
        assert factor == pytest.approx(1 - 0.256 / raw[-1]["c"], abs=1e-4)
        day = get("/v2/stocks/bars", timeframe="1Day", start="2026-03-04T05:00:00Z", symbols="AAPL", adjustment="split").json()
        (today,) = day["bars"]["AAPL"]
        assert today["h"] / today["l"] < 1.5  # of one kind of shares, although the split was in it
        kinds = [a["activity_type"] for a in trading.get("/account/activities", {"direction": "asc"})]
        assert (kinds[0], kinds[-2:]) == ("FILL", ["SPLIT", "SPLIT"])
