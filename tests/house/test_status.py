"""docs/status.md says what the tests show, no more and no less."""

import ast
import re

from tests.house import status


def test_the_page_is_up_to_date() -> None:
    assert status.PAGE.read_text(encoding="utf-8") == status.render(), "docs/status.md is old: run `make status`"


def test_markers_name_rows_of_the_list() -> None:
    known = {row for row, _ in status.rows()}
    assert len(known) == 155
    unknown = {row for row in status.shown() if row not in known and not re.fullmatch(r"[XPRT]\d{1,2}|[A-Z]{2,4}\d+", row)}
    assert not unknown


def test_what_is_said_of_a_row_is_said_of_one_that_something_shows() -> None:
    shown = status.shown().keys() | status.BENCHMARKS.keys() | status.MEASURED_PARTLY.keys()
    assert status.PARTLY.keys() - shown == set()


def test_markers_are_found_where_they_are() -> None:
    module = ast.parse("""
@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.row("S002"))])
@pytest.mark.row("S001", "X02")
def test_x(x): ...
""")
    [test] = module.body
    assert isinstance(test, ast.FunctionDef)
    assert sorted(row for decorator in test.decorator_list for row in status.ids(decorator)) == ["S001", "S002", "X02"]
    assert status.state("S001", [])[0] == "not yet"
    assert status.state("S001", ["tests/a.py::test_a"]) == ("works", "`a.py::test_a`")
