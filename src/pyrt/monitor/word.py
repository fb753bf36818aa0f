"""A word to the alerts from a process that must wait for nothing: another process brings it, and outlives whoever sent it."""

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

from pyrt.process import bare_environment

log = logging.getLogger("pyrt.word")
BIRTH = "import sys; sys.path.append(sys.argv[1]); from pyrt.live.sweep_alert import main; main()"
PATIENCE = 120.0  # s for the other process


class Word:
    """alerts: as pyrt.live.sweep_alert wrote them, with their secrets; "" = nobody is to hear. A word is sent once for its code."""

    def __init__(self, alerts: str) -> None:
        self._alerts = alerts
        self._said: set[str] = set()

    def say(self, code: str, text: str) -> None:
        """Send it; never waits and never raises."""
        if not self._alerts or code in self._said:
            return
        self._said.add(code)
        line = json.dumps({"alerts": self._alerts, "code": code, "text": text}).encode()
        try:  # a thread of its own: starting a program reads a disk, which may be what hangs
            threading.Thread(target=_bring, args=(line,), name="word", daemon=True).start()
        except RuntimeError as e:
            log.error("nobody hears of %s: %s", code, e)


def _bring(line: bytes) -> None:
    argv = [sys.executable, "-P", "-c", BIRTH, str(Path(__file__).resolve().parents[2])]
    try:
        subprocess.run(
            argv,
            input=line,
            stdout=subprocess.DEVNULL,
            env=bare_environment(),
            start_new_session=True,
            timeout=PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as e:  # its text would hold no secret, but its output may
        log.error("the word was not brought: %s", type(e).__name__)
