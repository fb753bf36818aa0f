"""A venue for a module, as its VENUE says, and clients of it."""

from collections.abc import Iterator

import pytest
from alpaca.trading.client import TradingClient
from tests.venues.sim.clients import Client, open_client

from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.market.market import DEFAULT_START


@pytest.fixture(scope="module")
def venue(request: pytest.FixtureRequest) -> Iterator[SimulatedVenue]:
    """One for all tests of a module, with the settings of its VENUE; in the middle of a session, whenever the tests run."""
    with simulated_venue(**{"start": DEFAULT_START, **getattr(request.module, "VENUE", {})}) as v:
        yield v


@pytest.fixture(scope="module")
def trading(venue: SimulatedVenue) -> Iterator[TradingClient]:
    """alpaca-py's client of the venue's first account."""
    client = TradingClient(venue.key, venue.secret, paper=True, url_override=venue.url)
    yield client
    client._session.close()


@pytest.fixture
def call(venue: SimulatedVenue) -> Iterator[Client]:
    """A bare client of an account of its own."""
    client = open_client(venue)
    yield client
    client.session.close()
