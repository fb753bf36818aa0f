"""Processes that fork sessions, one shim for all."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.e2e.faults.processes import Zygote, compile_shim


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled shim."""
    return compile_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="session")
def zygote(shim: Path) -> Iterator[Zygote]:
    """One process that forks."""
    with Zygote(shim) as it:
        yield it


@pytest.fixture
def zygotes(shim: Path) -> Iterator[list[Zygote]]:
    """Two that work side by side."""
    with ExitStack() as stack:
        yield [stack.enter_context(Zygote(shim)) for _ in range(2)]
