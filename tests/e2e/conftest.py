"""A venue that outlives the sessions, and sessions on it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.drill import LIMITS, STRATEGY
from tests.e2e.processes import Run, Venue


@pytest.fixture
def venue() -> Iterator[Venue]:
    """A venue without a rate limit."""
    venue = Venue("--seed", "5")
    yield venue
    venue.close()


@pytest.fixture
def busy(tmp_path: Path) -> list[str]:
    """Options of a session that sends orders without end."""
    (tmp_path / "busy.py").write_text(STRATEGY)
    (tmp_path / "limits.toml").write_text(LIMITS)
    return ["--strategy", str(tmp_path / "busy.py"), "--limits", str(tmp_path / "limits.toml")]


@pytest.fixture
def start(venue: Venue, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts sessions on the venue with their state in tmp_path / "home"; whatever is left running at the end is killed."""
    runs: list[Run] = []

    def start(*options: str, **env: str) -> Run:
        fixed = [
            "--sim-url",
            venue.url,
            "--sim-state",
            str(tmp_path / "home"),
            "--rate-limit",
            "0",
            "--deadline",
            "1",
            "--settle",
            "1",
        ]
        runs.append(Run(*fixed, *options, **env))
        return runs[-1]

    yield start
    for run in runs:
        run.close()
