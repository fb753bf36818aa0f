"""The parts under pytest-benchmark: `make bench`. Times are of a whole run; `operations` in the extra information divides them."""

from typing import Any

import pytest

from bench.parts import PARTS, Part


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_part(benchmark: Any, part: Part) -> None:
    benchmark.group = part.name
    benchmark.extra_info["operations"] = part.ops
    benchmark(part.make())


@pytest.mark.parametrize("part", [part for part in PARTS if part.plain], ids=lambda part: part.name)
def test_plain(benchmark: Any, part: Part) -> None:
    benchmark.group = part.name
    benchmark.extra_info["operations"] = part.plain_ops
    assert part.plain is not None
    benchmark(part.plain())
