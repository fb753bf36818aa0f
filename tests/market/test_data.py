"""The market stage: watching, sequencing into the pipeline, lost feeds, crossed books."""

import numpy as np
import pytest

from pyrt._core.types import Action, Flag, GapCause, RecordType, delta_dtype, gap_dtype, market_dtype, quote_dtype, trade_dtype
from pyrt.errors import ConfigError
from pyrt.market import MarketData
from pyrt.model import AssetClass, Instrument, Instruments

SECOND, MINUTE, ONE = 1_000_000_000, 60_000_000_000, 1_000_000_000
SHARE = Instrument(id=1, symbol="AAPL")
COIN = Instrument(id=2, symbol="BTC/USD", asset_class=AssetClass.CRYPTO)


@pytest.fixture
def market():
    instruments = Instruments()
    for instrument in (SHARE, COIN):
        instruments.add(instrument)
    market = MarketData(instruments, grace=0)
    market.watch(SHARE, intervals=[MINUTE], wake=1 << RecordType.TRADE)
    market.watch(COIN)
    return market


def delta(side, px, qty, action=Action.SET, flags=Flag.LAST, update_id=0, instrument=2):
    out = np.zeros(1, delta_dtype)
    out["type"], out["instrument"], out["flags"], out["update_id"], out["ts_event"] = (
        RecordType.DELTA,
        instrument,
        flags,
        update_id,
        5,
    )
    out["side"], out["px"], out["qty"], out["action"] = side, px, qty, action
    return out.view(market_dtype)


def trade(ts, instrument=1):
    out = np.zeros(1, trade_dtype)
    out["type"], out["instrument"], out["ts_event"], out["px"], out["qty"] = RecordType.TRADE, instrument, ts, ONE, ONE
    return out.view(market_dtype)


def quote(ts, instrument=1):
    out = np.zeros(1, quote_dtype)
    out[0] = (RecordType.QUOTE, 0, instrument, 0, ts, ts, 99 * ONE, 100 * ONE, 5, 6)
    return out.view(market_dtype)


def test_watching_again_changes_who_is_woken(market):
    assert market.pipeline.run(np.concatenate([trade(1), trade(2)])) == 1
    market.watch(SHARE)
    assert market.pipeline.run(np.concatenate([trade(3), trade(4)])) == 2
    market.watch(SHARE, intervals=[MINUTE])
    with pytest.raises(ConfigError, match="AAPL: bar intervals are fixed"):
        market.watch(SHARE, intervals=[SECOND])
    with pytest.raises(ConfigError, match="MSFT: an interval"):
        market.watch(Instrument(id=3, symbol="MSFT"), intervals=[-1])


def test_coins_have_depth_and_shares_have_not(market):
    records = market.sequence(
        np.concatenate(
            [trade(1), delta(1, 97 * ONE, 3), delta(0, 0, 0, Action.CLEAR, 0), delta(1, 98 * ONE, 3), quote(2), trade(3)]
        )
    )
    assert records["type"].tolist() == [RecordType.TRADE] + 2 * [RecordType.DELTA] + [RecordType.QUOTE, RecordType.TRADE]
    market.watch(SHARE)
    assert market.pipeline.run(records) == len(records)
    assert market.book(2).best_bid == (98 * ONE, 3)
    assert market.book(1).flags == Flag.TOP_ONLY
    assert market.refs[1]["bid_px"] == 99 * ONE
    with pytest.raises(KeyError):
        market.book(9)


def test_a_coin_below_a_dollar_has_the_finer_tick(market):
    market.watch(Instrument(id=4, symbol="DOGE/USD", asset_class=AssetClass.CRYPTO, tick=10_000_000, sub_tick=100_000))
    assert market.book(4).tick == 100_000


def test_a_lost_feed_marks_all_that_is_watched(market):
    market.pipeline.run(quote(7))
    gaps = market.lost(GapCause.DISCONNECT, ts=100)
    assert gaps.view(gap_dtype)["instrument"].tolist() == [1, 2]
    assert gaps.view(gap_dtype)["from_ts"].tolist() == [7, 0]
    market.pipeline.run(gaps)
    assert [int(market.refs[i]["flags"]) for i in (1, 2)] == [Flag.GAP, Flag.GAP]
    assert len(market.sequence(delta(1, 97 * ONE, 3))) == 0


def test_a_crossed_book_wants_to_be_whole_again(market):
    coin = Instrument(id=5, symbol="ETH/USD", asset_class=AssetClass.CRYPTO)
    market.watch(coin, ids=True)
    whole = np.concatenate(
        [delta(0, 0, 0, Action.CLEAR, 0, 10, 5), delta(1, 98 * ONE, 1, 0, 0, 10, 5), delta(2, 99 * ONE, 1, 0, Flag.LAST, 10, 5)]
    )
    market.pipeline.run(market.on_snapshot(whole))
    assert len(market.check(1)) == 0
    market.pipeline.run(market.sequence(delta(1, 99 * ONE, 1, update_id=11, instrument=5)))
    assert market.refs[5]["flags"] == Flag.CROSSED
    gap = market.check(50)
    assert gap.view(gap_dtype)["cause"].tolist() == [GapCause.CROSSED]
    market.pipeline.run(gap)
    assert market.wanted == [5]
    assert not market.sequencer(5).live
    assert len(market.check(51)) == 0
    whole["flags"][-1] = Flag.LAST
    whole.view(delta_dtype)["update_id"] = 12
    market.pipeline.run(market.on_snapshot(whole))
    assert market.wanted == []
    assert market.refs[5]["flags"] == 0
    assert market.book(5).flags == 0


def test_snapshots_of_the_unwatched_are_counted(market):
    assert len(market.on_snapshot(delta(0, 0, 0, Action.CLEAR, instrument=77))) == 0
    assert market.unwatched == 1
