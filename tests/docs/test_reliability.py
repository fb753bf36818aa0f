"""docs/reliability.md says what docs/reliability.json holds, and "not run" where it holds nothing."""

import pytest
from tests.docs import reliability

pytestmark = pytest.mark.row("S019")


def test_the_page_and_the_figures_are_one() -> None:
    page = reliability.PAGE.read_text(encoding="utf-8")
    assert sorted(reliability.parts_of(page)) == sorted(reliability.PARTS)
    assert page == reliability.render(page, reliability.read()), "docs/reliability.md is old: run `make reliability`"


def test_the_sums_are_those_of_the_parts() -> None:
    figures = reliability.read()
    assert set(figures) <= set(reliability.COMMANDS)
    for kept in figures.values():
        assert kept["date"]
        assert kept["tree"]
    for fault in figures.get("real", {"report": {}})["report"].values():
        for sum_ in ("trials", "violations"):
            assert fault[sum_] == sum(part[sum_] for part in fault["parts"].values())


def test_what_has_no_figures_is_said_to_be_not_run() -> None:
    for name, part in reliability.PARTS.items():
        text = part({})
        assert "not run" in text, name
    rows = reliability.faults({}).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [f"| F{n}" for n in range(1, 34)]
    assert all("not run" in row or "no count" in row for row in rows)


def test_a_violation_and_a_mutant_that_lives_are_shown() -> None:
    fault = {"fault": "F1", "injection": "kill", "trials": 7, "violations": 1}
    simulated = {"crash_points": 7, "violations": [{"seed": 5, "text": "invariant 2: twice"}], "faults": [fault]}
    mutant = {"mutant": "x", "what": "y", "where": ["pyrt.z"], "caught": False, "invariant": "", "mode": "", "seed": None}
    beside = {"fault": "-", "injection": "kill switch", "trials": 1100, "violations": 0}
    simulated["faults"] = [fault, beside]
    report = {"mutants": [mutant | {"histories": 9}]}
    figures = {"simulated": {"report": simulated}, "mutants": {"report": report}}
    promise = " ".join(reliability.promise(figures).replace("\n>", "").split())
    assert "7 crash points in the simulation and real processes and disks (not run): 1 violations" in promise
    assert "seed 5: invariant 2: twice" in reliability.violations(figures)
    assert "| F1 | simulation | kill | 7 | 1 |" in reliability.faults(figures)
    assert "| - | simulation | kill switch | 1,100 | 0 |" in reliability.faults(figures)
    assert "**not caught**" in reliability.mutants(figures)
    assert "a violation is one that lives | 1 | 1 |" in reliability.faults(figures)


def test_a_soak_is_told_with_some_of_its_samples() -> None:
    row = {"messages": 500_000, "orders": 20, "connections": 1, "rss": 80 << 20, "fds": 29, "threads": 14, "tasks": 14}
    verdict = {"seconds": 3600.0, "rate": 50_000.0, "orders": 20, "rss_slope": 0.5, "grew": [], "faults": ["tasks"], "judged": True}
    report = reliability._thin({"verdict": verdict, "samples": [{"at": float(at), **row} for at in range(0, 3600, 10)]})
    text = reliability.soak({"soak": {"report": report}})
    assert text.count("| 500,000 | 20 | 1 | 80.0 | 29 | 14 | 14 |") == 13
    assert "| 3590 |" in text
    assert "3,600 s at 50,000 messages/s: tasks; memory +0.5 MiB an hour." in text
