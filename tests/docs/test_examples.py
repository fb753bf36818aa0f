"""What the documents show is run: Python blocks in their order, strategies in a session, options against --help, links on disk."""

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from bench import material
from bench.material import SECOND, T0
from bench.rig import Shell, assemble, close_bars

from pyrt.clock import Now
from pyrt.strategies import Strategy

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "bench").glob("*.md"))]
VERB = r"(?:limits|journal|config) \w+|\w+"
GUIDE = ROOT / "docs" / "strategy.md"


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """(line, text) of a page's fenced blocks in a language."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
    return [(text[: match.start()].count("\n") + 2, match[1]) for match in found]


def run(page: Path) -> dict[str, Any]:
    """A page's Python blocks, one after the other, as a reader would type them."""
    names: dict[str, Any] = {"__name__": "example"}
    for line, text in blocks(page, "python"):
        exec(compile("\n" * (line - 1) + text, str(page), "exec"), names)
    return names


@pytest.mark.row("S043")
def test_the_guide_runs_and_its_strategies_trade() -> None:
    names = run(GUIDE)
    classes = [c for c in names.values() if isinstance(c, type) and issubclass(c, Strategy) and c is not Strategy]
    assert len(classes) >= 3
    for strategy in classes:
        enough = 1 if strategy.__name__ == "Guarded" else 3  # the bench's venue fills no exits
        shell = Shell(lambda body: None)
        session = assemble(shell, [strategy()], Now(T0, T0))
        for k, record in enumerate(material.mixed(8000, len(strategy.symbols))):
            now = Now(T0 + k * SECOND // 40, T0 + k * SECOND // 40)
            records = record.reshape(1).copy()
            records["ts_event"] = records["ts_recv"] = now.venue
            session.on_market(records, now)
            close_bars(session, now)
            shell.answer(now)
            if session.counts["fills"] >= enough:
                break
        assert not session.halted
        assert session.counts["fills"] >= enough, f"{strategy.__name__} traded nothing"


def test_the_page_of_the_order_book_runs(tmp_path: Path) -> None:
    names = run(ROOT / "docs" / "order-book.md")
    day = tmp_path / "day"
    day.write_bytes(b"".join(len(m).to_bytes(2, "big") + m for m in names["told"]) * 2)
    assert names["read"](day).counters["duplicates"] == 2


@pytest.mark.real_data
@pytest.mark.row("S138")
def test_the_readme_replays_a_recorded_day(market_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = (market_data / "lobster").glob("*_AMZN_*_1.zip")
    (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    result = run(ROOT / "README.md")["result"]
    assert result.counts["fills"] > 10
    assert not result.alarms
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")


@cache
def help_of(verb: str) -> str:
    argv = [sys.executable, "-m", "pyrt", *verb.split(), "--help"]
    return subprocess.run(argv, capture_output=True, text=True, check=True, env=None).stdout


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for _, text in blocks(page, "sh"):
            for line in text.replace("\\\n", " ").splitlines():
                if line.startswith("sudo "):  # of the machine's own tools
                    continue
                if match := re.search(rf"(?:^|\s|/)(?:python -m )?pyrt ({VERB})(.*)", line.split("#")[0]):
                    found.append((match[1], match[2]))
    return sorted(set(found))


@pytest.mark.parametrize(("verb", "rest"), commands())
def test_commands_and_options_exist(verb: str, rest: str) -> None:
    shown = help_of(verb)
    for word in shlex.split(rest):
        if word.startswith("--"):
            assert re.search(rf"{re.escape(word.split('=')[0])}\b", shown), f"pyrt {verb} has no {word}"


def test_make_has_the_targets() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    shown = [text for page in PAGES for _, text in blocks(page, "sh")]
    named = set(re.findall(r"^make ([\w-]+)", "\n".join(shown), re.M))
    named |= {target for page in PAGES for target in re.findall(r"`make ([\w-]+)`", page.read_text(encoding="utf-8"))}
    assert named
    assert named <= targets


def headings(page: Path) -> set[str]:
    """The anchors that a browser of Markdown makes of a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.+)$", text, re.M)}


@pytest.mark.row("S019")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target, heading in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        other = page.parent / target if target else page
        assert other.exists(), f"{page.name}: {target}"
        assert not heading or heading in headings(other), f"{page.name}: {target}#{heading}"


def test_the_map_names_files_that_are_there() -> None:
    rows = re.findall(r"^\| `(src/[\w/]+/)`[^|]* \| (.*) \|$", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.M)
    assert len(rows) > 10
    for folder, text in rows:
        stems = {file.name.partition(".")[0] for file in (ROOT / folder).iterdir()}
        assert set(re.findall(r"`([a-z_]+)`", text)) <= stems, folder


def test_the_readme_has_one_line_commands() -> None:
    install, test, *_ = [text for _, text in blocks(ROOT / "README.md", "sh")]
    assert install.count("\n") == test.count("\n") == 1
    assert install.rstrip().endswith("python -m pyrt run")
    assert "pytest" in test
