"""docs/risk.md names every limit with its value in the shipped profile, every reason of a refusal, and nothing else."""

import re
from pathlib import Path

import msgspec
import pytest

from pyrt import proof
from pyrt._core.risk import Code
from pyrt.risk import Limits

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "risk.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.row("S019")


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text.strip('"') or '""'


def test_every_limit_is_there_with_its_value() -> None:
    there = {name: _shown(value) for name, value in Limits.profile("paper").values().items()}
    assert dict(re.findall(r"`(\w+)` = `([^`]*)`", TEXT)) == there


def test_every_code_is_there_and_no_other() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src" / "pyrt").rglob("*.py"))
    told = set(re.findall(r"\bBreach\(\s*code=\"([A-Z_]+)\"", source))
    there = {str(code.name) for code in Code} | told | {"BROKER_RULE"}
    assert "BROKER_RULE" in source
    rows = [line for line in TEXT.splitlines() if re.match(r"\| (R\d+)? ?\| `", line)]
    in_tables = {code for row in rows for code in re.findall(r"`([A-Z_]{4,})`", row.split(" | ")[1])}
    [below] = re.findall(r"^Execution refuses (.*?)\n\n", TEXT, re.M | re.S)
    assert in_tables | set(re.findall(r"`([A-Z_]{4,})`", below)) == there


def test_every_r_number_has_its_row() -> None:
    assert re.findall(r"^\| R(\d+) \|", TEXT, re.M) == [str(n) for n in range(1, 26)]


def test_the_page_of_live_trading_has_the_numbers_of_a_proof() -> None:
    text = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")
    assert f"| crash points of the simulation | {proof.CRASH_POINTS:,} |" in text
    assert f"| kills of real sessions at moments of their own | {proof.LEAST['kills']} |" in text
    assert f"| kills of real processes at a system call | {proof.LEAST['syscalls']} |" in text
    assert f"| broken versions of our own code, each caught | {proof.LEAST['F30']} |" in text
    assert f"| steps of the limits beside an oracle that looks at every subset of fills | {proof.LEAST['limits']:,} |" in text
    for words, least in (("trials of each of", 1000), ("tests of", 5)):
        [row] = [line for line in text.splitlines() if line.startswith(f"| {words} F")]
        spans = re.findall(r"F(\d+)(?: to F(\d+))?", row)
        named = {f"F{n}" for first, last in spans for n in range(int(first), int(last or first) + 1)}
        assert named == {fault for fault, n in proof.LEAST.items() if n == least}
        assert f"| {least:,}" in row
