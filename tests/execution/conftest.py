"""An engine that is recovered and flat."""

from collections.abc import Iterator

import pytest
from tests.reference.bench import Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    b = Bench()
    b.start()
    assert b.engine.recovered
    yield b
    replay = Bench(b.facts)
    assert replay.engine.state_digest() == b.engine.state_digest()
