"""What is a proof that lets this tree trade live, how the programme makes one, and what is none."""

import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.proof import Part, parts, prove
from tests.security.trees import GOOD, package, record

from pyrt import proof
from pyrt.errors import ConfigError
from pyrt.proof import Figure
from pyrt.sources import BUILT, core_digest


def test_a_record_of_this_tree_without_violations_is_a_proof(tmp_path: Path) -> None:
    place = package(tmp_path)
    before = proof.tree(place)
    assert proof.write(record(place), place).name == "proof.json"
    assert proof.tree(place) == before, "the record is no part of the tree"
    assert proof.proved(place) == record(place)


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "setup.py", "src/pyrt/_core/CMakeLists.txt", "src/pyrt/_core/a.pyx", "src/pyrt/_core/a.pxd"]
)
def test_a_change_of_what_is_built_voids_it_before_and_after_the_build(tmp_path: Path, name: str) -> None:
    place = package(tmp_path)
    proof.write(record(place), place)
    (tmp_path / name).write_text("# changed\n")
    with pytest.raises(ConfigError, match="older than its sources"):
        proof.proved(place)
    (place / "_core" / BUILT).write_text(f'{{"core": "{core_digest(tmp_path)}"}}')
    with pytest.raises(ConfigError, match="on another source tree"):
        proof.proved(place)


@pytest.mark.parametrize("change", ["edit", "add", "remove", "rename"])
def test_a_change_of_a_python_file_voids_it(tmp_path: Path, change: str) -> None:
    place = package(tmp_path)
    (place / "b.py").write_text("x = 1\n")
    proof.write(record(place), place)
    if change == "edit":
        (place / "b.py").write_text("x = 2\n")
    elif change == "add":
        (place / "c.py").write_text("")
    elif change == "remove":
        (place / "b.py").unlink()
    else:
        (place / "b.py").rename(place / "c.py")
    with pytest.raises(ConfigError, match="on another source tree"):
        proof.proved(place)


@pytest.mark.parametrize("kind", sorted(proof._KINDS - {".pxd", ".h"}))
def test_a_change_of_any_other_kind_that_is_shipped_voids_it(tmp_path: Path, kind: str) -> None:
    """The migrations of the tables, for one: what they do to the books is as much of the tree as a line of Python."""
    place = package(tmp_path)
    (place / f"b{kind}").write_text("1\n")
    proof.write(record(place), place)
    (place / f"b{kind}").write_text("2\n")
    with pytest.raises(ConfigError, match="on another source tree"):
        proof.proved(place)


# What the digest of the Python tree leaves out, and why that hides nothing.
COUNTED_ELSEWHERE = {
    ".pyx": "in the digest of the core's sources, which the wheel has instead of them",
    ".txt": "the core's CMakeLists.txt, in the same digest",
    ".json": "that digest as the build wrote it, which counts, and the record itself, which is no part of the tree",
    ".so": "what the compiler made of the core's sources",
    ".pyc": "what the interpreter made of the Python files",
}


def test_every_kind_of_file_in_the_package_is_counted_or_named() -> None:
    package = proof.PACKAGE
    found = {path for path in package.rglob("*") if path.is_file() and path.suffix not in proof._KINDS}
    assert {path.suffix for path in found} <= set(COUNTED_ELSEWHERE)
    assert {path.name for path in found if path.suffix in (".txt", ".json")} <= {"CMakeLists.txt", BUILT, proof.RECORD}
    assert ".sql" in {path.suffix for path in package.rglob("*.sql")} & proof._KINDS


def test_what_the_interpreter_and_the_compiler_leave_behind_changes_nothing(tmp_path: Path) -> None:
    place = package(tmp_path)
    before = proof.tree(place)
    (place / "__pycache__").mkdir()
    (place / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"x")
    (place / "_core" / "a.so").write_bytes(b"x")
    assert proof.tree(place) == before


def test_an_installed_package_has_the_digest_of_its_checkout(tmp_path: Path) -> None:
    place = package(tmp_path / "checkout")
    installed = tmp_path / "site-packages" / "pyrt"
    shutil.copytree(place, installed, ignore=shutil.ignore_patterns("*.pyx", "CMakeLists.txt"))
    assert proof.tree(installed) == proof.tree(place)


def test_this_package_has_a_digest_and_no_record(tmp_path: Path) -> None:
    """Until the whole programme has run there is none; a record that is there must be a good one."""
    if not (proof.PACKAGE / "_core" / BUILT).exists():
        pytest.skip("the compiled modules were not built here")
    try:
        assert len(proof.tree()) == 64
    except ConfigError as e:  # modules that were copied from elsewhere, or sources edited since
        pytest.skip(str(e))
    if (proof.PACKAGE / proof.RECORD).exists():
        assert not proof.shortcomings(proof.proved())
    else:
        with pytest.raises(ConfigError, match="there is no record"):
            proof.proved()


WORSE = [
    ({"figures": {**GOOD, "F6": Figure(trials=10**6, violations=1)}}, "F6: 1 violations"),
    ({"figures": {**GOOD, "F99": Figure(trials=1, violations=1)}}, "F99: 1 violations"),
    ({"figures": {**GOOD, "F6": Figure(trials=999, violations=0)}}, "F6: 999 trials, 1000 wanted"),
    ({"figures": {k: v for k, v in GOOD.items() if k != "F30"}}, "F30 was not tried"),
    ({"crash_points": 999_999}, "999,999 crash points"),
]


@pytest.mark.parametrize(("changes", "why"), WORSE)
def test_what_is_no_proof_is_neither_written_nor_taken(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    place = package(tmp_path)
    bad = record(place, **changes)
    with pytest.raises(ConfigError, match=why):
        proof.write(bad, place)
    assert not (place / "proof.json").exists()
    (place / "proof.json").write_bytes(msgspec.json.encode(bad))
    with pytest.raises(ConfigError, match=f"has not passed: {why}"):
        proof.proved(place)


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', "\xff", '{"format": 2}', "[" * 100_000])
def test_a_record_that_does_not_read_refuses(tmp_path: Path, text: str) -> None:
    place = package(tmp_path)
    (place / "proof.json").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match="live trading is refused"):
        proof.proved(place)


def test_figures_of_several_programmes_add_up() -> None:
    one = {"F1": {"injection": "shim", "trials": 5, "violations": 0}, "crash_points": 7, "seeds_per_second": 3.2}
    rows = [{"fault": "F1", "injection": "simulated", "trials": 6, "violations": 1}, {"fault": "-", "trials": 1, "violations": 0}]
    two = {"faults": rows, "crash_points": 1, "violations": [{"seed": 1, "text": "x"}]}
    three = {"mutants": [{"name": "a", "caught": "invariant 2"}, {"name": "b", "caught": ""}]}
    merged = proof.merge([one, two, three], tree="t", date="d")
    assert merged.crash_points == 8
    assert merged.figures == {
        "F1": Figure(trials=11, violations=1, injection="shim; simulated"),
        "F30": Figure(trials=2, violations=1, injection="our own code, broken"),
    }
    with pytest.raises(ConfigError, match="F2"):
        proof.merge([{"F2": {"trials": -1, "violations": 0}}], tree="t", date="d")


def programme(code: str, **figures: Any) -> list[Part]:
    whole = {name: {"trials": least, "violations": 0} for name, least in proof.LEAST.items()}
    text = msgspec.json.encode({**whole, "crash_points": 10**6, **figures}).decode()
    return [
        Part(
            "all", (sys.executable, "-c", f"import sys, pathlib\npathlib.Path(sys.argv[1]).write_text({text!r})\n{code}", "{json}")
        )
    ]


def test_the_runner_writes_what_passed_and_the_last_run_counts(tmp_path: Path) -> None:
    place = package(tmp_path / "tree")
    prove(tmp_path / "work", programme(""), place)
    assert proof.proved(place).crash_points == 10**6
    with pytest.raises(SystemExit, match="status 3"):
        prove(tmp_path / "work", programme("sys.exit(3)"), place)
    assert not (place / "proof.json").exists(), "an old record does not outlive a run that failed"
    with pytest.raises(ConfigError, match="F7: 2 violations"):
        prove(tmp_path / "work", programme("", F7={"trials": 1000, "violations": 2}), place)
    with pytest.raises(SystemExit, match="left no figures"):
        prove(tmp_path / "work", programme("pathlib.Path(sys.argv[1]).unlink()"), place)
    edit = f"pathlib.Path({str(place / '__init__.py')!r}).write_text('changed')"
    with pytest.raises(SystemExit, match="changed while it ran"):
        prove(tmp_path / "work", programme(edit), place)
    assert not (place / "proof.json").exists()


def in_steps(tmp_path: Path, third: str) -> list[Part]:
    """Four parts that note in a file that they ran; what the third one does beside."""
    begin, whole = "import os, pathlib, signal, sys\n", programme("")[0].command[2]
    empty = begin + "pathlib.Path(sys.argv[1]).write_text('{}')\n"
    note = f"pathlib.Path({str(tmp_path / 'ran')!r}).open('a').write('%d')\n"
    codes = [empty + note % 0, empty + note % 1, empty + note % 2 + third, whole + begin + note % 3]
    return [Part(f"part {n}", (sys.executable, "-c", code, "{json}")) for n, code in enumerate(codes)]


def once(tmp_path: Path, what: str) -> str:
    """Code that does something the first time."""
    mark = f"pathlib.Path({str(tmp_path / 'mark')!r})"
    return f"if not {mark}.exists():\n    {mark}.touch()\n    {what}\n"


CUT = "os.kill(os.getpid(), signal.SIGTERM)"


def test_a_programme_that_was_cut_goes_on_where_it_was(tmp_path: Path) -> None:
    place, work = package(tmp_path / "tree"), tmp_path / "work"
    parts = in_steps(tmp_path, once(tmp_path, CUT))
    with pytest.raises(KeyboardInterrupt):
        prove(work, parts, place)
    assert (tmp_path / "ran").read_text() == "012"
    assert not (place / "proof.json").exists()
    prove(work, parts, place)
    assert (tmp_path / "ran").read_text() == "01223", "what passed is not run again, what was cut is"
    assert proof.proved(place).crash_points == 10**6
    prove(work, parts, place)
    assert (tmp_path / "ran").read_text() == "012230123", "what is over is no part of the next run"


@pytest.mark.parametrize(("what", "change"), [(CUT, "tree"), (CUT, "programme"), ("sys.exit(1)", "")])
def test_what_passed_counts_no_more_when_something_changed_or_failed(tmp_path: Path, what: str, change: str) -> None:
    place, work = package(tmp_path / "tree"), tmp_path / "work"
    code = once(tmp_path, what)
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        prove(work, in_steps(tmp_path, code), place)
    if change == "tree":
        (place / "__init__.py").write_text("x = 1\n")
    prove(work, in_steps(tmp_path, code + "pass" if change == "programme" else code), place)
    assert (tmp_path / "ran").read_text() == "0120123"


def beside(tmp_path: Path, waiting: str) -> list[Part]:
    """A part that computes until the one beside it says so, and that one."""
    begin, whole = "import pathlib, sys, time\n", programme("")[0].command[2]
    mark = f"pathlib.Path({str(tmp_path / 'mark')!r})"
    computing = begin + f"pathlib.Path(sys.argv[1]).write_text('{{}}')\nwhile not {mark}.exists():\n    time.sleep(0.01)\n"
    commands = [(sys.executable, "-c", code, "{json}") for code in (computing, begin + waiting.format(mark=mark) + whole)]
    return [Part("computes", commands[0], waits=False), Part("waits", commands[1])]


def test_what_waits_runs_beside_what_computes(tmp_path: Path) -> None:
    place = package(tmp_path / "tree")
    prove(tmp_path / "work", beside(tmp_path, "{mark}.touch()\n"), place)
    assert proof.proved(place).crash_points == 10**6


def test_a_part_that_fails_ends_the_one_beside_it(tmp_path: Path) -> None:
    place, work = package(tmp_path / "tree"), tmp_path / "work"
    with pytest.raises(SystemExit, match="waits: ended with status 3"):
        prove(work, beside(tmp_path, "sys.exit(3)\n"), place)
    assert not (work / "passed.json").exists()
    assert not (place / "proof.json").exists()


@pytest.mark.parametrize(("told", "passed"), [("120 90", True), ("120", False), ("", False)])
def test_kills_are_those_that_the_drills_told(tmp_path: Path, told: str, passed: bool) -> None:
    """Never those that somebody asked for: a drill that was left out kills nothing."""
    place, [whole] = package(tmp_path / "tree"), programme("", kills={"trials": 0, "violations": 0})
    cases = "".join(
        f'<testcase name="{n}"><properties><property name="kills" value="{n}"/></properties></testcase>' for n in told.split()
    )
    code = f"import pathlib, sys\npathlib.Path(sys.argv[1]).write_text('<t><testcase name=\"a\"/>' + {cases!r} + '</t>')"
    parts = [whole, Part("drills", (sys.executable, "-c", code, "{json}"), "kills")]
    if passed:
        prove(tmp_path / "work", parts, place)
        assert proof.proved(place).figures["kills"].trials == 210
    else:
        with pytest.raises(ConfigError, match="kills"):
            prove(tmp_path / "work", parts, place)


def test_steps_of_the_limits_oracle_are_trials_and_a_figure_of_their_own(tmp_path: Path) -> None:
    place, [whole] = package(tmp_path / "tree"), programme("", limits={"trials": 0, "violations": 0})
    suite = tmp_path / "test_walk.py"
    suite.write_text("def test_some():\n    pass\ndef test_many(record_property):\n    record_property('F31', 1_000_000)\n")
    of_limits = next(part for part in parts(0) if part.fault == "F31")
    command = (*(word for word in of_limits.command if not word.startswith("tests/")), "--rootdir", str(tmp_path), str(suite))
    prove(tmp_path / "work", [whole, of_limits._replace(command=command)], place)
    figures = proof.proved(place).figures
    assert figures["limits"].trials == 1_000_000
    assert figures["F31"].trials == 1_001_000


def test_a_suite_may_tell_a_figure(tmp_path: Path) -> None:
    """As the drills of kills do, by the very command of the programme."""
    place, [whole] = package(tmp_path / "tree"), programme("", kills={"trials": 0, "violations": 0})
    drill = tmp_path / "test_drill.py"
    drill.write_text("def test_a_drill(record_property):\n    record_property('kills', '210')\n")
    of_kills = next(part for part in parts(0) if part.fault == "kills")
    command = (*(word for word in of_kills.command if not word.startswith("tests/")), "--rootdir", str(tmp_path), str(drill))
    prove(tmp_path / "work", [whole, of_kills._replace(command=command)], place)
    assert proof.proved(place).figures["kills"].trials == 210
