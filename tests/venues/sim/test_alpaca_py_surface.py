"""Every public method of alpaca-py's clients is called by a test named here, or is absent for a reason given here."""

import ast
import inspect
from pathlib import Path

import pytest
from alpaca.data.historical import CryptoHistoricalDataClient, NewsClient, OptionHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.historical.screener import ScreenerClient
from alpaca.data.live import CryptoDataStream, NewsDataStream, OptionDataStream, StockDataStream
from alpaca.trading.client import TradingClient
from alpaca.trading.stream import TradingStream

pytestmark = pytest.mark.row("X08")

FOLDER = Path(__file__).parent
BARE = {"get", "post", "put", "patch", "delete", "response_wrapper"}  # of the client of all clients: covered with TradingClient
ALWAYS = {"run", "stop", "stop_ws", "close"}  # of every stream: covered with StockDataStream
FILES: dict[type, tuple[str, ...]] = {
    TradingClient: ("trading", "accounts", "orders", "options"),
    TradingStream: ("stocks",),
    StockHistoricalDataClient: ("stocks",),
    CryptoHistoricalDataClient: ("crypto",),
    OptionHistoricalDataClient: ("options",),
    CorporateActionsClient: ("corporate",),
    ScreenerClient: ("corporate",),
    NewsClient: (),
    StockDataStream: ("stocks", "clients"),  # which run and stop it
    CryptoDataStream: ("crypto",),
    OptionDataStream: ("options",),
    NewsDataStream: (),
}
NEWS = "there are no news in the venue: REST answers 404, the stream refuses"
OLD = "deprecated by Alpaca for CorporateActionsClient: 404"
ABSENT: dict[tuple[type, str], str] = {
    (TradingClient, "get_corporate_announcements"): OLD,
    (TradingClient, "get_corporate_announcement_by_id"): OLD,
    (NewsClient, "get_news"): NEWS,
    (NewsDataStream, "subscribe_news"): NEWS,
    (NewsDataStream, "unsubscribe_news"): NEWS,
}


def public(client: type) -> set[str]:
    names = {name for name, _ in inspect.getmembers(client, inspect.isfunction) if not name.startswith("_")}
    return names - (BARE if client is not TradingClient else set()) - (ALWAYS if client is not StockDataStream else set())


def called(kind: str) -> set[str]:
    """Names of methods that a file calls; those of f-strings `f"subscribe_{name}"` for each name of the tuple in the file."""
    path = FOLDER / ("clients.py" if kind == "clients" else f"test_alpaca_py_{kind}.py")
    if not path.exists():
        return set()
    tree = ast.parse(path.read_text())
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return found | {prefix + word for prefix in ("subscribe_", "unsubscribe_") if prefix in words for word in words}


@pytest.mark.parametrize("client", FILES, ids=lambda client: client.__name__)
def test_every_method_is_covered_or_absent(client: type) -> None:
    covered = set().union(*(called(kind) for kind in FILES[client])) if FILES[client] else set()
    absent = {name for owner, name in ABSENT if owner is client}
    assert public(client) - covered - absent == set()
    assert not absent & covered, "it is there after all"
    assert absent <= public(client)
