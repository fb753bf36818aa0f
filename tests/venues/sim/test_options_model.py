"""What contracts are listed, and what they are worth: against written formulas and published figures."""

import csv
import gzip
import math
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt.clock import DAY, MINUTE, SECOND
from pyrt.venues.sim.exchange.margin import Leg, Need, need
from pyrt.venues.sim.market import options
from pyrt.venues.sim.market.options import CENT, GRID, NICKEL, Contract, occ, parse_occ

pytestmark = pytest.mark.row("X08")

MARCH = date(2026, 3, 20)
ENDS = 1_774_036_800 * SECOND  # 2026-03-20 16:00 New York
T = 1_772_463_846 * SECOND
DOLLAR = 10**9


def contract(strike, is_call=True):
    symbol = occ("AAPL", MARCH, is_call, strike)
    return Contract(
        id=70_000, symbol=symbol, root="AAPL", underlying=1, expiration=MARCH, expires=ENDS, is_call=is_call, strike=strike
    )


def test_occ_symbols() -> None:
    assert occ("AAPL", MARCH, True, 190 * DOLLAR) == "AAPL260320C00190000"
    assert parse_occ("AAPL260320C00190000") == ("AAPL", MARCH, True, 190 * DOLLAR)
    assert parse_occ("F260320P00012500") == ("F", MARCH, False, 12_500_000_000)
    for wrong in ("AAPL", "AAPL260320X00190000", "aapl260320C00190000", "AAPL261320C00190000", "AAPL260320C0019000"):
        with pytest.raises(ValueError, match=r"OCC|month|day"):
            parse_occ(wrong)


def test_expirations_are_fridays_and_third_fridays() -> None:
    days = options.expirations(date(2026, 3, 2))
    assert [d.isoformat() for d in days] == [
        "2026-03-06", "2026-03-13", "2026-03-20", "2026-03-27", "2026-04-03", "2026-04-17", "2026-05-15",
    ]  # fmt: skip
    assert options.expirations(date(2026, 3, 20))[0] == date(2026, 3, 20)
    assert date(2026, 6, 19) in options.expirations(date(2026, 3, 21))


def test_strikes_surround_the_price() -> None:
    assert [k / DOLLAR for k in options.strikes(191 * DOLLAR)] == [190 + 2.5 * n for n in range(-5, 6)]
    assert [k / DOLLAR for k in options.strikes(505 * DOLLAR)][::5] == [480, 505, 530]
    assert options.strikes(2 * DOLLAR)[0] == DOLLAR // 2


def test_black_scholes_is_hulls_example() -> None:
    # Hull, example 15.6: S 42, K 40, r 10 %, sigma 20 %, six months: call 4.76, put 0.81.
    assert options.black_scholes(True, 42, 40, 0.5, 0.2, 0.1) == pytest.approx(4.76, abs=0.005)
    assert options.black_scholes(False, 42, 40, 0.5, 0.2, 0.1) == pytest.approx(0.81, abs=0.005)
    # Hull, chapter 19: S 49, K 50, r 5 %, sigma 20 %, 20 weeks: delta 0.522, gamma 0.066, vega 12.1, theta -4.31, rho 8.91.
    delta, gamma, theta, vega, rho = options.greeks_of(True, 49, 50, 20 / 52, 0.2, 0.05)
    figures = (delta, gamma, theta * 365, vega * 100, rho * 100)
    for found, told, off in zip(figures, (0.522, 0.066, -4.31, 12.1, 8.91), (6e-4, 6e-4, 0.01, 0.05, 0.01), strict=True):
        assert found == pytest.approx(told, abs=off)


@pytest.mark.parametrize("is_call", [True, False])
def test_greeks_are_the_slopes_of_the_price(is_call) -> None:
    spot, strike, years, sigma = 101.0, 97.0, 0.2, 0.31

    def price(ds=0.0, dt=0.0, dv=0.0, dr=0.0):
        return options.black_scholes(is_call, spot + ds, strike, years + dt, sigma + dv, 0.04 + dr)

    h = 1e-4
    found = options.greeks_of(is_call, spot, strike, years, sigma)
    assert found.delta == pytest.approx((price(ds=h) - price(ds=-h)) / (2 * h), rel=1e-5)
    assert found.gamma == pytest.approx((price(ds=0.01) - 2 * price() + price(ds=-0.01)) / 1e-4, rel=1e-4)
    assert found.theta == pytest.approx(-(price(dt=h) - price(dt=-h)) / (2 * h) / 365, rel=1e-5)
    assert found.vega == pytest.approx((price(dv=h) - price(dv=-h)) / (2 * h) / 100, rel=1e-5)
    assert found.rho == pytest.approx((price(dr=h) - price(dr=-h)) / (2 * h) / 100, rel=1e-5)


@pytest.mark.real_data
def test_prices_of_recorded_index_options(market_data) -> None:
    # SPX 2015-12-22, S 2040, r 1 %: the prices that go with the recorded volatilities (shared/data/README.md).
    with gzip.open(market_data / "options" / "spx_20151222.csv.gz", "rt") as f:
        rows = list(csv.reader(f))
    errors, deltas = [], []
    for row in rows:
        if len(row) < 15 or not row[0].isdigit():
            continue
        expiry = date(int(row[0][:4]), int(row[0][4:6]), int(row[0][6:8]))
        strike, close, sigma, delta = float(row[1]), float(row[6]), float(row[9]), float(row[10])
        years = (expiry - date(2015, 12, 22)).days / 365
        if years <= 0 or sigma <= 0 or close <= 0:
            continue
        is_call = row[2].lower().startswith("c")
        errors.append(abs(options.black_scholes(is_call, 2040, strike, years, sigma, 0.01) - close) / close)
        deltas.append(abs(options.greeks_of(is_call, 2040, strike, years, sigma, 0.01).delta - delta))
    assert len(errors) > 20
    assert sorted(errors)[len(errors) // 2] < 0.05
    assert sorted(deltas)[len(deltas) // 2] < 0.01


@given(st.integers(150, 240), st.integers(100, 300), st.booleans(), st.integers(0, 18 * DAY))
def test_quotes_are_two_sided_on_the_tick_and_never_below_exercise(strike, spot, is_call, gone) -> None:
    c, spot_px = contract(strike * DOLLAR, is_call), spot * DOLLAR
    found = options.quote(c, spot_px, ENDS - 18 * DAY + gone)
    value = options.fair(c, spot_px, (ENDS - 18 * DAY + gone) // MINUTE * MINUTE)
    tick = NICKEL if value >= options.COARSE else CENT
    assert found.bid % tick == found.ask % tick == 0
    assert 0 <= found.bid < found.ask
    assert found.bid <= value <= found.ask
    assert value >= c.intrinsic(spot_px)
    assert (found.bid_qty > 0) == (found.bid > 0)
    assert found.ask_qty in options.SIZES
    assert math.isfinite(sum(options.greeks(c, spot_px, ENDS - 18 * DAY + gone)))


def test_prints_are_the_same_in_whatever_pieces_they_are_asked_for() -> None:
    c = contract(190 * DOLLAR)
    whole = list(options.prints(c, T, T + 8 * 3600 * SECOND))
    pieces = [p for n in range(480) for p in options.prints(c, T + n * MINUTE + (n > 0), T + (n + 1) * MINUTE)]
    assert whole == pieces
    assert 30 < len(whole) < 120
    assert all(p.at % GRID == 0 and p.qty > 0 for p in whole)
    assert not list(options.prints(c, ENDS + SECOND, ENDS + DAY))


# ---------------------------------------------------------------------------------------------------- margin
def call(strike, qty, expires=5):
    return Leg(True, strike, expires, qty)


def put(strike, qty, expires=5):
    return Leg(False, strike, expires, qty)


@pytest.mark.parametrize(
    ("legs", "shares", "wanted"),
    [
        ([call(100, 3), put(90, 2)], 0, Need(0, 0, 0)),
        ([put(90, -2)], 0, Need(180, 0, 0)),
        ([call(100, -2)], 2, Need(0, 2, 0)),
        ([call(100, -2)], 1, Need(0, 1, 1)),
        ([call(100, 1), call(105, -1)], 0, Need(0, 0, 0)),
        ([call(105, 1), call(100, -1)], 0, Need(5, 0, 0)),
        ([put(100, -1), put(95, 1)], 0, Need(5, 0, 0)),
        ([put(95, -1), put(100, 1)], 0, Need(0, 0, 0)),
        ([put(90, 1), put(95, -1), call(105, -1), call(112, 1)], 0, Need(7, 0, 0)),  # an iron condor: the wider wing
        ([call(100, 1, 5), call(100, -1, 9)], 0, Need(0, 0, 1)),  # the long one ends first
        ([call(100, 1, 9), call(100, -1, 5)], 0, Need(0, 0, 0)),  # a calendar
        ([call(100, 1), call(105, -2)], 1, Need(0, 1, 0)),
        ([call(95, -1), call(105, -1), call(100, 1)], 1, Need(0, 1, 0)),  # shares stand behind the nearest
    ],
)
def test_need(legs, shares, wanted) -> None:
    assert need(legs, shares, spreads=True) == wanted


def test_without_spreads_nothing_but_money_covers() -> None:
    assert need([put(100, -1), put(95, 1)], 0, spreads=False) == Need(100, 0, 0)
    assert need([call(105, -1), call(100, 1)], 0, spreads=False) == Need(0, 0, 1)


leg_lists = st.lists(
    st.builds(Leg, st.booleans(), st.integers(1, 12), st.integers(1, 3), st.integers(-3, 3).filter(bool)), min_size=1, max_size=5
)


@settings(max_examples=150)
@given(leg_lists, st.integers(0, 4))
def test_no_price_on_any_day_loses_more_than_is_needed(legs, shares) -> None:
    found = need(legs, shares, spreads=True)
    if found.naked:
        return
    for day in {leg.expires for leg in legs}:
        alive = [leg for leg in legs if leg.expires >= day]
        bare = max(0, -sum(leg.qty for leg in alive if leg.is_call))
        for half in range(60):
            spot = Fraction(half, 2)
            worth = sum(leg.qty * max(0, spot - leg.strike if leg.is_call else leg.strike - spot) for leg in alive)
            # Each covering share is sold at its call's strike at worst: what it gains above that pays the call.
            covered = sorted(leg.strike for leg in alive if leg.is_call and leg.qty < 0 for _ in range(-leg.qty))[:bare]
            assert worth + sum(max(0, spot - strike) for strike in covered) >= -found.loss
