"""Halts, volatility pauses and bands: in the exchange, at the floor, on the wire, and in the generated market."""

import numpy as np
import pytest
from alpaca.data.live import StockDataStream
from tests.venues.sim.orders_world import SECOND, T, body, level, trade

from pyrt._core.types import (
    NO_PRICE,
    Flag,
    RecordType,
    TradingState,
    market_dtype,
    quote_dtype,
    status_dtype,
    to_units,
    trade_dtype,
)
from pyrt.errors import ConfigError
from pyrt.model import Instrument
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import VenueRefusal
from pyrt.venues.sim.library import simulated_venue
from pyrt.venues.sim.market import status
from pyrt.venues.sim.market.market import open_market
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.times import parse_time

MINUTE = 60 * SECOND
AAPL, SPY = Instrument(id=1, symbol="AAPL"), Instrument(id=2, symbol="SPY")


def events(ex):
    return [(u["event"], u.get("price"), u.get("qty")) for _, u in ex.take_updates()]


class Recorded:
    """A market of given records."""

    def __init__(self, *rows):
        self.rows, self.at = np.concatenate(rows), 0
        self.instruments = [AAPL, SPY]

    @property
    def next_event(self):
        return int(self.rows["ts_event"][self.at]) if self.at < len(self.rows) else 0

    def advance(self, until):
        begin, self.at = self.at, int(np.searchsorted(self.rows["ts_event"], until, side="right"))
        return self.rows[begin : self.at]


def floor_of(*rows):
    floor = Floor(Recorded(*rows), Exchange([AAPL, SPY]), T - 1, 1.0)
    told = []
    floor.on_market.append(lambda records, now: told.append(records.copy()))
    return floor, told


@pytest.fixture
def exchange():
    ex = Exchange([AAPL, SPY])
    ex.on_market(level("99.99", "100"))
    return ex


# ---------------------------------------------------------------------------------------------------- halts
@pytest.mark.row("X08")
def test_nothing_matches_while_halted_and_everything_after(exchange):
    exchange.halt("AAPL", T + 1, "T1")
    market = exchange.submit(body(), T + 2)
    limit = exchange.submit(body(kind="limit", limit_price="101"), T + 2)
    gone = exchange.submit(body(kind="limit", limit_price="102"), T + 2)
    exchange.cancel(gone["id"], T + 3)
    ioc = exchange.submit(body(kind="limit", limit_price="101", tif="ioc"), T + 3)
    exchange.on_market(np.concatenate([trade("99", 500, T + 4), level("99.99", "100", T + 5)]))
    assert [exchange.order(o["id"])["status"] for o in (market, limit, gone, ioc)] == ["new", "new", "canceled", "canceled"]
    assert [e for e in events(exchange) if "fill" in e[0]] == []
    exchange.resume("AAPL", T + 6)
    assert events(exchange) == [("fill", "100", "10"), ("fill", "100", "10")]


def test_another_instrument_trades_on(exchange):
    exchange.on_market(level("400", "401", instrument=2))
    exchange.halt("AAPL", T + 1)
    exchange.submit(body(symbol="SPY", qty="1"), T + 2)
    assert events(exchange)[-1] == ("fill", "401", "1")


@pytest.mark.row("X08")
def test_a_volatility_pause_ends_by_itself(exchange):
    exchange.halt("AAPL", T, "LUDP")
    exchange.submit(body(), T + 1)
    exchange.advance(T + 5 * MINUTE - 1)
    assert [e for e in events(exchange) if e[0] == "fill"] == []
    exchange.advance(T + 5 * MINUTE)
    assert events(exchange) == [("fill", "100", "10")]
    told = np.concatenate(exchange.statuses).view(status_dtype)
    assert told["state"].tolist() == [int(TradingState.HALTED), int(TradingState.TRADING)]
    assert told["ts_event"].tolist() == [T, T + 5 * MINUTE]


def test_a_halt_that_was_begun_anew_is_not_ended_by_the_old_one(exchange):
    exchange.halt("AAPL", T, "LUDP")
    exchange.resume("AAPL", T + MINUTE)
    exchange.halt("AAPL", T + 2 * MINUTE, "T1")
    exchange.advance(T + 20 * MINUTE)
    assert exchange.state.halted == {1: "T1"}


def test_what_cannot_be_halted_is_refused(exchange):
    with pytest.raises(VenueRefusal) as unknown:
        exchange.halt("NONE", T)
    with pytest.raises(VenueRefusal) as wrong:
        exchange.halt("AAPL", T, "a long one")
    with pytest.raises(VenueRefusal) as trades:
        exchange.resume("AAPL", T)
    assert [e.value.http for e in (unknown, wrong, trades)] == [404, 422, 422]


def test_a_halt_outlives_a_restart(exchange):
    exchange.halt("AAPL", T, "LUDP")
    exchange.submit(body(), T + 1)
    again = Exchange.load(exchange.save(), [AAPL, SPY])
    again.on_market(level("99.99", "100", T + 2))
    assert again.orders()[0]["filled_qty"] == "0"
    again.advance(T + 5 * MINUTE)
    assert again.positions()[0]["qty"] == "10"
    assert again.save() == Exchange.load(again.save(), [AAPL, SPY]).save()


# ---------------------------------------------------------------------------------------------------- the floor
@pytest.mark.row("X08")
@pytest.mark.parametrize("step", [SECOND, 7 * SECOND, 60 * SECOND])
def test_the_data_stream_hears_a_halt_and_no_trade_during_it(step):
    rows = [r for n in range(600) for r in (level("99.99", "100", T + n * SECOND), trade("100", 1, T + n * SECOND))]
    floor, told = floor_of(*rows)
    floor.step(T + 10 * SECOND)
    floor.exchange.halt("AAPL", T + 10 * SECOND, "LUDP")
    for n in range(1, 600 * SECOND // step):
        floor.step(T + 10 * SECOND + n * step)
    seen = np.concatenate(told)
    assert (np.diff(seen["ts_event"]) >= 0).all()
    statuses = seen[seen["type"] == int(RecordType.STATUS)].view(status_dtype)
    assert [(t - T, s) for t, s in zip(statuses["ts_event"].tolist(), statuses["state"].tolist(), strict=True)] == [
        (10 * SECOND, 2),
        (310 * SECOND, 1),
    ]
    trades = (seen["ts_event"][seen["type"] == int(RecordType.TRADE)] - T) // SECOND
    assert trades.tolist() == [*range(11), *range(310, int(trades[-1]) + 1)]
    assert len(trades) > 200


@pytest.mark.row("X08")
def test_the_markets_own_halts_are_remembered():
    halted = status.halted_record(1, T + SECOND, "C", "T1")
    floor, told = floor_of(level("99.99", "100"), halted, level("99.99", "100", T + 2 * SECOND))
    floor.step(T + 3 * SECOND)
    assert floor.exchange.state.halted == {1: "T1"}
    again = Exchange.load(floor.exchange.save(), [AAPL, SPY])
    again.on_market(level("99.99", "100", T + 4 * SECOND))
    again.submit(body(), T + 5 * SECOND)
    assert events(again) == [("new", None, None)]
    again.on_market(status.resumed_record(1, T + 6 * SECOND, "C"))
    assert events(again) == [("fill", "100", "10")]
    assert len(told[0]) == 3


@pytest.mark.row("X08")
@pytest.mark.parametrize("step", [SECOND, 50 * SECOND])
def test_the_bands_hold_and_trading_pauses_at_them(step):
    def at(px, n):
        return [level(str(px - 1), str(px), T + n * SECOND), trade(str(px), 10, T + n * SECOND + 1)]

    path = [100] * 20 + [104, 106, 107, 107] + [106] * 380 + [101] * 40
    floor, told = floor_of(*[r for n, px in enumerate(path) for r in at(px, n)])
    ex = floor.exchange
    floor.step(T + 10 * SECOND)
    ex.set_bands("AAPL", "95", "105", T + 10 * SECOND)
    short = ex.submit(body("sell", "5", "limit", limit_price="106"), T + 10 * SECOND)
    for n in range(1, 430 * SECOND // step + 1):
        floor.step(T + 10 * SECOND + n * step)
    seen = np.concatenate(told)
    trades = seen[seen["type"] == int(RecordType.TRADE)].view(trade_dtype)
    assert trades["px"].max() == to_units("104")
    quotes = seen[seen["type"] == int(RecordType.QUOTE)].view(quote_dtype)
    quotes = quotes[quotes["ts_event"] > T + 10 * SECOND]
    offers = quotes["ask_px"][quotes["ask_px"] != NO_PRICE]
    assert (quotes["bid_px"].max(), offers.max()) == (to_units("105"), to_units("104"))
    assert ex.order(short["id"])["filled_qty"] == "0"
    statuses = seen[seen["type"] == int(RecordType.STATUS)].view(status_dtype)
    first = [(int(s["ts_event"]) - T, int(s["state"]), int(s["reason"])) for s in statuses[:3]]
    # Bands; the bid reaches them at second 21; fifteen seconds of limit state; five minutes of pause.
    limit = 21 * SECOND
    assert first == [
        (10 * SECOND, 0, 0),
        (limit + 15 * SECOND, int(TradingState.HALTED), status.letters("LUDP")),
        (limit + 315 * SECOND, int(TradingState.TRADING), status.letters("C11")),
    ]
    with pytest.raises(VenueRefusal):
        ex.set_bands("AAPL", "105", "95", floor.now)
    ex.set_bands("AAPL", "0", "0", floor.now)
    assert ex.state.bands == {}


# ---------------------------------------------------------------------------------------------------- the generated market
BEGIN, END = parse_time("2026-03-03T09:25:00-05:00"), parse_time("2026-03-03T16:05:00-05:00")


@pytest.mark.row("X08")
def test_the_generated_market_halts_when_asked():
    market = open_market("generated:rate=0.5,symbols=AAPL+SPY,halts=3", 4, BEGIN)
    rows = market.advance(END)
    assert (np.diff(rows["ts_event"]) >= 0).all()
    for tape in market._tapes.values():
        own = rows[rows["instrument"] == tape.instrument.id]
        fresh = own["flags"] & int(Flag.CORRECTED) == 0
        trades = own[(own["type"] == int(RecordType.TRADE)) & fresh].view(trade_dtype)
        told = own[own["type"] == int(RecordType.STATUS)].view(status_dtype)
        pauses = tape.events.halts.pauses(BEGIN // (1440 * MINUTE))
        assert len(pauses) > 0
        states = told[told["state"] != 0]
        assert states["ts_event"].tolist() == [t for p in pauses for t in (p.begin, p.end)]
        assert states["state"].tolist() == [int(TradingState.HALTED), int(TradingState.TRADING)] * len(pauses)
        bands = told[told["state"] == 0]
        assert len(bands) == 390
        # No trade outside the bands of its minute, none in a pause; each pause begins at a band.
        regular = trades[(trades["ts_event"] >= bands["ts_event"][0]) & (trades["ts_event"] < bands["ts_event"][-1] + MINUTE)]
        place = np.searchsorted(bands["ts_event"], regular["ts_event"], side="right") - 1
        assert (regular["px"] <= bands["upper_px"][place]).all()
        assert (regular["px"] >= bands["lower_px"][place]).all()
        for p in pauses:
            assert not ((trades["ts_event"] >= p.begin) & (trades["ts_event"] < p.end)).any()
            quotes = own[own["type"] == int(RecordType.QUOTE)].view(quote_dtype)
            before = quotes[(quotes["ts_event"] < p.begin) & (quotes["ts_event"] >= p.begin - 15 * SECOND)]
            band = bands[np.searchsorted(bands["ts_event"], p.begin - 1, side="right") - 1]
            side, other, limit = ("bid_px", "ask_px", "upper_px") if p.up else ("ask_px", "bid_px", "lower_px")
            assert len(before) > 0
            assert (before[side] == band[limit]).all()
            assert (before[other] == NO_PRICE).all()
        quotes = own[own["type"] == int(RecordType.QUOTE)].view(quote_dtype)
        two = (quotes["bid_px"] != NO_PRICE) & (quotes["ask_px"] != NO_PRICE)
        assert (quotes["bid_px"] < quotes["ask_px"])[two].all()
        same = market.history_trades(tape.instrument.symbol, BEGIN, END)
        assert same.tobytes() == trades.view(market_dtype).tobytes()
    again = open_market("generated:rate=0.5,symbols=AAPL+SPY,halts=3", 4, BEGIN)
    assert again.advance(END).tobytes() == rows.tobytes()
    calm = open_market("generated:rate=0.5,symbols=AAPL+SPY", 4, BEGIN).advance(END)
    assert not (calm["type"] == int(RecordType.STATUS)).any()


@pytest.mark.parametrize("value", ["", "x", "-1", "21", "1e3", "nan"])
def test_halts_of_the_generated_market_are_a_number(value):
    with pytest.raises(ConfigError):
        open_market(f"generated:halts={value}", 0)


@pytest.mark.row("X08")
def test_statuses_and_bands_reach_a_client():
    with simulated_venue(market="generated:rate=1,symbols=AAPL,halts=20", seed=4, speed=0, start=BEGIN) as venue:
        stream = StockDataStream(venue.key, venue.secret, raw_data=True, url_override=venue.data_url)
        seen = {"s": [], "l": []}

        async def take(message):
            seen[message["T"]].append(message)
            if len(seen["s"]) >= 2 and seen["l"]:
                await stream.stop_ws()

        stream.subscribe_trading_statuses(take, "AAPL")
        stream._handlers["lulds"]["*"] = take
        stream.run()
    first, second = seen["s"][:2]
    assert (first["sc"], first["rc"], second["sc"]) == ("H", "LUDP", "T")
    assert 0 < seen["l"][0]["d"] < seen["l"][0]["u"]
