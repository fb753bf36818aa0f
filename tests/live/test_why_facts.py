"""Decisions made again on the facts of a journal alone: what facts decide comes out as it was recorded."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.e2e.one_process import World

from pyrt.clock import Now
from pyrt.errors import ConfigError
from pyrt.journal.inspect import show
from pyrt.live.why_facts import Fold, find_order, quiet_by_facts, told_by_facts
from pyrt.model import Filled, Intended, Latched, Refused
from pyrt.ports import Command, Kill, Withdraw

TIGHT = {
    "max_order_qty": 60,
    "max_position_qty": 100,
    "max_open_orders": 4,
    "max_order_notional": 5_500,
    "max_daily_loss": 40,
    "repeat_max": 5,
    "restricted": ("MSFT",),
}


def acts_of(chance: Random) -> Iterator[tuple[Any, ...]]:
    """A day of one strategy."""
    for _ in range(45):
        kind = chance.choices(("order", "quote", "later", "cancel", "replace", "kill"), (20, 12, 8, 3, 3, 0.4))[0]
        if kind == "order":
            side, symbol = chance.choice(("buy", "buy", "sell")), chance.choices(("AAPL", "MSFT"), (15, 1))[0]
            yield kind, side, symbol, chance.choice((3, 10, 25, 54, 70)), chance.choice((None, "99.5", "100", "100.5", "120"))
        elif kind == "quote":
            yield kind, chance.randint(9_950, 10_050) if chance.random() < 0.9 else chance.randint(9_000, 11_000)
        elif kind == "later":
            yield kind, chance.choice((0.01, 0.3, 3.0, 60.0))
        elif kind == "replace":
            yield kind, chance.choice((2, 20, 40, 80))
        else:
            yield (kind, chance.choice(("REDUCING", "HALTED"))) if kind == "kill" else (kind,)


class Traded(World):
    """A world whose requests arrive at once: there is nothing to withdraw."""

    def perform(self, command: Command) -> None:
        if not isinstance(command, Withdraw):
            super().perform(command)


def act(world: World, orders: list[Any], what: tuple[Any, ...]) -> None:
    kind, *given_ = what
    world.now = Now(world.now.venue + 1, world.now.mono + 1)  # as in life no two entries have one instant
    if kind == "order":
        verb, symbol, qty, limit = given_
        orders += world.do(lambda: getattr(world.hand, verb)(symbol, qty, limit=limit))
    elif kind == "quote":
        world.quote("AAPL", f"{given_[0] / 100:.2f}", f"{(given_[0] + 2) / 100:.2f}")
    elif kind == "later":
        world.later(given_[0])
    elif kind == "kill":
        world.tell(Kill(level=given_[0], scope="account", reason="to see", who="a test"))
    elif orders and kind == "cancel":
        world.do(lambda: world.hand.cancel(orders[-1]))
    elif orders and kind == "replace" and not orders[-1].is_done:
        world.do(lambda: world.hand.replace(orders[-1], quantity=given_[0]))


def played(directory: Path, acts: Iterable[tuple[Any, ...]]) -> None:
    world = Traded(directory, TIGHT)
    orders: list[Any] = []
    for what in acts:
        act(world, orders, what)
    world.close()


@pytest.mark.row("X05")
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32))
def test_what_facts_decide_comes_out_as_it_was(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    directory = tmp_path_factory.mktemp("w")
    played(directory, acts_of(Random(seed)))
    fold = Fold(directory)
    for _, ts, fact in show(directory):
        if isinstance(fact, Intended | Refused):
            rerun = fold.decide(fact, ts)
            assert not rerun.different, (fact, rerun)
            if isinstance(fact, Refused):
                assert rerun.recorded == [b.code for b in fact.breaches]
                sure = {"ORDER_QTY", "RESTRICTED", "KILLED", "SHORT_NOT_ALLOWED"}
                assert rerun.may_change or sure & {*rerun.recorded} <= {*rerun.shown}
        fold.take(fact)


def test_an_order_is_found_by_each_of_its_names_and_its_exits_with_it(tmp_path: Path) -> None:
    world = Traded(tmp_path)
    world.do(lambda: world.hand.buy("AAPL", 5, limit="90"))
    world.do(lambda: world.hand.buy("AAPL", 7, limit="100.02", take_profit="110", stop_loss="95"))
    venue = world.at_venue()
    world.close()
    rows = list(show(tmp_path))
    numbers = [fact.number for _, _, fact in rows if isinstance(fact, Intended)]
    assert find_order(str(numbers[1]), rows).fact.number == numbers[1]
    for exit_ in (numbers[1] + 1, numbers[1] + 2):
        found = find_order(str(exit_), rows)
        assert (found.number, found.fact.number) == (exit_, numbers[1])
    for order in venue:
        found = find_order(order["id"], rows)
        assert found.fact.intent.qty == int(order["qty"]) * 10**9
        if found.number == found.fact.number:  # exits of a group have names of the venue's
            assert find_order(order["client_order_id"], rows) == found
    with pytest.raises(ConfigError, match="no such order"):
        find_order("4711", rows)
    told = told_by_facts(tmp_path, find_order(str(numbers[1]), rows))
    assert (told.before.position, told.before.open_orders, told.before.buys) == (0, 1, 5 * 10**9)
    assert told.limits is not None
    assert told.limits.version == told.found.fact.limits_version
    assert any(isinstance(fact, Filled) and fact.qty == 7 * 10**9 for _, _, fact in told.own)
    assert {fact.number for _, _, fact in told.own} == {*range(numbers[1], numbers[1] + 3)}


def test_what_was_refused_is_told_with_the_latch_and_the_numbers(tmp_path: Path) -> None:
    world = Traded(tmp_path, {"max_order_qty": 60})
    since = world.now.venue + 1
    world.later(1)
    world.do(lambda: world.hand.buy("AAPL", 61))
    world.later(1)
    world.tell(Kill(level="HALTED", scope="account", reason="to see", who="anna"))
    world.later(1)
    world.do(lambda: world.hand.buy("AAPL", 1))
    until = world.now.venue
    world.close()
    quiet = quiet_by_facts(tmp_path, "AAPL", since, until)
    assert quiet.limits is not None
    refused = [(fact, rerun) for _, fact, rerun in quiet.rows if isinstance(fact, Refused)]
    assert [(fact.breaches[0].code, fact.breaches[0].limit, fact.breaches[0].observed) for fact, _ in refused] == [
        ("ORDER_QTY", "60", "61"),
        ("KILLED", "0", "2"),  # levels: ACTIVE, HALTED
    ]
    assert [rerun.shown for _, rerun in refused if rerun is not None] == [["ORDER_QTY"], ["KILLED"]]
    assert [fact.who for _, fact, _ in quiet.rows if isinstance(fact, Latched)] == ["anna"]
    assert not [row for row in quiet_by_facts(tmp_path, "MSFT", since, until).rows if isinstance(row[1], Refused)]
