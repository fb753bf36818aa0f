"""Who may import whom, and what a pure stage may not touch."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src" / "pyrt"

STAGES = {"market", "signals", "risk", "execution"}
SHELL = {"bus", "journal", "history", "monitor", "venues"}
BASE = {"_core", "errors", "model", "clock", "calendar", "config", "process", "sources", "proof"}
MEETING = {"session", "desk", "compiled", "fast_lane", "live", "services"}

MAY_IMPORT = {
    "_core": {"_core"},
    **dict.fromkeys(BASE - {"_core"}, BASE),
    "ports": BASE | {"ports"},
    "indicators": BASE | {"ports", "indicators"},
    "bars": BASE | {"library"},
    **{name: BASE | {"ports", name} for name in STAGES | SHELL},
    "venues": BASE | {"ports", "venues", "history"},
    "records": BASE | {"records"},
    "library": BASE | {"ports", "records", "risk", "library"},
    "strategies": BASE | {"ports", "indicators", "library", "signals", "strategies"},
    **{name: BASE | {"ports", "indicators", "library", "strategies", "watchdog"} | STAGES | SHELL | MEETING for name in MEETING},
    "research": BASE | {"ports", "indicators", "library", "strategies", "research"} | STAGES | SHELL | MEETING,
    "cli": None,
    "__main__": {"cli", "config", "errors", "monitor", "process"},
    "__init__": None,
    "signal_bridge": None,
    "testing": {"venues"},
    "latency": None,
    "watchdog": BASE | SHELL | {"ports", "execution", "watchdog"},
}
PURE = {
    "_core",
    "market",
    "signals",
    "risk",
    "execution",
    "strategies",
    "model",
    "ports",
    "session",
    "desk",
    "compiled",
    "fast_lane",
}
IMPURE_CORE = {"ring", "log", "spin", "frames"}  # shared memory, the journal appender, waiting and sockets are for the shell
IMPURE = {
    "asyncio", "datetime", "http", "io", "logging", "multiprocessing", "os", "pathlib", "random", "requests", "secrets", "select",
    "signal", "socket", "sqlite3", "subprocess", "tempfile", "threading", "time", "urllib", "uuid", "zmq", "aiohttp", "picows",
}  # fmt: skip


def modules() -> Iterator[tuple[Path, str]]:
    for path in sorted(SRC.rglob("*.py")) + sorted(SRC.rglob("*.pyx")) + sorted(SRC.rglob("*.pxd")):
        yield path, path.relative_to(SRC).parts[0].split(".")[0]


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file imports or cimports."""
    text = path.read_text()
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                yield from (a.name for a in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield node.module
                if node.module == "pyrt":
                    yield from (f"pyrt.{a.name}" for a in node.names)
        return
    for match in re.finditer(r"^\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w.]+))", text, re.M):
        yield match[1] or match[2]


@pytest.mark.parametrize(("path", "room"), list(modules()), ids=lambda v: str(v.relative_to(SRC)) if isinstance(v, Path) else v)
def test_arrows_point_one_way(path: Path, room: str) -> None:
    assert room in MAY_IMPORT, f"{room} is a new room: say in MAY_IMPORT whom it may import"
    allowed = MAY_IMPORT[room]
    if allowed is None:
        return
    wrong = {n for n in imports(path) if n.startswith("pyrt.") and n.split(".")[1] not in allowed}
    assert not wrong, f"{path.relative_to(SRC)} may not import {sorted(wrong)}"


def test_venues_do_not_know_each_other() -> None:
    wrong = [
        (str(path.relative_to(SRC)), name)
        for path, room in modules()
        if room == "venues" and "alpaca" in path.parts
        for name in imports(path)
        if name.startswith("pyrt.venues.") and not name.startswith("pyrt.venues.alpaca")
    ]
    assert not wrong


SIM = SRC / "venues" / "sim"
SIM_GROUND = {"actions", "settings", "times"}  # stand below all floors
SIM_MAY = {"exchange": {"datetime", "uuid"}, "market": {"datetime", "pathlib"}}  # dates and names as values, recordings to read
SIM_FLOORS = ("market", "exchange", "server")  # each may import itself and those before it, and what lies beside them


@pytest.mark.parametrize("path", sorted(SIM.rglob("*.py")), ids=lambda path: str(path.relative_to(SIM)))
def test_the_simulated_venue_has_floors(path: Path) -> None:
    room = path.relative_to(SIM).parts[0]
    above = SIM_FLOORS[SIM_FLOORS.index(room) + 1 :] if room in SIM_FLOORS else SIM_FLOORS if path.stem in SIM_GROUND else ()
    wrong = [name for name in imports(path) if any(f"{name}.".startswith(f"pyrt.venues.sim.{floor}.") for floor in above)]
    assert not wrong, f"{path.relative_to(SIM)} may not import {wrong}"


@pytest.mark.parametrize(
    "path", [path for floor in ("market", "exchange") for path in sorted((SIM / floor).glob("*.py"))], ids=lambda path: path.name
)
def test_exchange_and_market_know_no_clock_socket_or_thread(path: Path) -> None:
    wrong = {name for name in imports(path) if name.split(".")[0] in IMPURE - SIM_MAY[path.parent.name]}
    assert not wrong, f"{path.relative_to(SIM)} may not import {sorted(wrong)}"


@pytest.mark.parametrize(
    "path", [p for p, room in modules() if room in PURE and p.stem not in IMPURE_CORE], ids=lambda p: str(p.relative_to(SRC))
)
def test_pure_stages_touch_no_clock_socket_file_or_thread(path: Path) -> None:
    wrong = {n for n in imports(path) if n.split(".")[0] in IMPURE}
    assert not wrong, f"{path.relative_to(SRC)} is pure and may not import {sorted(wrong)}"


def test_the_rule_can_fail(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pyx"
    bad.write_text("from libc.time cimport time\nfrom pyrt.session import Session\ncimport socket\n")
    assert set(imports(bad)) == {"libc.time", "pyrt.session", "socket"}
