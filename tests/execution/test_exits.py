"""Exits that the venue made of one request, and what stands in for them."""

import msgspec
import pytest
from tests.reference.bench import SHARE, Bench, activity, order, update

from pyrt._core.types import Side
from pyrt.model import OrderClass, OrderStatus, OrderType, TimeInForce
from pyrt.ports import Outcome, StreamState, Submit, SubmitResult, TakeSnapshot

PX = SECOND = 10**9


def test_an_exit_that_is_replaced_follows_its_entrys_new_quantity(bench: Bench) -> None:
    """Its quantity is not sent: it is what the venue made of it when the entry grew."""
    bench.approve(order_class=OrderClass.OTO, guard_px=180 * PX, tif=TimeInForce.GTC)
    sold = {"side": Side.SELL, "type": "stop", "tif": "gtc", "limit_price": "", "stop_price": "180", "order_class": "oto"}
    leg = order(2, cid="theirs", status="held", **sold)
    bench.on(SubmitResult(number=1, attempt=1, outcome=Outcome.ACCEPTED, order=order(tif="gtc", order_class="oto", legs=(leg,))))
    assert bench.engine.orders[2].venue_order_id == "v2"
    bench.source += 1  # the leg's
    terms = {"side": Side.SELL, "type": OrderType.STOP, "limit_px": 0, "stop_px": 181 * PX, "tif": TimeInForce.GTC}
    bench.approve(replaces=2, reduce_only=True, **terms)
    new = order(3, qty="12", replaces="v2", status="held", **(sold | {"stop_price": "181"}))
    bench.on(SubmitResult(number=3, attempt=1, outcome=Outcome.ACCEPTED, order=new))
    assert "CID_TAKEN" not in bench.codes()
    bench.on(update("replaced", order(2, cid="theirs", status="replaced", replaced_by="v3", **sold)))
    grown = bench.engine.orders[3]
    assert (grown.status, grown.venue_order_id, grown.qty) == (OrderStatus.HELD, "v3", 12 * SHARE)


@pytest.mark.parametrize("source", ["stream", "snapshot"])
def test_an_exit_that_grew_unheard_is_not_overfilled(bench: Bench, source: str) -> None:
    """It grew with its entry in a life of which nothing was durable; the next sighting shows more shares, all sold."""
    bench.approve(order_class=OrderClass.OTO, guard_px=180 * PX, tif=TimeInForce.GTC)
    sold = {"side": Side.SELL, "type": "stop", "tif": "gtc", "limit_price": "", "stop_price": "180", "order_class": "oto"}
    leg = order(2, cid="theirs", status="held", **sold)
    bench.on(SubmitResult(number=1, attempt=1, outcome=Outcome.ACCEPTED, order=order(tif="gtc", order_class="oto", legs=(leg,))))
    done = order(2, cid="theirs", status="filled", qty="12", filled_qty="12", **sold)
    if source == "stream":
        bench.on(update("fill", done, price="180", qty="12"))
    else:
        bench.t += 10 * SECOND
        bench.on(StreamState(stream="trading", up=True))
        if not bench.asked(TakeSnapshot):
            bench.fire("execution.snapshot")
        sale = msgspec.structs.replace(activity("12", "12", price="180", venue_id="v2"), side=Side.SELL)
        bench.snapshot(orders=(order(tif="gtc", order_class="oto", status="filled"), done), fills=(sale,))
    exit_ = bench.engine.orders[2]
    assert (exit_.status, exit_.qty, exit_.filled) == (OrderStatus.FILLED, 12 * SHARE, 12 * SHARE)
    assert "OVERFILL" not in bench.codes()


@pytest.mark.parametrize("target", [0, 199 * PX])
def test_an_oco_leaves_with_its_own_limit_as_the_take_profit(bench: Bench, target: int) -> None:
    """Its limit is what risk has judged; whoever asked for it need not say it twice."""
    pair = {"side": Side.SELL, "order_class": OrderClass.OCO, "limit_px": 199 * PX, "target_px": target, "guard_px": 180 * PX}
    bench.approve(**pair)
    [sent] = bench.asked(Submit)
    assert (sent.request.take_profit, sent.request.stop_loss) == ("199", "180")
