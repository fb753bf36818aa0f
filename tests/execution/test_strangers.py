"""What others hold in the same account: contracts and pairs are booked by their own terms, not by a share's."""

import msgspec
import pytest
from tests.reference.bench import ACCOUNT, EPOCH, SHARE, Bench, order, position, update

from pyrt.clock import SECOND
from pyrt.model import AssetClass, Defined, PositionAdjusted

CALL = "AAPL260320C00190000"


@pytest.mark.parametrize(
    ("symbol", "kind", "worth"),
    [(CALL, AssetClass.OPTION, 100), ("BTC/USD", AssetClass.CRYPTO, 1), ("BRK.B", AssetClass.US_EQUITY, 1)],
)
def test_an_opening_position_costs_what_its_terms_say(symbol: str, kind: AssetClass, worth: int) -> None:
    bench = Bench()
    parts = {"positions": (position("2", symbol),)}
    bench.start(**parts)
    bench.fire("execution.snapshot")
    bench.snapshot(**parts)
    [fact] = bench.told(Defined)
    assert (fact.instrument.symbol, fact.instrument.asset_class, fact.instrument.multiplier) == (symbol, kind, worth)
    [opening] = bench.told(PositionAdjusted)
    assert (opening.qty, opening.cost) == (2 * SHARE, 2 * 150 * SECOND * worth)


def test_the_cash_of_somebodys_contract_is_explained(bench: Bench) -> None:
    """A contract at 5.10 costs 510: taken for a share, 504.90 of it would close the account's latch."""
    shown = order(
        id="h", cid="human", symbol=CALL, qty="1", filled_qty="1", limit_price="5.1", status="filled", created_at=EPOCH + SECOND
    )
    bench.on(update("fill", shown, price="5.1", qty="1", ts=EPOCH + SECOND))
    account = msgspec.structs.replace(ACCOUNT, cash="490")
    for _ in range(2):
        bench.t += 10 * SECOND
        bench.fire("execution.snapshot" if "execution.snapshot" in bench.timers else "execution.reconcile")
        bench.snapshot(account=account, positions=(position("1", CALL),))
        assert bench.codes() == []
    assert bench.engine.positions[2] == SHARE
