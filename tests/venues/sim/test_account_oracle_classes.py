"""Random clients that also trade brackets, OCOs, OTOs, trailing stops and money: the account stays what the oracle says."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.account import Order, number
from tests.reference.random_client import SIZE, SYMBOLS, Desk, Operation, random_operations

pytestmark = pytest.mark.row("X08")

CLASSES = ("", "", "bracket", "bracket", "oco", "oto", "trailing", "notional", "notional limit")


class ClassDesk(Desk):
    """Submits every class and type of order."""

    def submit(self, a: int, b: int, c: int, d: int, e: int) -> None:
        class_ = CLASSES[c // 16 % len(CLASSES)]
        if not class_:
            return super().submit(a, b, c, d, e)
        symbol = list(SYMBOLS)[a % len(SYMBOLS)]
        held = self.oracle.held(symbol).qty
        side = ("buy", "sell")[a // 64 % 2]
        if class_ == "oco" and held and d % 8:
            side = "sell" if held > 0 else "buy"
        elif class_ in ("bracket", "oto") and held and d % 8:
            side = "buy" if held > 0 else "sell"
        body: dict[str, Any] = {"symbol": symbol, "side": side, "time_in_force": ("day", "gtc", "day", "gtc", "ioc")[d // 8 % 5]}
        body |= getattr(self, class_.split()[0])(class_, symbol, side, Fraction(1 + c % 30), b, e)
        if class_.startswith("notional") and d % 8:
            body["time_in_force"] = "day"
        self.enter(body)
        return None

    def near(self, symbol: str, cents: int) -> str:
        return number(Fraction(max(100, self.mid[symbol] + cents), 100))

    def bracket(self, class_: str, symbol: str, side: str, qty: Fraction, b: int, e: int) -> dict[str, Any]:
        up = 1 if side == "buy" else -1
        kind = ("market", "limit")[b % 2]
        body = {"qty": number(qty), "type": kind, "order_class": class_}
        offset = e % 9 - 4
        if kind == "limit":
            body["limit_price"] = self.near(symbol, offset)
        loss = {"stop_price": self.near(symbol, offset - up * (b // 4 % 12))}
        if b // 128 % 3 == 0:
            loss["limit_price"] = self.near(symbol, offset - up * (b // 4 % 12 + 2))
        profit = {"limit_price": self.near(symbol, offset + up * (b // 512 % 12))}
        if class_ == "bracket" or e // 16 % 2:
            body["take_profit"] = profit
        if class_ == "bracket" or not e // 16 % 2:
            body["stop_loss"] = loss
        return body

    oto = bracket

    def oco(self, class_: str, symbol: str, side: str, qty: Fraction, b: int, e: int) -> dict[str, Any]:
        up = 1 if side == "sell" else -1
        profit, stop = up * (b % 12), -up * (b // 16 % 12)
        body = {"qty": number(qty), "type": "limit", "order_class": "oco"}
        body["take_profit"] = {"limit_price": self.near(symbol, profit)}
        body["stop_loss"] = {"stop_price": self.near(symbol, stop)}
        return body

    def trailing(self, class_: str, symbol: str, side: str, qty: Fraction, b: int, e: int) -> dict[str, Any]:
        how = {"trail_price": number(Fraction(1 + b % 20, 100))} if e % 2 else {"trail_percent": number(Fraction(1 + b % 300, 100))}
        return {"qty": number(qty), "type": "trailing_stop", **how}

    def notional(self, class_: str, symbol: str, side: str, qty: Fraction, b: int, e: int) -> dict[str, Any]:
        body = {"notional": number(Fraction(1 + b % 200_000, 100)), "type": "market"}
        if class_.endswith("limit"):
            body |= {"type": "limit", "limit_price": self.near(symbol, e % 21 - 10)}
        return body

    def enter(self, body: dict[str, Any]) -> None:
        inner = body
        if body.get("order_class") == "oco":
            inner = {**body, "limit_price": body["take_profit"]["limit_price"]}
        answer = self.ask(self.oracle.verdict(inner), self.exchange.submit, body, self.now)
        if answer is not None:
            self.count(body.get("order_class") or ("notional" if "notional" in body else body["type"]))
            order = self.oracle.accepted(inner, answer, self.expiry(body))
            if "notional" in body:
                assert (answer["qty"], answer["notional"]) == (None, body["notional"])
            if body.get("order_class"):
                assert answer["order_class"] == body["order_class"]
                self.oracle.legs(inner, order, answer["legs"])
        self.listen()

    def cancel(self, a: int, b: int, c: int, d: int, e: int) -> None:
        order = self.pick(a)
        super_order = order is not None and order.status not in ("filled", "canceled", "expired", "rejected", "replaced")
        if order is not None and super_order:
            for mate in order.group or [order]:
                mate.given_up = True
        super().cancel(a, b, c, d, e)

    def rare(self, a: int, b: int, c: int, d: int, e: int) -> None:
        if a % 4 == 0:
            for order in self.oracle.open:
                order.given_up = True
        super().rare(a, b, c, d, e)

    def wind_up(self) -> None:
        for order in self.oracle.open:
            order.given_up = True
        super().wind_up()

    def replace_verdict(self, old: Order, merged: dict[str, Any]) -> tuple[int, int] | None:
        if old.status not in ("new", "partially_filled", "held"):
            return 422, 42210000
        if old.notional:
            return 422, 42210000
        if old.role not in ("", "entry") and Fraction(merged["qty"]) != old.qty:
            return 422, 42210000
        if Fraction(merged["qty"]) <= old.base + old.filled:
            return 422, 40010001
        if old.partner is not None:
            target, guard = old, old.partner
            if old.role == "stop_loss":
                target, guard = guard, target
            goal = Fraction(merged["limit_price"]) if old.role == "take_profit" else target.limit
            stop = Fraction(merged["stop_price"]) if old.role == "stop_loss" else guard.stop
            if goal >= stop if old.side == "buy" else goal <= stop:
                return 422, 42210000
        return None if old.waits else self.oracle.verdict(merged, old)


OPERATIONS = st.lists(st.tuples(*[st.integers(0, SIZE - 1)] * 6), min_size=10, max_size=80)


@settings(max_examples=25)
@given(operations=OPERATIONS, hours=st.booleans())
def test_any_client_of_every_class(operations: Sequence[Operation], hours: bool) -> None:
    ClassDesk(hours=hours, multiplier=4).run(operations)


@pytest.mark.parametrize(("seed", "hours"), [(11, False), (12, True), (13, False)])
def test_seven_hundred_operations_of_every_class(seed: int, hours: bool) -> None:
    desk = ClassDesk(hours=hours, multiplier=4)
    desk.run(random_operations(seed, 700))
    for what in ("bracket", "oco", "oto", "trailing_stop", "notional", "fill", "partial_fill", "replaced", "held"):
        assert desk.counts.get(what), f"{what} never happened"


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(("patched", "fills"), [(2, 1), (6, 0)])  # the limit alone; the limit and the stop
def test_a_stop_that_was_reached_stays_reached_unless_it_is_given_another_stop(patched: int, fills: int, restarts: bool) -> None:
    desk = ClassDesk()
    desk.enter(
        {"symbol": "SIRI", "side": "buy", "qty": "10", "type": "stop_limit", "time_in_force": "gtc"}
        | {"stop_price": "2.42", "limit_price": "2.35"}
    )
    desk.trade(1, 10, 9, 0, 0)  # 2.42: it waits at its limit
    desk.replace(1, patched, 0, 12, 1)  # 2.36, and a stop of 2.33 or none
    desk.check()
    (order,) = desk.oracle.open
    assert order.limit == Fraction("2.36")
    if restarts:
        desk.rare(1, 0, 0, 0, 0)
    desk.trade(1, 0, 9, 0, 0)  # 2.32: ten for the buyer at 2.36, were it not for its stop
    assert desk.counts.get("fill", 0) == fills


def test_a_stop_takes_what_is_displayed_and_not_the_print_that_reaches_it() -> None:
    desk = ClassDesk()
    desk.enter(
        {"symbol": "SIRI", "side": "buy", "qty": "40", "type": "stop_limit", "time_in_force": "gtc"}
        | {"stop_price": "2.39", "limit_price": "2.40"}
    )
    desk.trade(1, 7, 7, 0, 0)  # eight at 2.39, while thirty are asked for at 2.40
    desk.check()
    assert desk.oracle.markets["SIRI"].taken["ask"] == 30


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(200, 216))
def test_ten_thousand_operations_of_every_class(seed: int) -> None:
    desk = ClassDesk(hours=bool(seed % 2), multiplier=(2, 4)[seed // 2 % 2], cash=50_000)
    desk.run(random_operations(seed, 10_000))
