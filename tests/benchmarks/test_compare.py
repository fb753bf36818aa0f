"""The frame of the comparison: nothing is timed before results agree, and a claim that noise could make or break is no claim."""

import shutil
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from bench import compare
from bench.compare import Figure, Result, measure, same, table
from bench.limits import compiler, flags, limit
from bench.rows import Contender, Row, Took, families, peer, rows

needs_compiler = pytest.mark.skipif(shutil.which(compiler()[0]) is None, reason="no C compiler here")


def row(*contenders: Contender, bound: float | None = None, most: float | None = None) -> Row:
    return Row("test.row", "a job", "ns", 10, contenders, bound, most)


OURS = Contender("us", "ours", lambda: (1, 2))


def test_flags_are_those_of_a_release_build_without_options() -> None:
    told = flags()
    assert {"-O3", "-DNDEBUG", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2"} <= set(told)
    assert not any("sanitize" in flag or "TRACE" in flag for flag in told)


@needs_compiler
def test_a_limit_is_compiled_and_called() -> None:
    assert limit("noise").spin(0) == limit("noise").spin(0)
    with pytest.raises(FileNotFoundError):
        limit("nothing of this name")


def test_results_that_differ_are_refused_before_anything_is_timed() -> None:
    with pytest.raises(AssertionError, match=r"test\.row: wrong gives \(1, 3\)"):
        measure(row(OURS, Contender("wrong", "limit", lambda: (1, 3))))
    with pytest.raises(AssertionError, match="a peer"):
        measure(row(OURS, Contender("a peer", "peer", lambda: (1, 3))))


@needs_compiler
def test_rounds_are_interleaved_and_a_peer_without_a_comparable_result_may_run() -> None:
    calls: list[str] = []

    def told(name: str, result: object) -> Contender:
        return Contender(
            name, "ours" if name == "us" else "limit" if name == "C" else "peer", lambda: (calls.append(name), result)[1]
        )

    result = measure(row(told("us", 1), told("C", 1), told("other", None)), 7, 0.0)
    assert calls[:3] == ["us", "C", "other"]  # the check
    assert [calls[3 * i] for i in range(1, 8)] == ["C", "other", "us", "C", "other", "us", "C"]  # who begins goes round
    assert [f.name for f in result.figures] == ["us", "C", "other"]


@needs_compiler
def test_a_clock_of_its_own_and_fewer_operations() -> None:
    def crossing() -> Took:
        return Took(3e-6, None)

    slow = Contender("slow", "peer", crossing, None, "own", 1)
    result = measure(row(Contender("us", "ours", crossing, clock="own"), slow), 7, 0.0)
    assert [f.least for f in result.figures] == pytest.approx([300.0, 3000.0])


@needs_compiler
def test_what_is_not_installed_is_named() -> None:
    def missing() -> Iterator[None]:
        raise ModuleNotFoundError("no module")

    result = measure(row(OURS, peer("nowhere", missing)), 7, 0.0)  # type: ignore[arg-type]
    assert result.absent == ("nowhere",)
    assert "nowhere not installed" in list(table([result]))[-1]


def result(ours: tuple[float, float], bare: tuple[float, float], bound: float | None = 1.5, most: float | None = None) -> Result:
    figures = (Figure("us", "ours", min(ours), 0.0, ours), Figure("C", "limit", min(bare), 0.0, bare))
    return Result("r", "", "ns", 1, figures, (), bound, most, 7, min(ours) / min(bare), 1.0, 0.0)


@pytest.mark.parametrize(
    ("ours", "bare", "most", "word"),
    [
        ((10.0, 10.1), (10.0, 10.1), None, "holds"),
        ((20.0, 20.1), (10.0, 10.1), None, "over"),
        ((16.0, 14.0), (10.0, 10.0), None, "unsure"),
        ((10.0, 10.1), (10.0, 10.1), 5.0, "over"),
        ((10.0, 12.0), (10.0, 12.0), 11.0, "unsure"),
    ],
)
def test_a_difference_between_the_halves_above_the_margin_makes_a_claim_unsure(
    ours: tuple[float, float], bare: tuple[float, float], most: float | None, word: str
) -> None:
    assert result(ours, bare, most=most).word() == word


def test_an_absolute_claim_that_fails_while_the_processor_is_shared_is_unsure() -> None:
    late = result((20.0, 20.0), (10.0, 10.0), bound=None, most=15.0)
    assert late.word() == late.word(calm=0.95) == "over"
    assert late.word(calm=0.5) == "unsure"


def test_the_guard_takes_the_better_of_both_ratios() -> None:
    assert compare.steady(replace(result((20.0, 20.0), (10.0, 10.0)), paired=1.4)) == 1.4
    assert compare.steady(replace(result((20.0, 20.0), (10.0, 10.0)), paired=3.0)) == 2.0


def test_same() -> None:
    assert same((1, np.arange(3)), [1, np.arange(3)])
    assert not same((1, np.arange(3)), (1, np.arange(4)))
    assert not same((1,), (1, 2))


def test_a_row_has_one_of_ours_and_a_name_that_is_known() -> None:
    with pytest.raises(ValueError, match="one contender is ours"):
        row(Contender("C", "limit", lambda: 1))
    with pytest.raises(KeyError, match="nothing"):
        list(rows("nothing"))
    assert "book" in families()


@needs_compiler
def test_the_guard_fails_a_row_that_is_beyond_its_bound_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    ratios = iter([9.0, 1.0, 9.0, 9.0])

    def measured(row: Row, rounds: int, seconds: float) -> Result:
        value = next(ratios)
        return result((value, value), (1.0, 1.0))

    slow, slower = (Row(f"test.{n}", "", "ns", 1, (OURS,)) for n in ("a", "b"))
    monkeypatch.setattr(compare, "measure", measured)
    monkeypatch.setattr(compare, "rows", lambda *names, peers: [slow, slower])
    monkeypatch.setattr(compare, "stored", lambda: {"test.a": 2.0, "test.b": 2.0})
    assert compare.guard([], 7) == 1
