"""A journal that fails halts, and the halt is found by the next start although no journal could hold it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.live import test_runner
from tests.live.test_runner import play

from pyrt.journal import Journal, inspect
from pyrt.live import halt
from pyrt.live.control import REQUEST, KillRequest
from pyrt.model import Latched
from pyrt.monitor import Level, RiskPage

venue = test_runner.venue  # the fixture: a venue in this process


@pytest.fixture
def journals(monkeypatch: pytest.MonkeyPatch) -> list[Journal]:
    """Every journal that is opened."""
    opened: list[Journal] = []
    was = Journal.open.__func__  # type: ignore[attr-defined]

    def open_(cls: type[Journal], *arguments: Any, **options: Any) -> Journal:
        opened.append(was(cls, *arguments, **options))
        return opened[-1]

    monkeypatch.setattr(Journal, "open", classmethod(open_))
    return opened


def latches(tmp_path: Path) -> list[Latched]:
    return [fact for _, _, fact in inspect.show(tmp_path / "journal") if isinstance(fact, Latched)]


def broken(journals: list[Journal]) -> Any:
    return lambda s: journals[-1]._fail(OSError(28, "No space left on device"))


@pytest.mark.row("S108")
def test_the_next_start_is_halted_until_a_human_resumes(tmp_path: Path, journals: list[Journal]) -> None:
    first = play(tmp_path, broken(journals))
    assert "No space left" in first.failed
    assert latches(tmp_path) == []
    request = msgspec.json.decode((tmp_path / REQUEST).read_bytes(), type=KillRequest)
    assert (request.level, request.scope, request.who) == ("HALTED", "system", "journal")
    summary = play(tmp_path, duration=0.5)
    assert (summary.failed, summary.orders) == ("", 0)
    [latch] = latches(tmp_path)
    assert (latch.level, latch.scope, latch.who) == ("HALTED", "system", "journal")
    assert "No space left" in latch.reason
    assert not (tmp_path / REQUEST).exists()
    assert play(tmp_path, duration=0.3).orders == 0  # the journal holds it now
    assert len(latches(tmp_path)) == 1


def test_a_disk_that_takes_not_even_that_leaves_the_page(
    tmp_path: Path, journals: list[Journal], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_disk(*arguments: Any) -> None:
        raise OSError(5, "Input/output error")

    def fails(strategy: Any) -> None:
        monkeypatch.setattr(halt.os, "pwrite", no_disk)
        broken(journals)(strategy)

    play(tmp_path, fails)
    monkeypatch.undo()
    assert "the halt was not written (Input/output error)" in caplog.text
    assert not (tmp_path / REQUEST).exists()
    test_runner.link = test_runner.Link()
    play(tmp_path, duration=0.3)
    [latch] = latches(tmp_path)
    assert (latch.level, latch.who) == ("HALTED", "risk page")


def test_the_note_takes_no_room_and_does_not_replace_a_request(tmp_path: Path) -> None:
    page = RiskPage.create(tmp_path)
    try:
        note = halt.HaltNote(tmp_path, page)
        assert (tmp_path / halt.SPARE).stat().st_blocks * 512 >= halt.SIZE
        (tmp_path / REQUEST).write_bytes(b"{}")
        note.tell("first")
        note.tell("second")
        note.close()
        assert (tmp_path / REQUEST).read_bytes() == b"{}"
        assert page.level == Level.HALTED
    finally:
        page.close()


def test_a_kill_that_the_journal_does_not_hold_stays_asked_for(tmp_path: Path, journals: list[Journal]) -> None:
    def fails_then_killed(strategy: Any) -> None:
        broken(journals)(strategy)
        (tmp_path / REQUEST).write_bytes(b'{"why": "now"}')

    play(tmp_path, fails_then_killed)
    assert (tmp_path / REQUEST).exists()
    test_runner.link = test_runner.Link()
    play(tmp_path, duration=0.3)
    assert [latch.level for latch in latches(tmp_path)][-1] in ("KILLED", "HALTED")


def test_a_halt_of_the_page_is_found_beside_a_weaker_request(tmp_path: Path, journals: list[Journal]) -> None:
    def asked_then_fails(strategy: Any) -> None:
        (tmp_path / REQUEST).write_bytes(b'{"level": "REDUCING", "scope": "AAPL"}')
        broken(journals)(strategy)

    play(tmp_path, asked_then_fails)
    test_runner.link = test_runner.Link()
    play(tmp_path, duration=0.5)
    assert {(latch.level, latch.scope) for latch in latches(tmp_path)} == {("HALTED", "system"), ("REDUCING", "instrument:1")}
    assert not (tmp_path / REQUEST).exists()


def test_a_note_that_was_cut_short_before_its_name_is_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = RiskPage.create(tmp_path)
    try:
        note = halt.HaltNote(tmp_path, page)
        with monkeypatch.context() as patch:
            patch.setattr(halt, "unread", lambda *names: 1 / 0)  # the power goes
            with pytest.raises(ZeroDivisionError):
                note._write("no disk")
        assert not (tmp_path / REQUEST).exists()
        halt.HaltNote(tmp_path, page)
        assert msgspec.json.decode((tmp_path / REQUEST).read_bytes(), type=KillRequest).why == "no disk"
        assert (tmp_path / halt.SPARE).read_bytes() == bytes(halt.SIZE)
    finally:
        page.close()


def test_a_request_that_cannot_be_read_stops_everything_once(tmp_path: Path) -> None:
    (tmp_path / REQUEST).mkdir()  # as little to be read, or removed, as a file of root's
    assert play(tmp_path, duration=0.5).orders == 0
    [latch] = latches(tmp_path)
    assert (latch.level, latch.scope) == ("KILLED", "system")
    assert "cannot be read" in latch.reason
