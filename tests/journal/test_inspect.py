"""A journal from outside: whole, damaged or none, and what it says."""

import json

from tests.journal.facts import fill, intended
from tests.journal.test_journal import SIZE, appending_child, spoil

from pyrt._core import log
from pyrt.journal import Journal, inspect
from pyrt.ports import Sync


def written(directory):
    with Journal.open(directory, segment_size=SIZE) as journal:
        for n in range(1, 30):
            journal.append(intended(n), Sync.SOON, n)
        journal.append(fill(1, 5, 5), Sync.SOON, 30)


def test_a_whole_journal(tmp_path):
    written(tmp_path)
    verdict = inspect.verify(tmp_path)
    assert (verdict.exit, verdict.facts, verdict.segments, verdict.closed) == (0, 30, 1, True)
    shown = list(inspect.show(tmp_path, after=28))
    assert shown == [(29, 29, intended(29)), (30, 30, fill(1, 5, 5))]
    lines = [json.loads(line) for line in inspect.export(tmp_path)]
    assert [x["seq"] for x in lines] == list(range(1, 31))
    assert lines[-1]["fact"]["kind"] == "Filled"


def test_one_in_use_and_one_that_was_killed(tmp_path):
    with Journal.open(tmp_path / "a", segment_size=SIZE) as journal:
        journal.append(intended(1), Sync.BEFORE_ACT, 0)
        journal.sync(60)
        verdict = inspect.verify(tmp_path / "a")
        assert (verdict.exit, verdict.facts, verdict.closed) == (0, 1, False)
    appending_child(tmp_path / "b", groups=20).communicate()
    verdict = inspect.verify(tmp_path / "b")
    assert verdict.exit == 0
    assert "not closed" in verdict.text


def test_a_torn_end_is_told_and_damage_is_an_exit_code(tmp_path):
    written(tmp_path)
    path = tmp_path / "00000001.journal"
    with path.open("r+b") as file:
        file.seek(log.PAGE + 8000)
        file.write(b"half a record")
    verdict = inspect.verify(tmp_path)
    assert (verdict.exit, verdict.torn) == (0, True)
    assert "cut short" in verdict.text
    spoil(path, log.PAGE + 300)
    verdict = inspect.verify(tmp_path)
    assert verdict.exit == 1
    assert "00000001.journal" in verdict.text


def test_no_journal_and_one_of_the_future(tmp_path):
    assert inspect.verify(tmp_path).exit == 2
    journal = Journal.open(tmp_path, segment_size=SIZE)
    journal._append(999, b"from the future", 0, True, 1)
    journal.close()
    verdict = inspect.verify(tmp_path)
    assert verdict.exit == 2
    assert "unknown kind 999" in verdict.text
