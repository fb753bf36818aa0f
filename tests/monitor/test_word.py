"""A word leaves without anybody waiting for it, once for its code, and carries its secrets in no argument."""

import json
import logging
import subprocess
import threading
from typing import Any

import pytest

from pyrt.monitor import word
from pyrt.monitor.word import Word

PATIENCE = 60.0  # s, against hanging alone


class Programs:
    """In place of programs: keeps what they were given, and begins none before it may."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.told: list[dict[str, str]] = []
        self.argv: list[str] = []
        self.may, self.came = threading.Event(), threading.Semaphore(0)
        self._fails = fails

    def run(self, argv: list[str], *, input: bytes, **_: Any) -> None:
        self.may.wait(PATIENCE)
        try:
            if self._fails is not None:
                raise self._fails
            self.argv += argv
            self.told.append(json.loads(input))
        finally:
            self.came.release()


def programs(monkeypatch: pytest.MonkeyPatch, fails: Exception | None = None) -> Programs:
    made = Programs(fails)
    monkeypatch.setattr(word.subprocess, "run", made.run)
    return made


def test_who_sends_a_word_does_not_wait_for_the_disk_that_its_program_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    there = programs(monkeypatch)
    sent = Word("the ways, and a-secret")
    sent.say("SWEEP", "a test")
    sent.say("SWEEP", "the same again")
    sent.say("OTHER", "another")
    assert not there.told  # and we are here
    there.may.set()
    assert there.came.acquire(timeout=PATIENCE)
    assert there.came.acquire(timeout=PATIENCE)
    assert sorted(told["code"] for told in there.told) == ["OTHER", "SWEEP"]
    assert {told["alerts"] for told in there.told} == {"the ways, and a-secret"}
    assert "a-secret" not in " ".join(there.argv)


def test_without_alerts_nobody_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word.threading, "Thread", lambda **_: pytest.fail("a thread was begun"))
    Word("").say("SWEEP", "a test")


@pytest.mark.parametrize("fails", [OSError(12, "no memory"), subprocess.CalledProcessError(1, "a-secret")])
def test_a_program_that_does_not_start_or_fails_is_logged(
    fails: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    programs(monkeypatch, fails).may.set()
    with caplog.at_level(logging.ERROR):
        word._bring(b"{}")
    assert caplog.messages == [f"the word was not brought: {type(fails).__name__}"]


def test_a_machine_without_threads_costs_the_word_alone(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    class NoMore:
        def __init__(self, **_: Any) -> None: ...

        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(word.threading, "Thread", NoMore)
    with caplog.at_level(logging.ERROR):
        Word("ways").say("SWEEP", "a test")
    assert caplog.messages == ["nobody hears of SWEEP: can't start new thread"]
