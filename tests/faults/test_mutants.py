"""The harness finds faults that are put into our own code; without this its silence would mean nothing. Nightly: `make mutants`."""

import pytest
from tests.faults.mutant_list import MUTANTS
from tests.faults.mutants import judge, known, misfits
from tests.faults.patching import Misfit, Patch, install, patched

FAST = ("no-fsync", "re-post-after-restart", "reservation-kept")


def test_every_mutant_fits_the_source() -> None:
    assert not misfits()
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 25


def test_every_mutant_has_a_seed_that_catches_it() -> None:
    assert known().keys() == {mutant.name for mutant in MUTANTS}


@pytest.mark.parametrize("name", FAST)
def test_the_harness_catches(name: str) -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    assert judge(mutant, 0, known()[name])["caught"]


def test_a_patch_that_does_not_fit_is_refused() -> None:
    source = "a = 1\nb = 1\n"
    assert patched([Patch("m", "a = 1", "a = 2")], source) == "a = 2\nb = 1\n"
    for patch in (Patch("m", "= 1", "= 2"), Patch("m", "c = 1", "c = 2"), Patch("m", "a = 1", "a = 1")):
        with pytest.raises(Misfit):
            patched([patch], source)
    with pytest.raises(Misfit):  # this process has imported it: too late
        install([Patch("tests.faults.patching", "x", "y")])


@pytest.mark.nightly
@pytest.mark.timeout(36_000)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_harness_catches_them_all(mutant: object) -> None:
    named = next(each for each in MUTANTS if each is mutant)
    found = judge(named, 400, known().get(named.name))
    print(found)
    assert found["caught"]
