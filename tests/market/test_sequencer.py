"""Snapshot and deltas: joined by the venue's ids, gaps found, resynchronised (recorded days: tests/real)."""

import random

import numpy as np
import pytest

from pyrt._core.book import OrderBook
from pyrt._core.types import Action, Flag, GapCause, RecordType, delta_dtype, gap_dtype, market_dtype
from pyrt.market import Sequencer


def event(first, last, levels, ts=1):
    """One event: levels of (side, px, qty)."""
    rows = [(*level, Action.SET) for level in levels] or [(0, 0, 0, Action.NOTHING)]
    return _rows(rows, first, last, ts)


def snapshot(update_id, levels, ts=1):
    return _rows([(0, 0, 0, Action.CLEAR), *((*level, Action.SET) for level in levels)], update_id, update_id, ts)


def _rows(rows, first, last, ts):
    out = np.zeros(len(rows), delta_dtype)
    out["type"], out["instrument"], out["ts_event"] = RecordType.DELTA, 1, ts
    out["update_id"], out["span"] = last, last - first
    for i, (side, px, qty, action) in enumerate(rows):
        out[i]["side"], out[i]["px"], out[i]["qty"], out[i]["action"] = side, px, qty, action
    out["flags"][-1] = Flag.LAST
    return out.view(market_dtype)


def ids(records):
    """What was let through: the last id of each event, or "gap"."""
    out = []
    for record in records.view(delta_dtype):
        if record["type"] == RecordType.GAP:
            out.append("gap")
        elif record["flags"] & Flag.LAST:
            out.append(int(record["update_id"]))
    return out


def test_joins_a_snapshot_by_the_venues_rule():
    s = Sequencer(1)
    assert not s.wanted
    for first, last in ((1, 5), (6, 8), (9, 12), (13, 13)):
        assert len(s.on_deltas(event(first, last, [(1, 10, last)]))) == 0
    assert s.wanted
    assert ids(s.on_snapshot(snapshot(10, [(1, 10, 1)]))) == [10, 12, 13]  # 9..12 holds 11
    assert s.live
    assert not s.wanted
    assert s.stale == 2
    assert ids(s.on_deltas(np.concatenate([event(14, 20, []), event(21, 21, [(2, 11, 1)])]))) == [20, 21]


def test_a_snapshot_that_ends_where_an_event_ends():
    s = Sequencer(1)
    s.on_deltas(event(1, 5, []))
    s.on_deltas(event(6, 8, []))
    assert ids(s.on_snapshot(snapshot(5, []))) == [5, 8]
    s = Sequencer(1)
    s.on_deltas(event(1, 5, []))
    assert ids(s.on_snapshot(snapshot(9, []))) == [9]
    assert ids(s.on_deltas(event(6, 9, []))) == []  # the book is newer
    assert ids(s.on_deltas(event(10, 12, []))) == [12]


def test_a_snapshot_too_old_is_not_taken():
    s = Sequencer(1)
    s.on_deltas(event(20, 25, []))
    assert ids(s.on_snapshot(snapshot(18, []))) == []
    assert s.wanted
    assert ids(s.on_snapshot(snapshot(19, []))) == [19, 25]


def test_the_first_event_after_the_snapshot_may_reach_back():
    s = Sequencer(1)
    assert ids(s.on_snapshot(snapshot(10, []))) == [10]
    assert ids(s.on_deltas(event(8, 12, []))) == [12]
    assert ids(s.on_deltas(event(12, 13, []))) == ["gap"]  # later ones may not


def test_a_gap_stops_the_book_until_it_is_whole():
    s = Sequencer(1)
    s.on_snapshot(snapshot(10, []))
    out = s.on_deltas(np.concatenate([event(11, 12, [], ts=50), event(15, 16, [], ts=60), event(17, 18, [], ts=70)]))
    assert ids(out) == [12, "gap"]
    gap = out[-1:].view(gap_dtype)[0]
    assert (gap["missed"], gap["from_ts"], gap["to_ts"], gap["ts_event"], gap["cause"]) == (2, 50, 0, 60, GapCause.SEQUENCE)
    assert s.wanted
    assert ids(s.on_deltas(event(19, 19, []))) == []
    assert ids(s.on_snapshot(snapshot(16, []))) == [16, 18, 19]
    assert s.gaps == 1
    assert s.live


def test_futures_chain_by_the_previous_id():
    """pu in the span: an event covers (pu, u], whatever its own first id says."""
    s = Sequencer(1)
    chain = [(100, 117), (117, 140), (140, 155)]
    for pu, u in chain:
        s.on_deltas(event(pu + 1, u, []))
    assert ids(s.on_snapshot(snapshot(120, []))) == [120, 140, 155]
    assert ids(s.on_deltas(event(156, 170, []))) == [170]
    assert ids(s.on_deltas(event(175, 180, []))) == ["gap"]


def test_without_ids_everything_waits_for_the_whole():
    s = Sequencer(1, ids=False)
    assert len(s.on_deltas(event(0, 0, [(1, 10, 1)]))) == 0
    assert s.dropped == 1
    out = s.on_deltas(np.concatenate([event(0, 0, [(1, 9, 1)]), snapshot(0, [(1, 10, 1)]), event(0, 0, [(1, 10, 0)])]))
    assert len(out) == 3
    assert s.live
    gap = s.lost(GapCause.DISCONNECT, ts=99)
    assert gap["type"][0] == RecordType.GAP
    assert not s.wanted  # such a venue sends the whole by itself
    assert len(s.on_deltas(event(0, 0, [(1, 11, 1)]))) == 0
    assert len(s.on_deltas(snapshot(0, []))) == 1


def test_an_event_in_parts_is_held_together():
    s = Sequencer(1)
    s.on_snapshot(snapshot(10, []))
    whole = event(11, 12, [(1, 1, 1), (1, 2, 1), (1, 3, 1)])
    assert len(s.on_deltas(whole[:2])) == 0
    assert len(s.on_deltas(whole[2:])) == 3


def test_what_waits_is_bounded():
    s = Sequencer(1, most=10)
    for i in range(30):
        s.on_deltas(event(i, i, [(1, 1, 1)]))
    assert s.dropped == 20
    assert ids(s.on_snapshot(snapshot(5, []))) == []
    assert s.wanted
    assert len(ids(s.on_snapshot(snapshot(25, [])))) == 5


@pytest.mark.row("S021")
@pytest.mark.parametrize("seed", range(5))
def test_any_loss_is_noticed_and_mended(seed):
    """Whatever is lost or comes twice: a book that does not say GAP equals the truth."""
    rng = random.Random(seed)
    truth, ours, s = OrderBook(1), OrderBook(1), Sequencer(1)
    update_id, checked = 0, 0
    for _ in range(1_500):
        first, update_id = update_id + 1, update_id + rng.randint(1, 4)
        e = event(
            first, update_id, [(rng.choice((1, 2)), rng.randint(1, 3_000), rng.randint(0, 3)) for _ in range(rng.randint(0, 3))]
        )
        truth.apply(e)
        if rng.random() < 0.03:
            continue
        for _ in range(1 + (rng.random() < 0.05)):
            ours.apply(s.on_deltas(e))
        if s.wanted and rng.random() < 0.3:
            sides = zip((1, 2), truth.depth(9_999), strict=True)
            ours.apply(s.on_snapshot(snapshot(update_id, [(side, *level) for side, levels in sides for level in levels.tolist()])))
        if s.live and ours.update_id == update_id and not ours.flags & Flag.GAP:
            checked += 1
            assert [a.tolist() for a in ours.depth(9_999)] == [a.tolist() for a in truth.depth(9_999)]
    assert checked > 500
    assert s.gaps > 10
