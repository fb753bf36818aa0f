"""Random requests to an exchange, for whoever runs them twice."""

from typing import Any

from hypothesis import strategies as st

from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import VenueRefusal


def order(**given: Any) -> dict[str, Any]:
    return {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "limit_price": "1.00", "time_in_force": "gtc", **given}


BRACKET = {
    "type": "limit",
    "limit_price": "900.00",
    "time_in_force": "day",
    "order_class": "bracket",
    "take_profit": {"limit_price": "950.00"},
    "stop_loss": {"stop_price": "2.00"},
}
REQUESTS = st.one_of(
    st.builds(
        lambda side, symbol, qty, kind: ("submit", {"symbol": symbol, "side": side, "qty": qty, **kind}),
        st.sampled_from(["buy", "sell"]),
        st.sampled_from(["AAPL", "SPY"]),
        st.sampled_from(["1", "300", "0.5"]),
        st.sampled_from([
            {"type": "market", "time_in_force": "day"},
            {"type": "limit", "limit_price": "150.00", "time_in_force": "ioc"},
            {"type": "limit", "limit_price": "900.00", "time_in_force": "day"},
            {"type": "limit", "limit_price": "2.00", "time_in_force": "gtc"},
            {"type": "stop", "stop_price": "3.00", "time_in_force": "day"},
            {"type": "trailing_stop", "trail_percent": "0.1", "time_in_force": "day"},
            {"type": "market", "time_in_force": "day", "qty": None, "notional": "5000"},
            BRACKET,
            {**BRACKET, "type": "market", "limit_price": None},
            {**BRACKET, "order_class": "oco", "type": "limit"},
        ]),
    ),
    st.tuples(st.sampled_from(["cancel", "replace"]), st.integers(0, 30)),
    st.tuples(st.sampled_from(["cancel_all", "close_all", "wait", "open_account"]), st.just(None)),
)  # fmt: skip


def perform(venue: Exchange, verb: str, what: Any, now: int) -> Any:
    """What the venue answers; a refusal is an answer too."""
    rows = venue.state.rows
    try:
        if verb == "submit":
            return venue.submit(what, now)
        if verb == "cancel" and rows:
            return venue.cancel(rows[what % len(rows)].id, now)
        if verb == "replace" and rows:
            return venue.replace(rows[what % len(rows)].id, {"limit_price": "3.00"}, now)
        if verb == "cancel_all":
            return venue.cancel_all(now)
        if verb == "close_all":
            return venue.close_all(now, cancel_orders=True)
        if verb == "open_account":
            return venue.open_account(cash="500")
    except VenueRefusal as refusal:
        return refusal.http, refusal.body
    return None
