"""Who may trade what: senders, signals, lists, the venue's word, history, nights; and what of it a restart keeps."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.risk.test_hours import at
from tests.risk.test_manager import BUY, LOOSE, PX, QTY, SELL, T0, Desk, answer, codes

from pyrt.calendar import Calendar
from pyrt.clock import DAY, SECOND
from pyrt.errors import ConfigError
from pyrt.model import Approved, AssetClass, BaselineSet, Filled, Instrument, Intended, LimitsSet, Refused
from pyrt.ports import AssetTold, HistoryTold, ListTold, SetLimits, Start
from pyrt.risk import Limits, saved
from pyrt.risk.limits import Limits as Whole
from pyrt.risk.names import contract, read_list, restrictions


def limited(**values):
    return Limits.of(values, base=LOOSE)


def sent(desk, fact_of, number):
    """An approval becomes an order."""
    intent = fact_of.intent
    desk.fact(
        Intended(
            number=number,
            intent=intent,
            epoch=1,
            approval=fact_of.approval,
            limits_version=1,
            ref_px=fact_of.ref_px,
            root=number,
            ts=desk.now.venue,
        )
    )


# ---------------------------------------------------------------------------------------------------- R25, R11
def test_a_strategy_trades_what_it_was_registered_for_and_may_always_reduce():
    desk = Desk()
    desk.risk.authorise(3, [1])
    assert isinstance(desk.ask(1), Approved)
    assert codes(desk.ask(2, instrument=2)) == {"UNAUTHORISED"}
    assert codes(desk.ask(3, strategy=4)) == {"UNAUTHORISED"}
    desk.risk.ledger.fill(0, 4, 2, 1, 100 * PX, 5 * QTY)
    assert isinstance(desk.ask(4, SELL, 5 * QTY, 101 * PX, strategy=4, instrument=2), Approved)
    assert codes(desk.ask(5, SELL, QTY, 102 * PX, strategy=4, instrument=2)) == {"UNAUTHORISED", "SHORT_NOT_ALLOWED"}


def test_orders_of_a_signal_count_when_approved_and_after_a_restart():
    desk = Desk(limited(max_sends_per_signal=2))
    first = desk.ask(1, px=98 * PX, signal=7)
    sent(desk, first, 1)
    assert isinstance(desk.ask(2, px=97 * PX, signal=7), Approved)  # in flight: it counts
    assert isinstance(desk.ask(3, px=96 * PX, signal=8), Approved)
    assert isinstance(desk.ask(4, px=95 * PX, signal=7, strategy=4), Approved)  # another strategy's 7
    assert isinstance(desk.ask(5, px=94 * PX), Approved)  # of no signal
    refused = desk.ask(6, px=93 * PX, signal=7)
    assert codes(refused) == {"REPEAT_EXEC"}
    assert desk.risk.latches["strategy:3"].code == "REPEAT_EXEC"
    again = Desk(limited(max_sends_per_signal=1), start=False)
    for fact in desk.facts:
        again.fact(fact)
    assert again.risk.permits.sent == {(3, 7): 1}


def test_an_approval_that_became_nothing_gives_its_signal_back():
    desk = Desk(limited(max_sends_per_signal=1))
    desk.ask(1, px=98 * PX, signal=7)
    desk.later(3 * SECOND)
    desk.quote(100 * PX)
    assert isinstance(desk.ask(2, px=97 * PX, signal=7), Approved)


# ---------------------------------------------------------------------------------------------------- R15
@pytest.mark.parametrize(
    ("listed", "symbol", "asset_class"),
    [
        ("GME", "GME", AssetClass.US_EQUITY),
        ("gme", "GME", AssetClass.US_EQUITY),
        ("GME", "GME260320C00020000", AssetClass.OPTION),  # its underlying
        ("BRK.B", "BRKB260320P00400000", AssetClass.OPTION),
        ("BTCUSD", "BTC/USD", AssetClass.CRYPTO),  # its alias
        ("GameStop: GME, GME.WS", "GME.WS", AssetClass.US_EQUITY),  # its issuer
        ("Meta: FB, META", "FB", AssetClass.US_EQUITY),  # a symbol that changed
    ],
)
def test_a_list_forbids_by_every_name(listed, symbol, asset_class):
    def desk_of(**limits):
        desk = Desk(limited(**limits))
        desk.instruments.add(Instrument(id=2, symbol=symbol, asset_class=asset_class, lot=1))
        return desk

    def restricted(desk, source, *args, **more):  # the venue has its own rules for what is no share
        return "RESTRICTED" in codes_of(desk.ask(source, *args, instrument=2, **more))

    desk = desk_of(restricted_file="list")
    desk.tell(ListTold(names=tuple(read_list(f"# of today\n{listed}\nXYZ")), at=T0))
    assert restricted(desk, 1)
    assert isinstance(desk.ask(2), Approved)
    desk.risk.ledger.fill(0, 3, 2, 1, 100 * PX, 5 * QTY)
    assert not restricted(desk, 3, SELL, px=101 * PX)  # close only
    if ":" not in listed:
        assert restricted(desk_of(restricted=[listed]), 1)
        assert not restricted(desk_of(allowed=[listed]), 1)
    assert restricted(desk_of(allowed=["AAPL"]), 1)


def codes_of(answer):
    return codes(answer) if isinstance(answer, Refused) else set()


def test_a_list_lives_a_day_and_is_what_it_should_be():
    desk = Desk(limited(restricted_file="list", restricted_sha256="AB"))
    answers = []
    for n, told in enumerate(
        (
            None,
            ListTold(at=T0, sha256="ab"),
            ListTold(at=T0, sha256="cd"),
            ListTold(error="no such file"),
            ListTold(at=T0, sha256="ab"),
        ),
        1,
    ):
        if told:
            desk.tell(told)
        answers.append(isinstance(desk.ask(n), Approved))
    assert answers == [False, True, False, False, True]
    desk.later(DAY - 1)
    desk.quote(100 * PX)
    assert isinstance(desk.ask(10), Approved)
    desk.later(1)
    assert codes(desk.ask(11)) == {"RESTRICTED"}


@pytest.mark.parametrize("text", ["A B", "A, B", "issuer:", "x: A,,B"])
def test_a_line_that_is_no_symbol_spoils_the_list(text):
    with pytest.raises(ValueError, match="line 2"):
        read_list(f"GME\n{text}")


@given(st.text(max_size=25))
def test_names_never_fail(text):
    assert restrictions(text)
    option = contract(text)
    assert option is None or text.startswith(option.root)


def test_what_the_venue_no_longer_trades_is_closed_and_survives_a_restart():
    desk = Desk()
    told = {"instrument": 1, "shortable": True, "easy_to_borrow": True}
    desk.tell(AssetTold(tradable=False, **told))
    assert codes(desk.ask(1)) == {"RESTRICTED", "BROKER_RULE"}  # the broker would say the same
    again = Desk(start=False)
    for fact in desk.facts:
        again.fact(fact)
    assert again.risk.permits.assets == desk.risk.permits.assets
    assert again.risk.permits.state() == desk.risk.permits.state()
    assert codes(again.ask(2)) == {"RESTRICTED", "BROKER_RULE"}


# ---------------------------------------------------------------------------------------------------- R1, R14
def history(volumes, *, closes=(100 * PX,) * 30, lows=None):
    return HistoryTold(instrument=1, closes=closes, lows=lows or closes, volumes=volumes)


def test_the_average_is_of_the_last_twenty_days_and_nothing_less():
    desk = Desk(limited(max_adv_pct="0.5"))
    desk.tell(history((10**6 * QTY,) * 10 + (1000 * QTY,) * 20))
    assert codes(desk.ask(1, qty=6 * QTY)) == {"ORDER_QTY"}
    assert isinstance(desk.ask(2, qty=5 * QTY), Approved)
    desk.tell(history((10**6 * QTY,) * 19))
    assert codes(desk.ask(3, qty=QTY)) == {"ORDER_QTY"}
    assert isinstance(Desk().ask(1, qty=100 * QTY), Approved)  # nobody set it: history is not asked for


def shorting(**more):
    desk = Desk(limited(opening_shorts=True, **more))
    desk.tell(AssetTold(instrument=1, tradable=True, shortable=True, easy_to_borrow=True))
    desk.tell(history((QTY,) * 30))
    return desk


def test_shorts_go_by_the_venues_word_of_the_last_day():
    desk = shorting()
    assert isinstance(desk.ask(1, SELL, px=101 * PX), Approved)
    desk.tell(AssetTold(instrument=1, tradable=True, shortable=True, easy_to_borrow=False))
    assert codes(desk.ask(2, SELL, px=102 * PX)) == {"SHORT_NOT_ALLOWED"}
    desk.tell(AssetTold(instrument=1, tradable=True, shortable=True, easy_to_borrow=True))
    assert isinstance(desk.ask(3, SELL, px=103 * PX), Approved)
    again = Desk(limited(opening_shorts=True), start=False)
    for fact in desk.facts:
        again.fact(fact)
    again.tell(Start(epoch=2))
    assert codes(again.ask(9, SELL, px=104 * PX)) >= {"NOT_RECONCILED"}
    assert "SHORT_NOT_ALLOWED" not in codes(again.ask(10, SELL, px=104 * PX))  # the flag is a fact
    assert "SHORT_NOT_ALLOWED" in codes(again.ask(11, SELL, px=100 * PX))  # the close is told anew, and until then it may not
    desk.later(DAY)
    desk.quote(100 * PX)
    assert codes(desk.ask(4, SELL, px=104 * PX)) == {"SHORT_NOT_ALLOWED"}


def test_crypto_is_never_sold_short():
    desk = Desk(limited(opening_shorts=True))
    desk.instruments.add(Instrument(id=2, symbol="BTC/USD", asset_class=AssetClass.CRYPTO, lot=1))
    desk.tell(AssetTold(instrument=2, tradable=True, shortable=True, easy_to_borrow=True))
    assert "SHORT_NOT_ALLOWED" in codes(desk.ask(1, SELL, px=101 * PX, instrument=2))


@pytest.mark.parametrize(("low", "restricted"), [(90, True), (91, False)])
def test_rule_201_lasts_the_day_after_too(low, restricted):
    desk = shorting()
    closes = (100 * PX,) * 30
    desk.tell(history((QTY,) * 30, closes=closes, lows=(*closes[:-1], low * PX)))
    refused = desk.ask(1, SELL, px=100 * PX)
    assert isinstance(refused, Refused) == restricted
    desk.tell(history((QTY,) * 31, closes=(*closes, 100 * PX), lows=(*closes, 99 * PX)))
    assert isinstance(desk.ask(2, SELL, 2 * QTY, 100 * PX), Approved)


# ---------------------------------------------------------------------------------------------------- R16
@pytest.mark.parametrize(
    ("time", "night", "day"),
    [
        ("2026-03-05T01:00:00", True, False),  # 20:00 in New York the evening before
        ("2026-03-05T00:59:59", True, True),  # after hours
        ("2026-03-09T00:00:00", True, False),  # Sunday evening after the clocks changed: 20:00
        ("2026-03-08T23:59:59", False, False),
        ("2026-03-07T02:00:00", False, False),  # Friday night
        ("2026-11-27T01:00:00", True, False),  # Thanksgiving's evening, before the half day
        ("2026-11-26T02:00:00", False, False),  # before a holiday
    ],
)
def test_nights_are_for_those_that_ask_for_them(time, night, day):
    for overnight, symbol_has, expect in ((True, True, night), (True, False, day), (False, True, day)):
        desk = Desk(limited(overnight=overnight), calendar=Calendar())
        at(desk, time)
        desk.tell(AssetTold(instrument=1, tradable=True, shortable=False, easy_to_borrow=False, overnight=symbol_has))
        got = answer(desk.tell(desk.intent(1, px=99 * PX, extended_hours=True)))
        assert isinstance(got, Approved) == expect


# ---------------------------------------------------------------------------------------------------- limits
def test_the_optional_limits_are_off_by_a_word_and_null_denies():
    paper = Whole.profile("paper")
    assert paper.max_var == Decimal("Infinity")
    assert '"max_var":"off"' in paper.canonical()
    assert Whole.parse(paper.canonical()) == paper
    on = Limits.of({"max_var": "100", "max_adv_pct": 5, "allowed": ["AAPL"], "opening_shorts": True, "overnight": True}, base=paper)
    assert Whole.parse(on.canonical()) == on
    assert paper.loosens(on) == ["max_adv_pct", "max_var", "allowed"]
    assert on.loosens(paper) == ["opening_shorts", "overnight"]
    assert Limits.of({"allowed": ["AAPL", "B"]}, base=on).loosens(on) == ["allowed.B"]
    listed = Limits.of({"restricted_file": "a", "restricted_sha256": "b", "self_match": "cancel"}, base=paper)
    assert paper.loosens(listed) == ["restricted_file", "restricted_sha256"]
    assert listed.loosens(paper) == ["self_match"]
    assert Limits.of({"drawdown_days": 4}, base=paper).loosens(paper) == ["drawdown_days"]
    for name in ("max_adv_pct", "max_drift_bps", "max_daily_loss_if_filled", "max_days_drawdown"):
        assert codes(Desk(limited(**{name: None})).ask(1)) == {"LIMIT_MISSING"}
    assert codes(Desk(limited(max_sends_per_signal=None)).ask(1, signal=1)) == {"REPEAT_EXEC"}


@pytest.mark.parametrize(
    "values",
    [
        {"max_order_qty": "off"},
        {"max_var": -1},
        {"max_var": "wide"},
        {"var_confidence": 1},
        {"drawdown_days": 0},
        {"max_days_drawdown": 0},
    ],
)
def test_what_cannot_be_an_optional_limit(values):
    with pytest.raises(ConfigError):
        Limits.of(values, base=LOOSE)


def test_limits_change_by_word_and_what_loosens_needs_its_token():
    desk = Desk()
    tell = lambda values, **more: desk.tell(SetLimits(limits=values, **({"who": "anna", "why": "test"} | more)))  # noqa: E731
    tell('{"max_order_qty": "10"}')
    assert (desk.risk.limits.max_order_qty, desk.risk.limits_version) == (10, 2)
    assert codes(desk.ask(1, qty=11 * QTY)) == {"ORDER_QTY"}
    for values, more in (
        ('{"max_order_qty": "20"}', {}),
        ('{"max_order_qty": "20"}', {"token": "0" * 10}),
        ('{"max_order_qty": "9"}', {"who": " "}),
        ('{"max_ordr_qty": "9"}', {}),
        ('{"symbols": {"AAPL": {"max_order_qty": "NaN"}}}', {}),
        ('{"symbols": {"AAPL": 5}}', {}),
        ('{"var_confidence": "NaN"}', {}),
        ('{"max_trade_age_ms": 1' + 14 * "0" + "}", {}),
        ("[1]", {}),
    ):
        assert [c.code for c in tell(values, **more)] == ["LIMITS_REFUSED"]
    assert desk.risk.limits_version == 2
    token = desk.risk.confirmation(desk.risk.changed('{"max_order_qty": "20"}'))
    tell('{"max_order_qty": "20"}', token=token)
    assert (desk.risk.limits.max_order_qty, desk.risk.limits_version) == (20, 3)
    tell('{"max_order_qty": "10"}')
    assert [c.code for c in tell('{"max_order_qty": "20"}', token=token)] == ["LIMITS_REFUSED"]  # of another version


def test_a_restart_does_not_take_back_what_somebody_tightened():
    desk = Desk()
    desk.tell(SetLimits(limits='{"max_order_qty": "10"}', who="anna", why="calm down"))
    again = Desk(start=False)
    for fact in desk.facts:
        again.fact(fact)
    commands = again.tell(Start(epoch=2))
    assert [c.code for c in commands if hasattr(c, "code")] == ["LIMITS_KEPT"]
    assert again.risk.limits.max_order_qty == 10
    tighter = Desk(limited(max_order_qty=5), start=False)
    for fact in desk.facts:
        tighter.fact(fact)
    tighter.tell(Start(epoch=2))
    assert tighter.risk.limits.max_order_qty == 5  # tighter still: at once
    fresh = Desk()
    other = Desk(limited(max_order_qty=9000), start=False)  # the file changed, nobody else did
    for fact in fresh.facts:
        other.fact(fact)
    other.tell(Start(epoch=2))
    assert other.risk.limits.max_order_qty == 9000
    assert [f.who for f in other.facts if isinstance(f, LimitsSet)] == ["configuration"] * 2


def test_a_limit_below_the_position_lets_only_reducing_orders_through():
    desk = Desk()
    assert isinstance(desk.ask(1, px=90 * PX), Approved)
    desk.risk.ledger.fill(0, 3, 1, 1, 100 * PX, 50 * QTY)
    desk.tell(SetLimits(limits='{"max_position_qty": "20"}', who="anna", why="smaller"))
    assert codes(desk.ask(2, BUY)) == {"POSITION_LIMIT"}
    assert isinstance(desk.ask(3, SELL, 10 * QTY, 101 * PX), Approved)


def test_a_kept_state_goes_on_with_signals_flags_peaks_and_drift():
    desk = shorting(max_sends_per_signal=2, max_drift_bps=50)
    sent(desk, desk.ask(1, px=98 * PX, signal=7), 1)
    desk.fact(BaselineSet(day="2026-03-01", equity=5, peak=9 * 10**9, ts=T0))
    desk.fact(BaselineSet(day="2026-03-02", equity=7, ts=T0))
    fill = {"strategy": 3, "instrument": 1, "side": BUY, "px": 98 * PX, "qty": QTY, "cum_qty": QTY, "venue_order_id": "v"}
    desk.fact(Filled(number=1, ts=desk.now.venue, **fill))
    desk.tell(SetLimits(limits='{"max_order_qty": "10"}', who="anna", why="test"))
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(saved.save(desk.risk)), type=saved.RiskState)
    again = Desk(limited(max_order_qty=10), start=False)
    saved.restore(again.risk, kept)
    assert again.risk.state_digest() == desk.risk.state_digest()
    assert again.risk.gate.days_drawdown == 9 * 10**18
    again.tell(Start(epoch=2))
    assert codes(again.ask(20, px=99 * PX)) == {"NOT_RECONCILED", "PRICE_DRIFT"}  # the market is at 100, the own buy was at 98
    assert again.risk.permits.sent == {(3, 7): 1}
    assert again.risk._in_force.by == "anna"
