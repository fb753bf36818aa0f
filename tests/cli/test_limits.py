"""`pyrt limits`: what is in force, tightened at once, loosened by a token, and held from end to end."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.processes import call, running

from pyrt.journal import Journal
from pyrt.journal.inspect import show
from pyrt.model import Filled, Intended, LimitsSet, Refused
from pyrt.ports import Sync
from pyrt.risk import Limits

TRADER = """
from pyrt.strategies import Strategy


class Trader(Strategy):
    symbols = ("AAPL",)
    interval = "1s"
    bought = False

    def on_quote(self, quote):
        if not self.bought:
            self.bought = True
            self.buy("AAPL", 50)

    def on_bar(self, bar):
        if self.position("AAPL").quantity:
            self.buy("AAPL", 1, limit=round(bar.close * 0.95, 2))
            self.sell("AAPL", 1, limit=round(bar.close * 1.05, 2))
"""


def versions(state: Path) -> list[LimitsSet]:
    return [fact for _, _, fact in show(state / "journal") if isinstance(fact, LimitsSet)]


@pytest.mark.row("S047")
def test_limits_change_in_a_running_session_and_below_the_position_only_exits_pass(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (tmp_path / "trader.py").write_text(TRADER, encoding="utf-8")
    who = ("--who", "anna", "--why", "test", "--state", str(state))
    with running(tmp_path, "--sim-state", str(state), "--strategy", str(tmp_path / "trader.py"), "--seed", "3"):
        _until(lambda: any(isinstance(f, Filled) for f in _facts(state)))
        done = call(tmp_path, "limits", "set", "max_position_qty=20", "max_order_qty=60", *who)
        assert done.stdout == "limits version 2 is in force (by the running session)\n", done.stderr
        seen = json.loads(call(tmp_path, "limits", "show", "--json", "--state", str(state)).stdout)
        assert (seen["version"], seen["who"], seen["limits"]["max_position_qty"]) == (2, "anna", "20")
        _until(lambda: _sides_after(state, 2) == {(Refused, 1), (Intended, 2)})  # buys refused, sells go
        looser = call(tmp_path, "limits", "set", "max_position_qty=100", "max_order_qty=50", *who)
        assert looser.returncode == 1
        assert "looser: max_position_qty\n" in looser.stderr
        token = looser.stderr.split()[-1]
        assert len(versions(state)) == 2
        wrong = call(tmp_path, "limits", "set", "max_position_qty=101", "max_order_qty=50", *who, "--confirm", token)
        assert wrong.returncode == 1
        assert token not in wrong.stderr
        done = call(tmp_path, "limits", "set", "max_position_qty=100", "max_order_qty=50", *who, "--confirm", token)
        assert done.stdout == "limits version 3 is in force (by the running session)\n", done.stderr
        _until(lambda: (Intended, 1) in _sides_after(state, 3))
    assert [(f.version, f.who, f.why) for f in versions(state)] == [
        (1, "configuration", "start"),
        (2, "anna", "test"),
        (3, "anna", "test"),
    ]


def test_limits_change_in_a_journal_that_nobody_owns_and_a_start_keeps_them(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running(tmp_path, "--sim-state", str(state)):
        pass
    where = ("--state", str(state))
    done = call(tmp_path, "limits", "set", "max_order_qty=7", "symbols.AAPL.collar_bps=100", "--who", "anna", "--why", "x", *where)
    assert done.stdout == "limits version 2 is in force (in the journal)\n", done.stderr
    shown = call(tmp_path, "limits", "show", *where).stdout
    assert shown.startswith("# version 2, by anna: x\n")
    assert 'max_order_qty = "7"\n' in shown
    assert 'max_var = "off"\n' in shown
    assert 'symbols = {"AAPL":{"collar_bps":100}}\n' in shown
    looser = call(tmp_path, "limits", "set", "max_order_qty=8", "--who", "anna", "--why", "x", *where)
    token = looser.stderr.split()[-1]
    assert looser.returncode == 1
    with running(tmp_path, "--sim-state", str(state), until="LIMITS_KEPT"):
        pass
    assert len(versions(state)) == 2
    done = call(tmp_path, "limits", "set", "max_order_qty=8", "--who", "anna", "--why", "x", *where, "--confirm", token)
    assert done.stdout == "limits version 3 is in force (in the journal)\n", done.stderr
    assert json.loads(call(tmp_path, "limits", "show", "--json", *where).stdout)["limits"]["symbols"] == {
        "AAPL": {"collar_bps": 100}
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("max_order_qty=1", "--who", " ", "--why", "x"), "name and a reason"),
        (("max_ordr_qty=1", "--who", "a", "--why", "x"), "did you mean 'max_order_qty'"),
        (("max_order_qty=many", "--who", "a", "--why", "x"), "max_order_qty"),
        (("max_order_qty", "--who", "a", "--why", "x"), "NAME=VALUE"),
        (("--who", "a", "--why", "x"), "nothing to change"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    _journal(state)
    done = call(tmp_path, "limits", "set", *arguments, "--state", str(state))
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def _journal(state: Path) -> None:
    with Journal.open(state / "journal") as journal:
        fact = LimitsSet(version=1, limits=Limits.profile("paper").canonical(), who="configuration", why="start", ts=1)
        journal.append(fact, Sync.BEFORE_ACT, 1)
        journal.sync()


def _facts(state: Path) -> list[object]:
    return [fact for _, _, fact in show(state / "journal")]


def _sides_after(state: Path, version: int) -> set[tuple[type, int]]:
    facts = _facts(state)
    at = next(n for n, f in enumerate(facts) if isinstance(f, LimitsSet) and f.version == version)
    return {(type(f), int(f.intent.side)) for f in facts[at:] if isinstance(f, Refused | Intended)}


def _until(condition: Callable[[], Any]) -> None:
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)
