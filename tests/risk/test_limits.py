"""Limits: the shipped profile, overrides, unknown keys, what is looser, the throttle's arithmetic."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.clock import MINUTE
from pyrt.errors import ConfigError
from pyrt.model import Instrument
from pyrt.risk import Limits
from pyrt.risk.limits import bucket


@pytest.mark.row("S047")
def test_paper_gives_every_limit_a_value():
    limits = Limits.profile("paper")
    assert all(getattr(limits, name) is not None for name in Limits.__struct_fields__)
    assert None not in limits.rules().values()
    assert None not in limits.bounds(Instrument(id=1, symbol="AAPL")).values()
    with pytest.raises(ConfigError, match="name every limit"):
        Limits.profile("live")


def test_canonical_text_comes_back():
    limits = Limits.of(
        {"max_order_qty": 0.1, "symbols": {"AAPL": {"collar_bps": 30, "max_order_qty": "7"}}}, base=Limits.profile("paper")
    )
    assert Limits.parse(limits.canonical()) == limits
    assert Limits.parse(limits.canonical()).canonical() == limits.canonical()
    assert limits.max_order_qty == Decimal("0.1")
    assert limits.bounds(Instrument(id=1, symbol="AAPL"))["qty"] == 7 * 10**9
    assert limits.bounds(Instrument(id=1, symbol="AAPL"))["collar_bps"] == 30
    assert limits.bounds(Instrument(id=2, symbol="MSFT", qty_exp=3))["qty"] == 100


def test_what_nobody_names_is_missing():
    limits = Limits.of({"max_order_qty": 5})
    assert limits.bounds(Instrument(id=1, symbol="AAPL"))["notional"] is None
    assert limits.rules()["daily_loss"] is None
    assert limits.rules()["account_interval"] is None


@pytest.mark.row("S057", "S058", "S059")
def test_the_old_names_are_read():
    limits = Limits.of(
        {"max_position_size": 10000.0, "max_order_size": 1000.0, "max_daily_loss": 5000.0}, base=Limits.profile("paper")
    )
    assert (limits.max_position_notional, limits.max_order_notional, limits.max_daily_loss) == (10000, 1000, 5000)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"max_ordr_qty": 1}, "did you mean 'max_order_qty'"),
        ({"symbols": {"AAPL": {"colar_bps": 1}}}, "limits.symbols.AAPL.*collar_bps"),
        ({"max_order_qty": -1}, "max_order_qty is -1"),
        ({"max_order_qty": "nan"}, "max_order_qty"),
        ({"max_order_qty": float("inf")}, "max_order_qty"),
        ({"collar_bps": "wide"}, "collar_bps"),
        ({"repeat_max": 128}, "from 1 to 127"),
        ({"repeat_max": 0}, "from 1 to 127"),
        ({"max_daily_loss": 0}, "above 0"),
        ({"max_order_size": 1, "max_order_notional": 2}, "max_order_notional is given twice"),
        ({"max_order_qty": 10**30}, "max_order_qty is 1"),
        ({"max_quote_age_ms": 10**14}, "max_quote_age_ms is 1"),
        ({"var_confidence": "NaN"}, "var_confidence is NaN"),
        ({"symbols": 5}, "limits.symbols"),
        ({"symbols": {"AAPL": 5}}, "limits.symbols"),
        ({"symbols": {"AAPL": {"max_order_qty": -1}}}, "symbols.AAPL.max_order_qty is -1"),
        ({"symbols": {"AAPL": {"max_order_qty": "NaN"}}}, "symbols.AAPL.max_order_qty is NaN"),
        ({"symbols": {"AAPL": {"max_order_notional": "Infinity"}}}, "symbols.AAPL.max_order_notional is Inf"),
        ({"symbols": {"AAPL": {"max_order_notional": "1e60"}}}, "symbols.AAPL.max_order_notional is 1E"),
        ({"symbols": {"AAPL": {"collar_bps": 1.5}}}, "symbols.AAPL.collar_bps is 1.5"),
        ({"symbols": {"BTC/USD": {}, "btcusd": {}}}, "one symbol"),
    ],
)
def test_what_cannot_be_a_limit(values, words):
    with pytest.raises(ConfigError, match=words):
        Limits.of(values, base=Limits.profile("paper"))


def test_a_symbol_has_its_limits_in_any_spelling():
    limits = Limits.of({"symbols": {"btcusd": {"max_order_qty": 1, "collar_bps": "30"}}}, base=Limits.profile("paper"))
    bounds = limits.bounds(Instrument(id=1, symbol="BTC/USD", qty_exp=3))
    assert (bounds["qty"], bounds["collar_bps"]) == (1000, 30)
    again = Limits.of({"symbols": {"BTC/USD": {"max_order_qty": 1, "collar_bps": 30}}}, base=limits)
    assert again.loosens(limits) == limits.loosens(again) == []
    assert limits.bounds(Instrument(id=1, symbol="BTC/USDT", qty_exp=3))["qty"] == 5_000_000


@pytest.mark.parametrize(
    ("change", "looser"),
    [
        ({"max_order_qty": 5001}, ["max_order_qty"]),
        ({"max_order_qty": 4999}, []),
        ({"max_order_qty": None}, []),  # missing denies
        ({"duplicate_window_ms": 499}, ["duplicate_window_ms"]),
        ({"gap_bps": 600}, []),
        ({"symbols": {"AAPL": {"collar_bps": 501}}}, ["symbols.AAPL.collar_bps"]),
        ({"symbols": {"AAPL": {"collar_bps": 400}}}, []),
    ],
)
def test_looser(change, looser):
    paper = Limits.profile("paper")
    assert Limits.of(change, base=paper).loosens(paper) == looser


def test_taking_a_symbol_off_the_restricted_list_is_looser():
    paper = Limits.profile("paper")
    strict = Limits.of({"restricted": ["GME"]}, base=paper)
    assert paper.loosens(strict) == ["restricted.GME"]
    assert strict.loosens(paper) == []


@given(st.integers(2, 2000), st.integers(0, 200))
def test_no_minute_ever_holds_more_than_the_limit(per_minute, idle):
    interval, burst = bucket(per_minute)
    # The densest minute: a full bucket spent at once, then a message whenever one more fits.
    full_at, now, sent = 0, idle, 0
    while now < idle + MINUTE:
        if max(full_at, now) + interval - now <= interval * burst:
            full_at = max(full_at, now) + interval
            sent += 1
        else:
            now = full_at + interval - interval * burst
    assert sent <= per_minute


def test_the_switches_are_checked_and_loosening_them_is_named():
    base = Limits.profile("paper")
    with pytest.raises(ConfigError):
        Limits.of({"slippage_rule": "both"}, base=base)
    absolute, nothing = (
        Limits.of({"slippage_rule": "absolute"}, base=base),
        Limits.of({"close_only": False, "restricted": ["A"]}, base=base),
    )
    assert (base.rules()["slippage_absolute"], absolute.rules()["slippage_absolute"]) == (0, 1)
    assert base.loosens(absolute) == ["slippage_rule"]
    assert absolute.loosens(base) == []
    assert Limits.of({"close_only": True}, base=nothing).loosens(nothing) == ["close_only"]
    assert nothing.loosens(base) == []
    assert Limits.parse(absolute.canonical()) == absolute
