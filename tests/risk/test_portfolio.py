"""Portfolio limits against oracles: every corner and every subset of fills one by one, finite differences, put-call parity."""

from itertools import product
from math import sqrt
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt._core.codes import Code
from pyrt._core.ledger import Ledger
from pyrt._core.types import NO_PRICE, Side, ref_dtype
from pyrt.calendar import close_of
from pyrt.clock import SECOND
from pyrt.model import AssetClass, Instrument, Intent, OrderType, TimeInForce
from pyrt.ports import HistoryTold
from pyrt.risk import Limits
from pyrt.risk.names import contract
from pyrt.risk.portfolio import LEAST, UNKNOWN, YEAR, Portfolio, black_scholes, greeks, implied

PX = QTY = 10**9
USD = 10**18
NOW = 1_772_463_846 * SECOND  # 2026-03-02
CALL, PUT = "AAPL260401C00100000", "AAPL260401P00095000"
PAPER = Limits.profile("paper")


class Book:
    """Two shares and two contracts on the first."""

    def __init__(self, days=60, seed=3):
        self.ledger = Ledger()
        self.refs = np.zeros(8, ref_dtype)
        self.defined = {}
        self.portfolio = Portfolio(self.ledger, self.refs, self.defined)
        rng = np.random.default_rng(seed)
        self.closes = {}
        for number, symbol in enumerate(("AAPL", "MSFT"), 1):
            self.add(Instrument(id=number, symbol=symbol))
            self.refs[number]["bid_px"], self.refs[number]["ask_px"] = 100 * PX - PX // 100, 100 * PX + PX // 100
            if days:
                self.closes[number] = (100 * np.cumprod(1 + rng.normal(0, 0.02, days))).round(2)
                told = tuple(round(c * PX) for c in self.closes[number])
                self.portfolio.history_told(HistoryTold(instrument=number, closes=told, lows=told, volumes=told))
        for number, symbol in enumerate((CALL, PUT), 3):
            self.add(Instrument(id=number, symbol=symbol, asset_class=AssetClass.OPTION, lot=1, qty_exp=0, multiplier=100))
            self.quote(number, self.worth(number, 0.3))

    def worth(self, number, vol):
        """A contract's value at a volatility, with the share at 100."""
        option = contract(self.defined[number].symbol)
        years = (close_of(option.expiry) - NOW) / YEAR
        return black_scholes(100.0, option.strike / 10**9, years, vol, call=option.call).value

    def quote(self, number, value):
        self.refs[number]["bid_px"] = self.refs[number]["ask_px"] = round(value * PX)

    def add(self, i):
        self.defined[i.id] = i
        self.ledger.define(i.id, qty_exp=i.qty_exp, multiplier=i.multiplier, lot=i.lot)

    def hold(self, instrument, qty):
        self.ledger.fill(0, 1, instrument, 1 if qty > 0 else 2, PX, abs(qty))

    def order(self, key, instrument, side, qty):
        self.ledger.reserve(key, 1, instrument, side, qty, PX)

    def find(self, values, instrument=1, side=Side.BUY, qty=QTY, now=NOW):
        what = {"type": OrderType.LIMIT, "tif": TimeInForce.DAY, "qty": qty}
        intent = Intent(strategy=1, source=9, instrument=instrument, side=side, **what)
        return {name: (f, fails) for name, f, fails in self.portfolio.find(Limits.of(values, base=PAPER), intent, qty, now)}


@given(st.floats(50, 200), st.floats(50, 200), st.floats(1 / 365, 2), st.floats(0.05, 2), st.booleans())
def test_a_volatility_is_found_again_in_what_it_makes_of_a_contract(spot, strike, years, vol, call):
    value = black_scholes(spot, strike, years, vol, call=call)
    found = implied(value.value, spot, strike, years, call=call)
    if found is None:  # so far from the money that rounding alone makes the value
        assert value.vega < 1e-6
    else:
        assert black_scholes(spot, strike, years, found, call=call).value == pytest.approx(value.value, abs=1e-9 * spot)


def test_where_no_volatility_explains_a_value_there_is_none():
    assert implied(99.0, 100.0, 100.0, 0.1, call=True) is None
    assert implied(4.0, 100.0, 95.0, 0.1, call=True) is None  # less than its exercise brings
    assert implied(0.0, 100.0, 95.0, 0.0, call=False) == LEAST


@pytest.mark.row("S153")
@given(st.floats(20, 400), st.floats(20, 400), st.floats(1 / 365, 2), st.floats(0.05, 2))
def test_black_scholes_is_its_differences_and_keeps_parity(spot, strike, years, vol):
    call, put = (black_scholes(spot, strike, years, vol, call=c) for c in (True, False))
    assert call.value - put.value == pytest.approx(spot - strike, abs=1e-9 * spot + 1e-9)
    assert call.delta - put.delta == pytest.approx(1)
    h = spot * 1e-4
    up, down = (black_scholes(spot + d, strike, years, vol, call=True) for d in (h, -h))
    assert call.delta == pytest.approx((up.value - down.value) / (2 * h), abs=1e-5)
    assert call.gamma == pytest.approx((up.delta - down.delta) / (2 * h), rel=1e-2, abs=1e-6)
    up, down = (black_scholes(spot, strike, years, vol + d, call=True) for d in (1e-5, -1e-5))
    assert call.vega == pytest.approx((up.value - down.value) / 2e-5, rel=1e-3, abs=1e-4)


def test_black_scholes_textbook_and_expiry():
    # At the money, a year, 20 %: 100 * (2 N(0.1) - 1).
    assert black_scholes(100, 100, 1, 0.2, call=True).value == pytest.approx(7.965567, abs=1e-6)
    assert black_scholes(101, 100, 0, 0.2, call=True) == (1, 1, 0, 0)
    assert black_scholes(99, 100, -1, 0.2, call=True) == (0, 0, 0, 0)
    assert black_scholes(99, 100, 0, 0.2, call=False) == (1, -1, 0, 0)
    last_minutes = black_scholes(100, 100, 300 * SECOND / YEAR, 0.2, call=True)  # 0DTE
    assert last_minutes.gamma > 1
    assert 0.4 < last_minutes.delta < 0.6


def worst_by_hand(book, confidence=0.99):
    """(VaR, ES) as the worst over every corner of what may fill, shares alone."""
    returns = np.array([book.closes[n][1:] / book.closes[n][:-1] - 1 for n in (1, 2)])
    covariance, z = np.cov(returns), NormalDist().inv_cdf(confidence)
    var = es = 0.0
    for corner in product(*(book.ledger.worst_case(n) for n in (1, 2))):
        money = np.array(corner) / QTY * 100
        losses = np.sort(-(money @ returns))
        at = int(np.ceil(confidence * len(losses))) - 1
        sigma = sqrt(money @ covariance @ money)
        var = max(var, losses[at], z * sigma)
        es = max(es, losses[at:].mean(), NormalDist().pdf(z) / (1 - confidence) * sigma)
    return var, es


@pytest.mark.row("S123", "S133")
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.sampled_from([1, 2]), st.integers(1, 50)), max_size=6), st.integers(-40, 40))
def test_value_at_risk_is_never_below_any_corner(orders, held):
    book = Book()
    if held:
        book.hold(1, held * QTY)
        book.hold(2, -held * QTY)
    for key, (instrument, side, qty) in enumerate(orders, 1):
        book.order(key, instrument, side, qty * QTY)
    lines = book.portfolio.lines(1, 0, 0, NOW)
    var, es = book.portfolio.tail(lines, 0.99)
    by_hand = worst_by_hand(book)
    assert var >= by_hand[0] - 1e-9
    assert es >= by_hand[1] - 1e-9
    if not orders:  # nothing is open: then it is the figure itself
        assert (var, es) == pytest.approx(by_hand)


def test_beyond_ten_underlyings_it_is_a_bound_and_no_corner_is_above_it():
    book = Book()
    rng = np.random.default_rng(1)
    numbers = range(5, 17)
    refs = np.zeros(32, ref_dtype)
    book.portfolio = Portfolio(book.ledger, refs, book.defined)
    returns = []
    for n in numbers:
        book.add(Instrument(id=n, symbol=f"S{n}"))
        refs[n]["bid_px"] = refs[n]["ask_px"] = 100 * PX
        closes = tuple((100 * np.cumprod(1 + rng.normal(0, 0.02, 40)) * PX).astype(int).tolist())
        book.portfolio.history_told(HistoryTold(instrument=n, closes=closes, lows=closes, volumes=closes))
        returns.append(np.array(closes[1:]) / np.array(closes[:-1]) - 1)
        book.order(n, n, 1 + n % 2, 10 * QTY)
    lines = book.portfolio.lines(5, 0, 0, NOW)
    var, _ = book.portfolio.tail(lines, 0.99)
    covariance = np.cov(np.array(returns))
    for signs in rng.integers(0, 2, (200, len(numbers))):
        money = np.array([1000 * s * (1 if n % 2 == 0 else -1) for s, n in zip(signs, numbers, strict=True)])
        assert var >= NormalDist().inv_cdf(0.99) * sqrt(money @ covariance @ money) - 1e-9


@pytest.mark.row("S134")
def test_greeks_are_the_worst_of_each_underlying_and_never_net_open_orders():
    book = Book()
    book.hold(1, 100 * QTY)
    book.hold(3, 2)
    delta = black_scholes(100, 100, book.portfolio.lines(3, 0, 0, NOW)[1].years, 0.3, call=True).delta
    assert greeks(book.portfolio.lines(1, 0, 0, NOW))[0] == pytest.approx(100 * 100 + 200 * delta * 100)
    book.order(1, 3, 2, 4)  # may take the contracts to -2: both ends count
    low = 100 * 100 - 200 * delta * 100
    assert greeks(book.portfolio.lines(1, 0, 0, NOW))[0] == pytest.approx(max(low, 100 * 100 + 200 * delta * 100))
    gamma, vega = greeks(book.portfolio.lines(1, 0, 0, NOW))[1:]
    at = book.portfolio.lines(3, 0, 0, NOW)[1].greeks
    assert gamma == pytest.approx(200 * at.gamma * 100)
    assert vega == pytest.approx(200 * at.vega / 100)


def test_an_option_loses_what_it_is_worth_anew_not_what_its_delta_says():
    book = Book()
    book.hold(3, -10)  # sold calls: the curve is against us
    lines = book.portfolio.lines(3, 0, 0, NOW)
    returns = book.closes[1][1:] / book.closes[1][:-1] - 1
    by_hand = [
        1000 * (black_scholes(100 * (1 + r), 100, lines[0].years, 0.3, call=True).value - lines[0].greeks.value) for r in returns
    ]
    var, _ = book.portfolio.tail(lines, 0.99)
    assert var >= max(by_hand) - 1e-6


@pytest.mark.parametrize("what", ["max_var", "max_es", "max_delta", "max_gamma", "max_vega"])
def test_what_is_missing_denies_and_at_the_limit_it_passes(what):
    def at(limit, **more):
        book = Book(**more)
        return book.find({what: limit}, instrument=3, qty=2)[what]

    exactly = at("1e9")[0].observed
    assert 0 < exactly < UNKNOWN
    assert [at(format(limit / 10**9, ".9f"))[1] for limit in (exactly // 10**9 - 1, exactly // 10**9)] == [True, False]
    book = Book()
    book.refs[3]["bid_px"] = NO_PRICE  # no volatility of the contract
    f, fails = book.find({what: "1e9"}, instrument=3, qty=2)[what]
    assert fails
    assert f.observed == UNKNOWN
    assert book.find({what: None})[what][1]  # a limit that is missing
    book = Book()
    book.refs[1]["bid_px"] = 0
    assert book.find({what: "1e9"}, instrument=3, qty=2)[what][1]  # no price of the underlying
    if what in ("max_var", "max_es"):
        assert at("1e9", days=20) == ((Code.VAR_LIMIT, 10**9 * USD, UNKNOWN, "money"), True)


def test_what_reduces_is_not_asked():
    book = Book(days=0)
    what = {"strategy": 1, "source": 9, "instrument": 1, "type": OrderType.LIMIT, "tif": TimeInForce.DAY, "qty": QTY}
    found = book.portfolio.find(Limits.of({"max_var": 1}, base=PAPER), Intent(side=Side.SELL, **what), 0, NOW)
    assert [fails for _, _, fails in found] == [False]
    assert not book.portfolio.limited(PAPER)
