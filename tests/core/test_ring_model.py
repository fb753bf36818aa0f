"""Every interleaving of a writer, the writers after its death and two readers, under what C11 allows: no torn record,
each loss counted, never over the beginning of a life; and that the model finds what it looks for."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.core.ring import COMPILER, build

pytestmark = [
    pytest.mark.row("S014"),
    pytest.mark.skipif(sys.platform != "linux" or COMPILER is None, reason="needs Linux and a C compiler"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("model", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of a ring that knows where the last life began, and of no other."""
    return build("model", tmp_path_factory.mktemp("model"), "-DRING_LIVES=2")


def explore(model: Path, scenario: str) -> dict[str, Any]:
    done = subprocess.run([str(model), *scenario.split()], capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode == 0) == ("violation" not in found)
    return found


RUNNING = [
    "capacity=4 publishes=4",
    "capacity=4 publishes=8 oldest=1",
    "capacity=2 publishes=9 oldest=1",
    "capacity=2 publishes=5 oldest=1 readers=2 words=1",
    "capacity=4 publishes=5 size=2 batch=2 oldest=1",
    "capacity=4 publishes=5 size=2 batch=2 every=1 oldest=1 room=3",
    "capacity=8 publishes=4 size=4 batch=2 oldest=1 words=1 room=4",
]
DYING = [  # at each store of the first writer, and of the second
    "die=all capacity=4 publishes=3 oldest=1 words=1",
    "die=all capacity=4 publishes=2 size=2 batch=2 words=1 oldest=1 room=3",
    "die=all capacity=2 publishes=1 words=1 readers=2 reads=1 oldest=1",
]


@pytest.mark.parametrize("scenario", RUNNING + DYING)
def test_nothing_goes_wrong(model: Path, scenario: str) -> None:
    found = explore(model, scenario)
    assert "violation" not in found
    assert found["outcomes"] > 20


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "scenario",
    [
        "capacity=4 publishes=12 oldest=1 reads=3",
        "capacity=8 publishes=9 size=2 batch=2 oldest=1 room=6 words=1",
        "die=all capacity=2 publishes=3 oldest=1",
        "die=all capacity=2 publishes=3 words=1 readers=2 reads=1 oldest=1",
        "die=all capacity=4 publishes=4 oldest=1 room=3",
        "die=all capacity=4 publishes=3 oldest=0 reads=3 words=1",
    ],
)
def test_nothing_goes_wrong_in_larger_rings(model: Path, scenario: str) -> None:
    found = explore(model, scenario)
    assert "violation" not in found
    print(scenario, found)


MUTANTS = {
    1: "the writer's fence is missing",
    2: "the head is stored relaxed",
    3: "the head is loaded relaxed",
    4: "the reader's fence is missing",
    5: "the window is the whole ring",
    6: "the head is not looked at again",
    7: "the life is stored relaxed",
    8: "the life is loaded relaxed",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=MUTANTS.get)
def test_the_model_finds_what_is_wrong(model: Path, mutant: int) -> None:
    scenario = "die=all capacity=2 publishes=3 oldest=1" if mutant >= 7 else "capacity=2 publishes=9 oldest=1"
    assert "violation" in explore(model, f"{scenario} mutant={mutant}")


MANY_LIVES = "capacity=8 batch=1 publishes=1 words=1 oldest=1 room=4 reads=2 die=99,99,99"


def test_beginnings_of_lives_are_forgotten_in_order(forgetful: Path) -> None:
    assert "violation" not in explore(forgetful, MANY_LIVES)
    for mutant in (9, 10):  # the writer's fence before a base, the reader's before it looks at the life again
        assert "violation" in explore(forgetful, f"{MANY_LIVES} mutant={mutant}")


@pytest.mark.parametrize(
    "scenario", ["capacity=2 publishes=3", "capacity=2 publishes=1 die=5", "capacity=4 publishes=3 size=2 batch=2"]
)
def test_interleavings_give_what_the_writer_first_gives(model: Path, scenario: str) -> None:
    """Readers store nothing, so that the model may let the writers run first; here are the interleavings, and store buffers."""
    scenario += " oldest=1 reads=1 words=1"
    first, interleaved, buffered = (explore(model, f"{scenario} mode={mode}") for mode in ("rc11", "interleaved", "tso"))
    assert (interleaved["set"], interleaved["outcomes"]) == (first["set"], first["outcomes"])
    assert interleaved["runs"] > buffered["runs"] > first["runs"]
    assert buffered["outcomes"] <= first["outcomes"]


@pytest.mark.parametrize("publishes", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_two_readers_are_two_times_one(model: Path, publishes: int) -> None:
    scenario = f"capacity=2 publishes={publishes} oldest=1 reads=1 words=1"
    one, two = (explore(model, f"{scenario} mode=interleaved readers={n}") for n in (1, 2))
    assert two["outcomes"] == one["outcomes"] ** 2
    assert two["runs"] == one["runs"] ** 2


def test_without_fences_store_buffers_alone_do_no_harm(model: Path) -> None:
    """Why x86-64 would forgive the missing fences, and a test on it proves nothing of them."""
    scenario = "capacity=2 publishes=4 oldest=1 reads=1 words=1"
    for mutant in (1, 4):
        assert "violation" in explore(model, f"{scenario} mutant={mutant}")
        assert "violation" not in explore(model, f"{scenario} mutant={mutant} mode=tso")
