"""The data streams that there are: their paths, their channels, and whether the account's plan holds them."""

from typing import NamedTuple

from pyrt.model import AssetClass

DELAY = 900_000_000_000  # ns of delayed_sip
TEST_SYMBOL = "FAKEPACA"
PLAN = ("iex", "sip", "delayed_sip")  # feeds of shares that a client may have, unless the venue is told otherwise


class Feed(NamedTuple):
    """One kind of stream."""

    asset_class: AssetClass
    channels: tuple[str, ...]
    foreign: tuple[str, ...]  # channels of other feeds, or not to be named
    implied: tuple[str, ...]  # that come with trades
    rare: tuple[str, ...] = ()  # channels that are listed only while somebody wants them


STOCKS = Feed(
    AssetClass.US_EQUITY,
    ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "imbalances"),
    ("orderbooks", "news", "corrections", "cancelErrors"),
    ("corrections", "cancelErrors"),
    ("imbalances",),
)
CRYPTO = Feed(
    AssetClass.CRYPTO,
    ("trades", "quotes", "bars", "updatedBars", "dailyBars", "orderbooks"),
    ("statuses", "lulds", "news", "imbalances", "corrections", "cancelErrors"),
    (),
)

NEWS = Feed(AssetClass.US_EQUITY, ("news",), (), ())

STOCK_PATHS = {f"/v2/{name}": name for name in ("iex", "sip", "delayed_sip", "boats", "overnight", "otc", "test")}
CRYPTO_PLACES = ("us", "us-1", "us-2", "eu-1")  # one market
CRYPTO_PATHS = tuple(f"/v1beta3/crypto/{place}" for place in CRYPTO_PLACES)
NEWS_PATH = "/v1beta1/news"  # of REST and of a stream
FEED_NAMES = tuple(name for name in STOCK_PATHS.values() if name != "test")
OPTION_PATHS = ("/v1beta1/indicative", "/v1beta1/opra")
STREAM_PATHS = frozenset((*STOCK_PATHS, *CRYPTO_PATHS, *OPTION_PATHS))
