"""Live trading is unlocked by proof: the record of a fault programme that ran on exactly this source tree and found nothing.

The tree is everything that the package is made of: its Python files and stubs as they lie here, and the compiled core by the digest
of its sources, which the build writes beside the modules. A checkout and the wheel that was built from it have the same digest; the
record itself is no part of it.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from pyrt.errors import ConfigError
from pyrt.sources import BUILT, core_digest, digest

PACKAGE = Path(__file__).parent
RECORD = "proof.json"
FORMAT = 1
CRASH_POINTS = 1_000_000  # that a record must have seen
_KINDS = frozenset({".py", ".pyi", ".pxd", ".h", ".sql", ".toml", ".typed"})
_FIGURE = re.compile(r"F[0-9]+|kills|limits|powercuts|syscalls")

# What must have been tried, and how often at least. F30 counts broken versions of our own code, and survivors as violations.
LEAST: dict[str, int] = {
    **{f"F{n}": 1_000 for n in (*range(1, 11), *range(12, 18), 21, 23, 27, 31, 32, 33)},
    **dict.fromkeys(("F11", "F20", "F22", "F24", "F29"), 5),  # tests, not drawn faults: each is one trial
    "F30": 13,  # three broken policies, ten faults of our own
    "kills": 200,
    "limits": 1_000_000,  # steps of the gate beside an oracle that looks at every subset of fills
    "syscalls": 300,  # kills of a real process, each at another system call; power cuts need root, so none are demanded
}
_MEND = "run `make proof` in a checkout and build the wheel from it"

Count = Annotated[int, Meta(ge=0)]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One fault: how often it was tried, and how often a promise was broken."""

    trials: Count
    violations: Count
    injection: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What the fault programme found, and on which tree."""

    format: int
    tree: str
    date: str  # UTC, RFC 3339
    crash_points: Count
    figures: dict[str, Figure]


def tree(package: Path | None = None) -> str:
    """The digest of the tree that a package belongs to. Raises ConfigError where the compiled core is not of it."""
    package = package or PACKAGE
    built = _built(package)
    root = package.parents[1]
    if package.parent.name == "src" and (root / "pyproject.toml").is_file() and core_digest(root) != built:
        raise ConfigError("the compiled core is older than its sources", where=str(package / "_core"), mend="run `make build`")
    names = sorted(path for path in package.rglob("*") if path.suffix in _KINDS and path.is_file())
    files = ((path.relative_to(package).as_posix(), path.read_bytes()) for path in names)
    return digest([*files, ("core", built.encode())])


def _built(package: Path) -> str:
    file = package / "_core" / BUILT
    try:
        return str(msgspec.json.decode(file.read_bytes(), type=dict[str, str])["core"])
    except OSError:
        raise ConfigError("the build left no digest of its sources", where=str(file), mend="run `make build`") from None
    except (msgspec.DecodeError, KeyError):
        raise ConfigError("is not what the build writes", where=str(file), mend="run `make build`") from None


def proved(package: Path | None = None) -> Record:
    """The record that lets this tree trade live. Raises ConfigError, which says what is missing."""
    package = package or PACKAGE
    file = package / RECORD
    try:
        record = msgspec.json.decode(file.read_bytes(), type=Record)
    except FileNotFoundError:
        raise _refused("there is no record of the fault programme in this build") from None
    except (OSError, msgspec.DecodeError) as e:
        raise _refused(f"the record of the fault programme cannot be read ({type(e).__name__})") from None
    if record.format != FORMAT:
        raise _refused(f"the record of the fault programme is of format {record.format}, not {FORMAT}")
    if record.tree != tree(package):
        raise _refused("the fault programme passed on another source tree than this one")
    if lacks := shortcomings(record):
        raise _refused(f"the fault programme has not passed: {'; '.join(lacks[:3])}" + (" ..." if len(lacks) > 3 else ""))
    return record


def _refused(why: str) -> ConfigError:
    return ConfigError(f"live trading is refused: {why}", where="alpaca-live", mend=f"{_MEND}, or use --venue alpaca-paper")


def shortcomings(record: Record) -> list[str]:
    """What keeps a record from being a proof; nothing = it is one."""
    found = [f"{name}: {figure.violations} violations" for name, figure in record.figures.items() if figure.violations]
    for name, least in LEAST.items():
        trials = record.figures[name].trials if name in record.figures else 0
        if trials < least:
            found.append(f"{name}: {trials} trials, {least} wanted" if trials else f"{name} was not tried")
    if record.crash_points < CRASH_POINTS:
        found.append(f"{record.crash_points:,} crash points, {CRASH_POINTS:,} wanted")
    return found


def merge(parts: Iterable[dict[str, Any]], *, tree: str, date: str) -> Record:
    """One record of what several programmes wrote, each {"F1": {"injection", "trials", "violations"}, ...} and "crash_points".

    The figures may also be a list "faults" of the same, each with its name as "fault"; a list "mutants" of {"name", "caught"}
    becomes F30. Figures of the same name add up. Raises ConfigError for one that cannot be read: it is not left out in silence.
    """
    figures: dict[str, Figure] = {}
    points = 0
    for part in parts:
        points += int(part.get("crash_points", 0))
        rows = {row["fault"]: row for row in part.get("faults", ())}
        found = {name: value for name, value in {**part, **rows}.items() if _FIGURE.fullmatch(name)}
        if "mutants" in part:
            caught = [bool(mutant["caught"]) for mutant in part["mutants"]]
            found["F30"] = {
                "injection": "our own code, broken",
                "trials": len(caught),
                "violations": caught.count(False),
            }
        for name, value in found.items():
            try:
                new = msgspec.convert(value, Figure)
            except msgspec.ValidationError as e:
                raise ConfigError(f"{name}: {e}", where="proof", mend='write {"injection", "trials", "violations"}') from None
            old = figures.get(name, Figure(trials=0, violations=0))
            words = dict.fromkeys(w for w in (old.injection, new.injection) if w)
            figures[name] = Figure(
                trials=old.trials + new.trials, violations=old.violations + new.violations, injection="; ".join(words)
            )
    ordered = dict(sorted(figures.items(), key=lambda item: (item[0][0] != "F", len(item[0]), item[0])))
    return Record(format=FORMAT, tree=tree, date=date, crash_points=points, figures=ordered)


def write(record: Record, package: Path | None = None) -> Path:
    """Put a record into the package, where a wheel built from it takes it along. Raises ConfigError for one that is no proof."""
    if lacks := shortcomings(record):
        raise ConfigError(f"this is no proof: {'; '.join(lacks)}", where="proof", mend="mend what was found and run it again")
    file = (package or PACKAGE) / RECORD
    file.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    return file
