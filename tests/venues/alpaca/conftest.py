"""What the tests of the adapter share: a venue's REST side that does as it is told, and an inbox that can be waited for."""

from collections.abc import Iterator

import pytest
from tests.venues.alpaca.rest_server import Inbox, RestServer

from pyrt.venues.alpaca.transport import DIRECT, REQUESTS


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture(params=[REQUESTS, DIRECT])
def transport(request: pytest.FixtureRequest) -> str:
    """How the requests travel: whatever holds for one way holds for the other."""
    return str(request.param)


@pytest.fixture
def server() -> Iterator[RestServer]:
    with RestServer() as running:
        yield running
