"""The pytest plugin of the wheel: `alpaca_venue` is a new simulated venue for each test that asks for it.

Nothing of the venue is imported before the first such test.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pyrt.venues.sim.library import SimulatedVenue

MARK = "alpaca_venue"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", f"{MARK}(market=..., seed=..., ...): of the fixture {MARK}, as for pyrt.sim()")


@pytest.fixture
def alpaca_venue(request: pytest.FixtureRequest) -> "Iterator[SimulatedVenue]":
    """An Alpaca-compatible venue of this test's own, on a free port; set up by `@pytest.mark.alpaca_venue(seed=7, cash=5000)`.

    A marker of the class or the module counts where a nearer one is silent.
    """
    from pyrt.venues.sim.library import sim

    settings: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(MARK))):
        if mark.args:
            raise pytest.UsageError(f"{request.node.nodeid}: write the settings of {MARK} by name")
        settings |= mark.kwargs
    with sim(**settings) as venue:
        yield venue


@pytest.fixture
def alpaca_env(alpaca_venue: "SimulatedVenue", monkeypatch: pytest.MonkeyPatch) -> "SimulatedVenue":
    """The same venue, with the variables APCA_API_KEY_ID, APCA_API_BASE_URL and so on set for the test."""
    for name, value in alpaca_venue.env.items():
        monkeypatch.setenv(name, value)
    return alpaca_venue
