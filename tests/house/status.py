"""`python tests/house/status.py` writes docs/status.md: each row of the feature list, and which test or benchmark shows it.

A test shows a row by its marker, `@pytest.mark.row("S022")`. What a row still lacks is said here, in PARTLY.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "status.md"
ROWS = Path(__file__).with_name("rows.tsv")
SHOWN = 3  # tests named for a row; the rest are counted

BENCHMARKS = {
    "S028": "sustained messages over a WebSocket",
    "S029": "single book updates",
    "S030": "memory of 1 to 1,000 symbols",
    "S045": "signals from a Python strategy",
    "S102": "each part beside its plain-Python oracle",
    "S119": "memory of 1 to 1,000 symbols",
    "S128": "signals from a Python strategy",
}
PARTLY = {
    "S002": "from downloaded data to a report, and to orders; no optimiser, training or ONNX yet",
    "S018": "shown on the simulated venue; never run against Alpaca itself",
    "S019": "guides with tested examples, options and links; no generated component diagrams",
    "S045": "measured in one process; several processes do not exist yet",
    "S050": "told within the process and journaled; no ZeroMQ publisher yet",
    "S072": "the chain runs in one process; no topics and no trace id yet",
    "S073": "frame to order is measured as a whole, not stage by stage",
    "S076": "measured on a loopback socket to the simulated venue, not on a network",
    "S128": "measured in one process; several processes do not exist yet",
}
MEASURED_PARTLY = {"S073": "frame in to order body", "S076": "frame in to request in the venue's process"}


def rows() -> list[tuple[str, str]]:
    """(id, item) of the feature list."""
    return [tuple(line.split("\t")) for line in ROWS.read_text(encoding="utf-8").splitlines()]  # type: ignore[misc]


def marks(path: Path) -> Iterator[tuple[str, str]]:
    """(row, test) for each row marker of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    file = path.relative_to(ROOT).as_posix()
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets):
            yield from ((row, file) for row in ids(node.value))
        owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for test in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef):
                found = [row for decorator in test.decorator_list for row in ids(decorator)]
                if isinstance(node, ast.ClassDef):
                    found += [row for decorator in node.decorator_list for row in ids(decorator)]
                yield from ((row, f"{file}::{owner}{test.name}") for row in found)


def ids(decorator: ast.expr) -> Iterator[str]:
    """The rows that markers within an expression name."""
    for call in ast.walk(decorator):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "row":
            yield from (arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def shown() -> dict[str, list[str]]:
    """The tests that show each row."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for row, test in marks(path):
            if test not in found.setdefault(row, []):
                found[row].append(test)
    return found


def state(row: str, tests: list[str]) -> tuple[str, str]:
    """Works, partly or not yet, and what shows it."""
    by = [f"`{test.removeprefix('tests/')}`" for test in tests[:SHOWN]]
    if len(tests) > SHOWN:
        by.append(f"{len(tests) - SHOWN} more")
    measured = BENCHMARKS.get(row) or MEASURED_PARTLY.get(row)
    if measured:
        by.append(f"benchmark: {measured}")
    if not by:
        return "not yet", ""
    if row in PARTLY:
        return "partly", f"{PARTLY[row]}; {', '.join(by)}"
    return "works", ", ".join(by)


def render() -> str:
    """The page."""
    found = shown()
    table = [(row, item, *state(row, found.get(row, []))) for row, item in rows()]
    count = {name: sum(line[2] == name for line in table) for name in ("works", "partly", "not yet")}
    lines = [
        "# Status",
        "",
        "Written by `make status` from the markers of the tests; a test fails where it is not up to date. Tests are named by their",
        "path under tests/; benchmarks are those of [bench/RESULTS.md](../bench/RESULTS.md).",
        "",
        f"{len(table)} rows: {count['works']} work, {count['partly']} partly, {count['not yet']} not yet.",
        "",
        "| row | what | state | shown by |",
        "|---|---|---|---|",
        *("| " + " | ".join(line) + " |" for line in table),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(PAGE.relative_to(ROOT))
