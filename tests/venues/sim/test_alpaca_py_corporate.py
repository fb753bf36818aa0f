"""alpaca-py's corporate actions and screener, unmodified, on the simulated venue; what of alpaca-py is absent says so."""

from datetime import date
from fractions import Fraction

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.enums import CorporateActionsType, MarketType, MostActivesBy
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.historical.news import NewsClient
from alpaca.data.historical.screener import ScreenerClient
from alpaca.data.requests import CorporateActionsRequest, MarketMoversRequest, MostActivesRequest, NewsRequest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import CorporateActionType
from alpaca.trading.requests import GetCorporateAnnouncementsRequest

from pyrt.venues.sim.actions import Action
from pyrt.venues.sim.library import SimulatedVenue
from pyrt.venues.sim.times import parse_time

pytestmark = pytest.mark.row("X08")

SPLIT = Action(kind="forward_split", symbol="AAPL", ex_date=date(2026, 3, 10), new_rate=4, old_rate=1)
SHRUNK = Action(kind="reverse_split", symbol="TSLA", ex_date=date(2026, 3, 11), new_rate=1, old_rate=10)
PAID = Action(kind="cash_dividend", symbol="MSFT", ex_date=date(2026, 3, 12), rate="0.75", payable_date=date(2026, 3, 20))
MARCH = {"start": date(2026, 3, 1), "end": date(2026, 3, 31)}
VENUE = {"start": parse_time("2026-03-02T05:10:00Z"), "actions": (SPLIT, SHRUNK, PAID)}


def test_corporate_actions(venue: SimulatedVenue) -> None:
    client = CorporateActionsClient(venue.key, venue.secret, url_override=venue.url)
    found = client.get_corporate_actions(CorporateActionsRequest(symbols=["AAPL", "MSFT", "TSLA"], **MARCH)).data
    (split,), (shrunk,), (paid,) = found["forward_splits"], found["reverse_splits"], found["cash_dividends"]
    assert (split.symbol, split.ex_date, Fraction(split.new_rate) / Fraction(split.old_rate)) == ("AAPL", date(2026, 3, 10), 4)
    assert Fraction(shrunk.new_rate) / Fraction(shrunk.old_rate) == Fraction(1, 10)
    assert (paid.rate, paid.payable_date) == (0.75, date(2026, 3, 20))
    only = client.get_corporate_actions(CorporateActionsRequest(types=[CorporateActionsType.CASH_DIVIDEND], **MARCH)).data
    assert set(only) == {"cash_dividends"}
    nobody = client.get_corporate_actions(CorporateActionsRequest(symbols=["SPY"], **MARCH)).data
    assert nobody == {}
    client._session.close()


def test_the_screener_ranks_the_day(venue: SimulatedVenue) -> None:
    client = ScreenerClient(venue.key, venue.secret, url_override=venue.url)
    by_volume = client.get_most_actives(MostActivesRequest(top=3, by=MostActivesBy.VOLUME)).most_actives
    assert [row.volume for row in by_volume] == sorted((row.volume for row in by_volume), reverse=True)
    by_trades = client.get_most_actives(MostActivesRequest(top=3, by=MostActivesBy.TRADES)).most_actives
    assert [row.trade_count for row in by_trades] == sorted((row.trade_count for row in by_trades), reverse=True)
    assert len(by_volume) == len(by_trades) == 3
    movers = client.get_market_movers(MarketMoversRequest(top=2, market_type=MarketType.STOCKS))
    assert all(row.percent_change >= 0 for row in movers.gainers)
    assert all(row.percent_change <= 0 for row in movers.losers)
    client._session.close()


def test_what_is_absent_says_so(venue: SimulatedVenue) -> None:
    news = NewsClient(venue.key, venue.secret, url_override=venue.url)
    with pytest.raises(APIError, match="news") as refused:
        news.get_news(NewsRequest(symbols="AAPL"))
    assert 400 <= refused.value.status_code < 500
    news._session.close()
    trading = TradingClient(venue.key, venue.secret, paper=True, url_override=venue.url)
    asked = GetCorporateAnnouncementsRequest(ca_types=[CorporateActionType.SPLIT], since=date(2026, 3, 1), until=date(2026, 3, 31))
    with pytest.warns(DeprecationWarning, match="get_corporate_announcements"), pytest.raises(APIError) as refused:
        trading.get_corporate_announcements(asked)
    assert (refused.value.status_code, refused.value.code) == (404, 40410000)
    with pytest.raises(APIError) as refused:
        trading.get_corporate_announcement_by_id(SPLIT.id)
    assert (refused.value.status_code, refused.value.code) == (404, 40410000)
    trading._session.close()
