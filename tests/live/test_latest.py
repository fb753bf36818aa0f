import sys
from collections import deque

import pytest

from pyrt.live.latest import Latest


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 95])
def test_the_last_numbers_are_kept(count: int) -> None:
    latest, known = Latest(10), deque[int](maxlen=10)
    for number in range(count):
        latest.append(number << 40)
        known.append(number << 40)
    assert sorted(latest.copy()) == list(known)


def test_a_series_takes_no_memory_as_it_grows() -> None:
    latest = Latest(4096)
    latest.append(1)
    before = sys.getallocatedblocks()
    for number in range(1 << 40, (1 << 40) + 4096):
        latest.append(number)
    assert sys.getallocatedblocks() - before < 10
