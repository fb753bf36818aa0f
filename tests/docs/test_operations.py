"""docs/operations.md as somebody types it, in its order; what needs root or a running systemd is left out."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.processes import call, environment
from tests.docs.test_examples import ROOT, blocks

PAGE = ROOT / "docs" / "operations.md"
PLACES = ("/etc/pyrt", "/var/lib/pyrt", "/backup")


def shown() -> list[str]:
    lines = [line for _, text in blocks(PAGE, "sh") for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith(("sudo ", "systemd-analyze "))]


def test_every_verb_that_the_page_shows_is_run() -> None:
    assert all(line.startswith("pyrt ") for line in shown())
    assert {"service", "backup", "restore", "kill", "resume"} <= {line.split()[1] for line in shown()}


@pytest.mark.row("S122")
def test_the_commands_of_the_page(tmp_path: Path) -> None:
    def session() -> None:
        argv = [sys.executable, "-m", "pyrt", "run", "--for", "1s", "--no-view", "--journal", f"{tmp_path}/var/lib/pyrt/session"]
        done = subprocess.run(argv, capture_output=True, text=True, env=environment(tmp_path), timeout=120, check=False)
        assert done.returncode == 0, done.stderr

    for place in PLACES:
        (tmp_path / place.lstrip("/")).mkdir(mode=0o700, parents=True)
    session()
    for line in shown():
        here = re.sub(r"(?<![\w.])(/etc/pyrt|/var/lib/pyrt|/backup)\b", lambda m: f"{tmp_path}{m[1]}", line)
        command, _, target = here.partition(" > ")
        verb, *words = shlex.split(command.removeprefix("pyrt "))
        # Here no venue answers any more: nobody to compare with, or to prove that nothing works there.
        more = {"report": (3,), "kill": (3,)}.get(verb, ())
        done = call(tmp_path, verb, *words, *(("--wait", "0") if verb == "kill" else ()))
        assert done.returncode in (0, *more), f"{line}\n{done.stdout}\n{done.stderr}"
        if target:
            (tmp_path / target).write_text(done.stdout)
        if verb == "kill":
            session()  # which finds it
    assert (tmp_path / "pyrt.service").read_text().startswith("# pyrt.service")
