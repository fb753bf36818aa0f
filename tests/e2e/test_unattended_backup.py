"""The restore drill: a backup while it trades, more trading, the machine dies, the copy goes on; nothing is lost or doubled."""

import json
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.cli.processes import call
from tests.e2e.processes import Run, Venue, environment, wait_for

from pyrt._core.types import Side
from pyrt.execution import parse_cid
from pyrt.journal.inspect import show, verify
from pyrt.model import Defined, ExternalSeen, Filled, Intended, Latched, PositionAdjusted, Restored

Start = Callable[..., Run]


def pyrt(*arguments: str, status: int = 0) -> str:
    """A verb as a process of its own; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "pyrt", *arguments], capture_output=True, text=True, env=environment(), timeout=120, check=False
    )
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def facts(home: Path, *kinds: type) -> list[Any]:
    return [fact for _, _, fact in show(home / "journal") if isinstance(fact, kinds)]


def positions(home: Path) -> dict[str, Decimal]:
    """Shares that the journal's facts sum to."""
    names = {fact.instrument.id: fact.instrument for fact in facts(home, Defined)}
    held: Counter[int] = Counter()
    for fact in facts(home, Filled, PositionAdjusted):
        held[fact.instrument] += -fact.qty if isinstance(fact, Filled) and fact.side is Side.SELL else fact.qty
    return {names[i].symbol: names[i].quantity(qty) for i, qty in held.items() if qty}


def known_once(venue: Venue, home: Path, orders: list[dict[str, Any]]) -> None:
    """Every order of the venue is in the journal once, as an intent or as a stranger; no cid names two."""
    intended = [fact.number for fact in facts(home, Intended)]
    external = [fact.venue_order_id for fact in facts(home, ExternalSeen)]
    assert len(set(intended)) == len(intended)
    assert len(set(external)) == len(external)
    cids = [order["client_order_id"] for order in orders]
    assert len(set(cids)) == len(cids)
    for order in orders:
        parsed = parse_cid(order["client_order_id"])
        assert parsed is not None
        assert (parsed[1] in intended) != (order["id"] in external), order
    shown = {p["symbol"]: Decimal(p["qty"]) for p in venue.get("/v2/positions")}
    assert positions(home) == shown


def all_orders(venue: Venue) -> list[dict[str, Any]]:
    """Every order that the venue ever got, oldest first."""
    found: dict[str, dict[str, Any]] = {}
    after = "2000-01-01T00:00:00Z"
    while page := [
        o for o in venue.get("/v2/orders", status="all", limit=500, direction="asc", after=after) if o["id"] not in found
    ]:
        found |= {order["id"]: order for order in page}
        after = page[-1]["submitted_at"]
    return list(found.values())


def numbers(orders: list[dict[str, Any]]) -> list[int]:
    return [parsed[1] for order in orders if (parsed := parse_cid(order["client_order_id"]))]


@pytest.mark.row("S122")
def test_a_backup_of_a_running_session_goes_on_after_the_machine_died(
    venue: Venue, start: Start, busy: list[str], tmp_path: Path
) -> None:
    home, kept = tmp_path / "home", tmp_path / "kept" / "one"
    busy += ["--no-watchdog", "--snapshot-facts", "40"]
    run = start(*busy).until("trading:")
    wait_for(lambda: len(all_orders(venue)) > 20 and venue.open_orders(), "orders")
    said = pyrt("backup", str(kept), "--state", str(home))
    assert "up to record" in said
    before = len(facts(kept / "state", Intended))
    assert before
    assert run.process.poll() is None
    wait_for(lambda: max(numbers(all_orders(venue))) > before + 20 and venue.open_orders(), "orders after the backup")
    run.kill()
    lost = max(numbers(all_orders(venue)))
    shutil.rmtree(home)

    pyrt("restore", str(kept), "--state", str(home))
    assert verify(home / "journal").exit == 0
    assert max(fact.number for fact in facts(home, Intended)) <= before
    again = start(*busy).until("trading:")
    wait_for(lambda: any(f.code == "KILLED" or f.level == "HALTED" for f in facts(home, Latched)), "the halt")
    wait_for(lambda: not venue.open_orders(), "the end of orders that nobody knows any more")
    summary = again.end(signal.SIGINT)
    assert again.process.returncode == 0, again.log
    assert "unknown orders: 0   unexplained shares: 0" in summary
    assert max(numbers(all_orders(venue))) == lost  # nothing left while a human had not looked
    known_once(venue, home, all_orders(venue))

    pyrt("resume", "--who", "anna", "--why", "compared with the venue", "--state", str(home))
    third = start(*busy).until("trading:")
    wait_for(lambda: max(numbers(all_orders(venue))) > lost, "a new order")
    summary = third.end(signal.SIGINT)
    assert third.process.returncode == 0, third.log
    assert "unknown orders: 0   unexplained shares: 0" in summary
    orders = all_orders(venue)
    floor = facts(home, Restored)[0].number
    assert floor > lost
    assert all(number > floor for number in numbers(orders) if number > lost)
    known_once(venue, home, orders)
    assert "equal to those of a replay" in pyrt("journal", "verify", str(home))


def test_what_a_restore_refuses(venue: Venue, start: Start, busy: list[str], tmp_path: Path) -> None:
    def verb(*arguments: str, status: int = 0) -> str:
        done = call(tmp_path, *arguments)
        assert done.returncode == status, done.stderr
        return done.stderr

    home, kept = tmp_path / "home", tmp_path / "one"
    start(*busy).until("trading:").end(signal.SIGINT)
    verb("backup", str(kept), "--state", str(home))
    assert "is there already" in verb("backup", str(kept), "--state", str(home), status=1)
    assert "is not empty" in verb("restore", str(kept), status=1)  # where it came from
    assert "is no backup" in verb("restore", str(tmp_path), "--state", str(tmp_path / "new"), status=1)
    manifest = json.loads((kept / "manifest.json").read_text())
    segment = kept / "state" / "journal" / "00000001.journal"
    whole = segment.read_bytes()
    segment.write_bytes(whole[:5000] + b"x" + whole[5001:])
    assert "is not what the manifest names" in verb("restore", str(kept), "--state", str(tmp_path / "new"), status=1)
    segment.write_bytes(whole)
    (kept / "state" / "journal" / "00000002.journal").write_bytes(whole)
    assert "the manifest does not name it" in verb("restore", str(kept), "--state", str(tmp_path / "new"), status=1)
    assert not (tmp_path / "new").exists()
    (kept / "state" / "journal" / "00000002.journal").unlink()
    verb("restore", str(kept), "--state", str(tmp_path / "new"))
    assert manifest["head"]["seq"] < len(list(show(tmp_path / "new" / "journal"))) + 10
    assert verify(tmp_path / "new" / "journal").journal == manifest["head"]["journal"]
    assert not list(tmp_path.glob(".*.tmp"))
