"""Holes of the stream: what is asked for, what of it is news, and when an instrument is whole again."""

import sys
import tracemalloc

import numpy as np
import pytest

from pyrt._core.types import Flag, GapCause, RecordType, market_dtype, trade_dtype
from pyrt.clock import SECOND
from pyrt.market.backfill import MOST, Holes
from pyrt.market.sequencer import Records, gap_record
from pyrt.market.told import Keys, columns_of, untold

pytestmark = pytest.mark.row("S021")
T = 1_772_463_846 * SECOND


def trades(*rows: tuple[int, int], instrument: int = 1) -> Records:
    """Trades (id, seconds after T), as the venue tells them."""
    out = np.zeros(len(rows), trade_dtype)
    out["type"], out["instrument"], out["px"], out["qty"] = RecordType.TRADE, instrument, 10**9, 10**9
    out["trade_id"] = [number for number, _ in rows]
    out["ts_event"] = [T + at * SECOND for _, at in rows]
    return out


def stream(*rows: tuple[int, int], instrument: int = 1) -> Records:
    return trades(*rows, instrument=instrument).view(market_dtype)


def gap(last: int, at: int, instrument: int = 1, cause: GapCause = GapCause.DISCONNECT) -> Records:
    return gap_record(instrument, cause, ts=T + at * SECOND, from_ts=T + last * SECOND, to_ts=T + at * SECOND)


def tell(holes: Holes, records: Records) -> Records:
    records = holes.screen(records)
    holes.heard(records)
    return records


def begun() -> Holes:
    holes = Holes()
    holes.begin(T)
    return holes


def ids(records: Records) -> list[int]:
    return [int(t["trade_id"]) for t in records[records["type"] == RecordType.TRADE].view(trade_dtype)]


def test_only_what_was_not_told_is_fed_behind_the_word_that_all_is_known() -> None:
    holes = begun()
    tell(holes, stream((1, 10), (2, 18), (3, 20)))
    tell(holes, gap(20, 30))
    assert holes.due(T + 99 * SECOND) is None  # nobody said that the stream is up
    tell(holes, stream((7, 30)))
    holes.up(T + 30 * SECOND)
    assert holes.next_end == T + 31 * SECOND
    assert holes.due(T + 30 * SECOND) is None
    hole = holes.due(T + 31 * SECOND)
    assert hole is not None
    assert (hole.start, hole.end) == (T + 15 * SECOND, T + 31 * SECOND)
    out = holes.fill(hole, trades((2, 18), (3, 20), (4, 21), (5, 25), (7, 30)), T + 32 * SECOND)
    assert out["type"][0] == RecordType.GAP
    assert (out["flags"] & Flag.BACKFILLED).all()
    assert ids(out) == [4, 5]
    assert (holes.filled, holes.closed, holes.open) == (2, 1, 0)


def test_a_trade_of_next_year_does_not_keep_every_trade_until_then() -> None:
    holes = begun()
    for second in range(10, 100):
        told = trades(*((second * 4096 + n, 10**7 if second == 20 else second) for n in range(4096)))
        told["ts_recv"] = T + second * SECOND
        tell(holes, told.view(market_dtype))
        assert len(holes._recent) < 100_000
    tell(holes, gap(99, 120))
    holes.up(T + 120 * SECOND)
    hole = holes.due(T + 500 * SECOND)
    assert hole is not None
    out = holes.fill(hole, trades((98 * 4096, 98), (99 * 4096 + 7, 99), (7, 105)), T + 500 * SECOND)
    assert ids(out) == [7]  # what was told near the loss is known


def test_a_filling_holds_no_key_for_each_trade_of_a_busy_stream() -> None:
    many = 50_000
    holes = begun()
    told = stream(*((number, 10) for number in range(1, many + 1)))
    for at in range(0, many, 10):
        tell(holes, told[at : at + 10])
    tell(holes, gap(10, 11))
    holes.up(T + 12 * SECOND)
    hole = holes.due(T + 20 * SECOND)
    assert hole is not None
    asked = trades((1, 10), (many, 10), (many, 11), (many + 1, 11))
    tracemalloc.start()
    out = holes.fill(hole, asked, T + 20 * SECOND)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ids(out) == [many, many + 1]
    assert most < told.nbytes // 2  # a key of each would be more than twice what the trades are


def test_what_is_held_of_a_busy_stream_is_no_object_for_each_frame() -> None:
    """They came and went by thousands with each loss, and what lived on between them kept their memory from being given back."""
    holes = begun()
    frames = [stream(*((5 * at + n, 10 + at // 1000) for n in range(5))) for at in range(4000)]
    tell(holes, stream((0, 9)))
    before = sys.getallocatedblocks()
    for frame in frames[:2000]:
        tell(holes, frame)
    tell(holes, gap(11, 12))
    for frame in frames[2000:]:
        tell(holes, frame)
    assert len(holes._held) == 20_001
    assert sys.getallocatedblocks() - before < 200


def test_what_was_told_is_known_by_instrument_number_and_time() -> None:
    rng = np.random.default_rng(5)
    frames = [np.concatenate([trades(*rng.integers(0, 40, (3, 2)), instrument=which) for which in (1, 2)]) for _ in range(700)]
    asked = np.concatenate([trades(*rng.integers(0, 45, (400, 2)), instrument=which) for which in (1, 2, 3)])
    told = {(t["instrument"], t["trade_id"], t["ts_event"]) for frame in frames for t in frame}
    wanted = [n for n, t in enumerate(asked) if (t["instrument"], t["trade_id"], t["ts_event"]) not in told]
    assert 0 < len(wanted) < len(asked)
    keys = Keys()
    for frame in frames:
        keys.add(columns_of(frame), int(frame["ts_event"].max()))
    assert untold(asked, keys).tobytes() == asked[wanted].tobytes()
    assert untold(asked).tobytes() == asked.tobytes()
    assert len(untold(asked[:0], keys)) == 0


def test_where_nothing_was_lost_only_the_word_is_fed() -> None:
    holes = begun()
    tell(holes, stream((1, 18)))
    tell(holes, gap(18, 19))
    holes.up(T + 19 * SECOND)
    hole = holes.due(T + 99 * SECOND)
    assert hole is not None
    out = holes.fill(hole, trades((1, 18)), T + 99 * SECOND)
    assert out["type"].tolist() == [RecordType.GAP]
    assert holes.filled == 0


def test_what_a_filling_told_first_is_dropped_when_the_stream_tells_it() -> None:
    holes = begun()
    tell(holes, gap(20, 30))
    holes.up(T + 30 * SECOND)
    hole = holes.due(T + 99 * SECOND)
    assert hole is not None
    holes.heard(holes.fill(hole, trades((1, 25), (2, 31)), T + 31 * SECOND))
    assert ids(tell(holes, stream((2, 31), (3, 32)))) == [3]
    assert holes.told_again == 1
    tell(holes, stream((4, 200)))  # the stream is far beyond: nothing is remembered
    assert ids(tell(holes, stream((2, 31)))) == [2]


def test_a_stream_that_is_lost_every_half_minute_is_remembered_for_two() -> None:
    """Each filling put off the end of what the ones before it had told: the memory of it never ended."""
    holes = begun()
    for turn in range(200):
        at = 30 * turn
        tell(holes, stream((10 * turn, at)))
        tell(holes, gap(at, at + 2))
        holes.up(T + (at + 2) * SECOND)
        hole = holes.due(T + (at + 3) * SECOND)
        assert hole is not None
        holes.heard(holes.fill(hole, trades((10 * turn + 1, at + 1), (10 * turn + 2, at + 1)), T + (at + 3) * SECOND))
        last = 10 * turn + 2
        assert ids(tell(holes, stream((last, at + 1)))) == []
        assert len(holes._early) <= 2 * (120 // 30)
    assert holes.filled == 2 * 200
    assert holes.told_again == 200


def test_the_same_trade_id_at_another_instrument_is_another_trade() -> None:
    holes = begun()
    tell(holes, stream((1, 20)))
    for instrument in (1, 2):
        tell(holes, gap(20, 30, instrument))
    holes.up(T + 30 * SECOND)
    first = holes.due(T + 99 * SECOND, rank=lambda instrument: -instrument)  # the second comes first
    assert first is not None
    assert first.instrument == 2
    assert ids(holes.fill(first, trades((1, 20), instrument=2), T)) == [1]
    second = holes.due(T + 99 * SECOND)
    assert second is not None
    assert ids(holes.fill(second, trades((1, 20)), T)) == []


def test_losses_that_touch_are_one_hole_and_the_word_waits_for_the_last() -> None:
    holes = begun()
    tell(holes, stream((1, 20)))
    tell(holes, gap(20, 30))
    holes.up(T + 30 * SECOND)
    old = holes.due(T + 31 * SECOND)
    assert old is not None
    tell(holes, stream((2, 32)))
    tell(holes, gap(33, 40))  # lost again while the venue is asked
    out = holes.fill(old, trades((1, 20), (9, 26)), T + 41 * SECOND)
    assert out["type"].tolist() == [RecordType.TRADE]
    holes.heard(out)
    holes.up(T + 40 * SECOND)
    (new,) = [holes.due(T + 99 * SECOND)]
    assert new is not None
    assert (new.start, new.end) == (old.start, T + 41 * SECOND)
    out = holes.fill(new, trades((1, 20), (9, 26), (2, 32), (3, 36)), T + 41 * SECOND)
    assert ids(out) == [3]
    assert out["type"][0] == RecordType.GAP


def test_losses_apart_are_filled_one_by_one() -> None:
    holes = begun()
    for last in (20, 100):
        tell(holes, stream((last, last)))
        tell(holes, gap(last, last + 10))
        holes.up(T + (last + 10) * SECOND)
    assert holes.open == 2
    first = holes.due(T + 999 * SECOND)
    assert first is not None
    out = holes.fill(first, trades((20, 20), (21, 25)), T + 999 * SECOND)
    assert ids(out) == [21]
    assert RecordType.GAP not in out["type"]  # the other is not filled
    second = holes.due(T + 999 * SECOND)
    assert second is not None
    assert ids(holes.fill(second, trades((100, 100), (101, 105)), T + 999 * SECOND)) == [101]


def test_a_stream_that_lags_is_asked_from_its_newest_trade() -> None:
    holes = begun()
    tell(holes, stream((1, 20)))
    tell(holes, gap(50, 60, cause=GapCause.SLOW))  # something came until 50, and no trade after 20
    holes.up(T + 60 * SECOND)
    hole = holes.due(T + 99 * SECOND)
    assert hole is not None
    assert hole.start == T + 15 * SECOND


def test_what_came_before_the_beginning_is_not_asked_for() -> None:
    holes = Holes()
    tell(holes, gap(20, 30))
    holes.up(T + 30 * SECOND)
    tell(holes, gap(80, 90, 2))
    holes.up(T + 90 * SECOND)
    holes.begin(T + 78 * SECOND)
    hole = holes.due(T + 99 * SECOND)
    assert hole is not None
    assert (hole.instrument, hole.start) == (2, T + 78 * SECOND)
    assert holes.open == 1


def test_gaps_of_books_are_not_holes_of_trades() -> None:
    holes = begun()
    for cause in (GapCause.SEQUENCE, GapCause.CROSSED):
        tell(holes, gap(20, 30, cause=cause))
    word = gap(20, 30)
    word["flags"] = Flag.BACKFILLED
    tell(holes, word)
    assert holes.open == 0


def test_holes_that_cannot_be_filled_do_not_pile_up() -> None:
    holes = begun()
    for i in range(MOST + 3):
        tell(holes, stream((i, 100 * i + 20)))
        tell(holes, gap(100 * i + 20, 100 * i + 30))
        holes.up(T + (100 * i + 30) * SECOND)
    assert (holes.open, holes.abandoned) == (MOST, 3)


def test_a_stream_that_tells_without_ever_being_up_is_not_held_for_ever() -> None:
    holes = Holes(held=100)
    holes.begin(T)
    tell(holes, gap(20, 30))
    for at in range(30, 130):
        tell(holes, stream((at, at)))
    assert holes.open == 1
    tell(holes, stream((130, 130)))
    assert (holes.open, holes.abandoned, len(holes._held)) == (0, 1, 0)
    tell(holes, gap(130, 140))  # the next loss is looked after again
    holes.up(T + 150 * SECOND)
    hole = holes.due(T + 151 * SECOND)
    assert hole is not None
    assert ids(holes.fill(hole, trades((130, 130), (131, 135)), T + 152 * SECOND)) == [131]


def test_what_lies_before_every_hole_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses follow each other so that one hole at least is always open."""
    monkeypatch.setattr("pyrt.market.told._BLOCK", 16)
    holes, most = begun(), 0
    for turn in range(100):
        start = 20 * turn
        tell(holes, gap(start, start + 2, 1 + turn % 2))
        holes.up(T + (start + 2) * SECOND)
        for at in range(start + 2, start + 20):
            tell(holes, stream((at, at)))
        for hole in list(holes._holes.get(2 - turn % 2, [])):
            holes.fill(hole, trades(), T + (start + 19) * SECOND)
        most = max(most, len(holes._held))
        assert holes.open == 1
    assert most < 150
    assert holes.abandoned == 0


def test_what_was_held_for_holes_that_are_filled_does_not_count_against_the_next() -> None:
    holes = Holes(held=100)
    holes.begin(T)
    for start in range(0, 1000, 100):
        tell(holes, gap(start, start + 10))
        for at in range(start + 10, start + 90):
            tell(holes, stream((at, at)))
        holes.up(T + (start + 90) * SECOND)
        hole = holes.due(T + (start + 95) * SECOND)
        assert hole is not None
        holes.fill(hole, trades(), T + (start + 95) * SECOND)
    assert (holes.open, holes.abandoned, holes.closed) == (0, 0, 10)
