"""The figures of docs/reliability.md, from docs/reliability.json: `make reliability`.

`python -m tests.docs.reliability --take simulated FILE --tree COMMIT` puts what a programme wrote into that JSON first: `simulated`
(python -m tests.faults --json), `real` (make real-faults), `mutants` (python -m tests.faults.mutants --json), `soak` (make soak).
"""

import argparse
import json
import re
import textwrap
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.proof import SUITES

DOCS = Path(__file__).parents[2] / "docs"
SEEDS = Path(__file__).parents[1] / "seeds" / "faults.txt"
PAGE, FIGURES = DOCS / "reliability.md", DOCS / "reliability.json"
NOT_RUN = "not run"
COMMANDS = {
    "simulated": "python -m tests.faults --mode all --table --json FILE",
    "real": "make real-faults JSON=FILE",
    "mutants": "python -m tests.faults.mutants --json FILE",
    "soak": "make soak",
}
WHAT = {
    "simulated": "the whole system on a simulated clock, net, disk and venue",
    "real": "real processes, files, sockets",
    "mutants": "our own code, broken on purpose, in the simulation",
    "soak": "a session for an hour under load",
}
RING = "tests/core/test_ring_faults.py"
TESTED = {**SUITES, "F19": (RING, "tests/core/test_ring_model.py"), "F28": (RING,)}
PROMISE = """An order is sent only after its intent is on stable storage (fdatasync returned). After any crash of the process,
the kernel or the power, at any instant, pyrt restarts to exactly the set of orders, fills and positions the venue has; no intent
becomes two orders at the venue; none is forgotten; P&L equals that of a replay of the journal, bit for bit. This is tested by
{tried} (table). It assumes: storage honours flush; the venue refuses a repeated client_order_id and answers look-ups by it."""
# What the programme of faults names; a fault that was not run shows these words.
PROGRAMME = {
    "F1": "kill -9 at every system call of submit, replace, cancel, fill: before, after, after half a write",
    "F2": "power cut",
    "F3": "a crash within recovery, several deep",
    "F4": "torn, half-written, bit-flipped journal",
    "F5": "disk full, I/O errors, a read-only or slow disk, no descriptors",
    "F6": "an order is taken and its answer lost",
    "F7": "a request lands late",
    "F8": "429, 5xx, HTML, cut JSON, slow answers",
    "F9": "a stream that is open and silent",
    "F10": "half-open, reset, closed connections",
    "F11": "a reconnection without, or with doubled, subscriptions",
    "F12": "the venue refuses a second connection after an unclean drop",
    "F13": "fills missed while disconnected, updates lost",
    "F14": "updates doubled, late, out of order",
    "F15": "a cancel or replacement races a fill",
    "F16": "overfill, bust, correction, orders by hand",
    "F17": "every refusal of the venue",
    "F18": "a slow or late subscriber of the message bus: there is no bus yet",
    "F19": "a writer of shared memory dies: before each store, its readers beside it",
    "F20": "crossed, one-sided, empty books; gaps of sequence numbers",
    "F21": "values and frames that make no sense",
    "F22": "clock changes, half days, late and corrected trades",
    "F23": "the clock is wrong, or steps",
    "F24": "tables locked, slow, gone",
    "F25": "the leader of several nodes fails: there is one node",
    "F26": "memory: leaks, the n-th allocation fails",
    "F27": "a starved processor, a strategy that holds the interpreter or raises",
    "F28": "data races, by a thread sanitizer",
    "F29": "a secret in any log, file, message",
    "F30": "mutants of our own code",
    "F31": "limits against every subset of fills",
    "F32": "the journal replayed in fresh components",
    "F33": "after the faults end: everything settled in 60 s",
}
_MARKED = re.compile(r"(<!-- (\w+) -->\n)(.*?)(<!-- /\2 -->)", re.S)
Figures = dict[str, Any]


def read() -> Figures:
    """What was kept of each programme's last run."""
    figures: Figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    return figures


def _report(figures: Figures, name: str) -> dict[str, Any]:
    report: dict[str, Any] = figures.get(name, {}).get("report", {})
    return report


def _rows(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def runs(figures: Figures) -> str:
    """Which programme ran when, on what, how much."""
    lines = ["| programme | what | date | tree | size |", "|---|---|---|---|---|"]
    for name, what in WHAT.items():
        kept = figures.get(name)
        if kept is None:
            lines.append(f"| {name} | {what}: `{COMMANDS[name]}` | {NOT_RUN} | | |")
        else:
            lines.append(
                f"| {name} | {what}: `{COMMANDS[name]}` | {kept['date']} | {kept['tree']} | {_size(name, kept['report'])} |"
            )
    return _rows(lines)


def _size(name: str, report: dict[str, Any]) -> str:
    if name == "simulated":
        return (
            f"{report['seeds']:,} histories, {report['crash_points']:,} crashes, {report['recoveries']:,} recoveries, "
            f"{report['orders']:,} orders, {report['fills']:,} fills; {report['seeds_per_cpu_second']} histories and "
            f"{report['crash_points_per_cpu_second']} crashes a second of a core"
        )
    if name == "real":
        return f"{sum(fault['trials'] for fault in report.values()):,} trials"
    if name == "mutants":
        return f"{len(report['mutants'])} mutants, {sum(m['caught'] for m in report['mutants'])} caught"
    return f"{report['verdict']['seconds']:,.0f} s, {report['verdict']['orders']:,} orders"


def broken(figures: Figures) -> tuple[int, int, int]:
    """(crashes in the simulation, deaths of real processes and machines, violations in both)."""
    simulated, real = _report(figures, "simulated"), _report(figures, "real")
    deaths = sum(real[fault]["trials"] for fault in ("F1", "F2", "F3") if fault in real)
    violations = len(simulated.get("violations", ())) + sum(fault["violations"] for fault in real.values())
    return simulated.get("crash_points", 0), deaths, violations


def promise(figures: Figures) -> str:
    """The promise with its figures."""
    crashes, deaths, violations = broken(figures)
    tried = f"{crashes:,} crash points in the simulation" if crashes else f"crash points in the simulation ({NOT_RUN})"
    real = f"{deaths:,} of real processes and disks" if deaths else f"real processes and disks ({NOT_RUN})"
    text = PROMISE.format(tried=f"{tried} and {real}: {violations} violations")
    return textwrap.fill(text, 130, initial_indent="> ", subsequent_indent="> ") + "\n"


def faults(figures: Figures) -> str:
    """The table by fault: where, what was injected, how often, what broke."""
    lines = ["| fault | where | injection | trials | violations |", "|---|---|---|---|---|"]
    for number, what in PROGRAMME.items():
        found = [*_fault(number, figures)]
        if not found:
            where = ", ".join(f"`{path}`" for path in TESTED.get(number, ()) if path.startswith("tests/"))  # not pytest's options
            found = [f"tests: {where} | {what} | no count" if where else f" | {what} | {NOT_RUN}"]
        lines += [f"| {number} | {row}" + (" | |" if row.endswith(("no count", NOT_RUN)) else " |") for row in found]
    beside = [row for row in _report(figures, "simulated").get("faults", ()) if row["fault"] not in PROGRAMME]
    lines += [f"| {row['fault']} | {_simulated(row)} |" for row in beside if row["trials"]]
    return _rows(lines)


def _simulated(row: dict[str, Any]) -> str:
    return f"simulation | {_cell(row['injection'])} | {row['trials']:,} | {row['violations']}"


def _fault(number: str, figures: Figures) -> Iterator[str]:
    for row in _report(figures, "simulated").get("faults", ()):
        if row["fault"] == number and row["trials"]:
            yield _simulated(row)
    real = _report(figures, "real").get(number)
    if real and real["trials"]:
        yield f"real processes | {PROGRAMME[number]} | {real['trials']:,} | {real['violations']}"
    mutants = _report(figures, "mutants").get("mutants") if number == "F30" else None
    if mutants:
        yield f"simulation | broken versions of our own code; a violation is one that lives | {len(mutants)} | {_living(mutants)}"


def _living(mutants: list[dict[str, Any]]) -> int:
    return sum(not mutant["caught"] for mutant in mutants)


def violations(figures: Figures) -> str:
    """Each history of the simulation that broke something."""
    simulated = figures.get("simulated")
    if simulated is None:
        return f"The simulation: {NOT_RUN}.\n"
    found = simulated["report"]["violations"]
    if not found:
        return "None in this run.\n"
    kept = {int(line.split()[0]) for line in SEEDS.read_text(encoding="utf-8").splitlines() if line[:1].isdigit()}
    since = {True: " (mended since: the seed runs with the suite)", False: " (open)"}
    return _rows([f"* seed {row['seed']}: {_cell(row['text'])}{since[row['seed'] in kept]}" for row in found])


def drills(figures: Figures) -> str:
    """The drills of real processes, part by part, with what was measured beside."""
    real = _report(figures, "real")
    if not real:
        return f"{NOT_RUN}\n"
    lines = ["| fault | injection | tree | trials | violations | measured |", "|---|---|---|---|---|---|"]
    for fault in sorted(real, key=lambda name: int(name[1:])):
        for part in real[fault]["parts"].values():
            tree, counts = real[fault]["tree"], f"{part['trials']} | {part['violations']}"
            lines.append(f"| {fault} | {_cell(part['injection'])} | {tree} | {counts} | {_measured(part)} |")
    return _rows(lines)


def _measured(part: dict[str, Any]) -> str:
    said = {
        "seen_s": "seen after at most",
        "healed_s": "whole again after at most",
        "kill_blocks_s": "a kill from outside blocks orders after",
    }
    found = []
    for key, words in said.items():
        if key in part:
            found.append(f"{words} {_seconds(part[key])}")
    if "at" in part:
        found.append(f"at {len(part['at'])} kinds of calls")
    return "; ".join(found)


def _seconds(figure: float | dict[str, float]) -> str:
    if isinstance(figure, dict):
        return ", ".join(f"{value:.2f} s ({name})" for name, value in figure.items())
    return f"{figure:.2f} s"


def mutants(figures: Figures) -> str:
    """Which broken version was caught, by what, with which seed."""
    report = _report(figures, "mutants")
    if not report:
        return f"{NOT_RUN}\n"
    lines = ["| mutant | what it breaks | where | caught by invariant | seed | histories |", "|---|---|---|---|---|---|"]
    for m in report["mutants"]:
        caught = m["invariant"] if m["caught"] else "**not caught**"
        seed = f"{m['mode']} {m['seed']}" if m["caught"] else ""
        where = ", ".join(f"`{module}`" for module in m["where"])
        lines.append(f"| `{m['mutant']}` | {_cell(m['what'])} | {where} | {caught} | {seed} | {m['histories']} |")
    never = ", ".join(report.get("never_tripped", ())) or "none"
    return _rows([*lines, "", f"Invariants of the harness that no mutant trips: {never}."])


def soak(figures: Figures) -> str:
    """What the long run under load measured: some of its samples, and its verdict."""
    report = _report(figures, "soak")
    if not report:
        return f"{NOT_RUN}\n"
    lines = [
        "| s | messages | orders | connections | memory, MiB | descriptors | threads | tasks |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in report["samples"]:
        counts = f"{row['messages']:,} | {row['orders']:,} | {row['connections']}"
        lines.append(
            f"| {row['at']:.0f} | {counts} | {row['rss'] / (1 << 20):.1f} | {row['fds']} | {row['threads']} | {row['tasks']} |"
        )
    verdict = report["verdict"]
    wrong = "; ".join((*verdict["grew"], *verdict["faults"])) or "nothing grew that may not"
    judged = "" if verdict["judged"] else " It was too short for a verdict on memory."
    told = f"{verdict['seconds']:,.0f} s at {verdict['rate']:,.0f} messages/s: {_cell(wrong)};"
    return _rows([*lines, "", f"{told} memory {verdict['rss_slope']:+.1f} MiB an hour.{judged}"])


def _thin(report: dict[str, Any], most: int = 13) -> dict[str, Any]:
    """A long run's samples, some of them."""
    samples = report["samples"]
    step = max(-(-(len(samples) - 1) // (most - 1)), 1)
    return {**report, "samples": [*samples[:-1:step], samples[-1]]}


PARTS: dict[str, Callable[[Figures], str]] = {f.__name__: f for f in (promise, runs, faults, violations, drills, mutants, soak)}


def render(text: str, figures: Figures) -> str:
    """A page with its marked parts anew."""
    return _MARKED.sub(lambda m: m[1] + (PARTS[m[2]](figures) if m[2] in PARTS else m[3]) + m[4], text)


def parts_of(text: str) -> list[str]:
    """The names of the marked parts of a page, in their order."""
    return [match[2] for match in _MARKED.finditer(text)]


def take(name: str, file: Path, tree: str) -> None:
    """Keep what a programme wrote, with the file's date and the tree that it ran on; drills of real processes fault by fault."""
    figures = read() if FIGURES.exists() else {}
    date = datetime.fromtimestamp(file.stat().st_mtime, UTC).strftime("%Y-%m-%d")
    report = json.loads(file.read_text(encoding="utf-8"))
    if name == "real":
        report = {**_report(figures, name), **{fault: {**found, "tree": tree} for fault, found in report.items()}}
        tree = "; ".join(dict.fromkeys(fault["tree"] for fault in report.values()))
    figures[name] = {"date": date, "tree": tree, "report": _thin(report) if name == "soak" else report}
    FIGURES.write_text(json.dumps(figures, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.docs.reliability")
    parser.add_argument("--take", nargs=2, action="append", default=[], metavar=("NAME", "FILE"))
    parser.add_argument("--tree", default="")
    asked = parser.parse_args()
    for name, file in asked.take:
        if name not in COMMANDS or not asked.tree:
            parser.error(f"--take {'|'.join(COMMANDS)} FILE --tree COMMIT")
        take(name, Path(file), asked.tree)
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8"), read()), encoding="utf-8")
