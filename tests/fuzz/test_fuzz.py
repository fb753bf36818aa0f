"""The corpus is read without harm, and a hunt finds what is planted and keeps it."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.fuzz.guarded import ROOM, Guarded
from tests.fuzz.hunt import replay, watch
from tests.fuzz.target import TARGETS, corpus, target

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mprotect and signals as Linux has them")
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_is_read_without_harm(name: str, tmp_path: Path) -> None:
    guarded = Guarded(tmp_path / "inputs")
    guarded.guard()
    fed = target(name, tmp_path)
    pool = replay(fed, guarded, corpus(name))
    assert len(pool) >= 4
    assert len({fed(guarded.put(data)) for data in pool}) >= 3, "all of it behaves alike"
    assert guarded.begun == 3 * len(pool)


@pytest.mark.parametrize(
    ("fault", "how"),
    [
        ("Raises", "AssertionError: two of them"),
        ("Beyond", "Segmentation fault"),
        ("Before", "Segmentation fault"),
        ("Hangs", "one input took more than 2 s"),
    ],
)
def test_what_is_planted_is_found_and_kept(fault: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    name = f"tests.fuzz.planted:{fault}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "seed").write_bytes(b"x?!x")
    (found,) = watch([name], 600, 1, jobs=1, folder=tmp_path, hangs=2)
    assert how in found.how
    assert found.input is not None
    assert (tmp_path / name / "seed") != found.input in corpus(name, tmp_path)
    kept = found.input.read_bytes()
    assert b"!!" in kept if fault == "Raises" else kept[:1] == b"!"
    (again,) = watch([name], 0, 1, jobs=1, folder=tmp_path, hangs=2)  # the corpus alone breaks it now
    assert how in again.how


def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    name = "tests.fuzz.planted:Planted"
    (tmp_path / name).mkdir()
    (tmp_path / name / "seed").write_bytes(bytes(ROOM + 7))
    (found,) = watch([name], 0, 1, jobs=1, folder=tmp_path)
    assert (found.inputs, found.input, found.how) == (2, None, "")


def test_the_command_says_how_it_went() -> None:
    argv = [sys.executable, "-m", "tests.fuzz", "json", "ring", "--seconds", "0.2", "--seed", "3"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(line.split(":")[0] for line in done.stdout.splitlines()) == ["json", "ring"]
    assert done.stdout.count("nothing found (seed 3)") == 2
