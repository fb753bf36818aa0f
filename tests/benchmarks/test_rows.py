"""Every row: ours and the limit do the same job. A row that cannot run here says so by a missing peer, never by a missing limit."""

import shutil

import pytest
from bench.compare import check, stored
from bench.limits import compiler
from bench.rows import Contender, families, rows

pytestmark = pytest.mark.skipif(shutil.which(compiler()[0]) is None, reason="no C compiler here")


@pytest.mark.parametrize("family", families())
def test_ours_and_the_limit_give_the_same(family: str) -> None:
    for row in rows(family, peers=False):
        check(row, [c for c in row.contenders if c.run and c.kind != "peer"])


def test_what_the_guard_holds_exists_and_has_a_limit() -> None:
    guarded = {row.name: row for row in rows(peers=False) if row.name in stored()}
    assert set(guarded) == set(stored())
    assert all(isinstance(row.of("limit"), Contender) for row in guarded.values())
