"""The assets of the simulated venue, in Alpaca's shape."""

from collections.abc import Iterable
from uuid import UUID, uuid5

from pyrt._core.types import format_units
from pyrt.model import AssetClass, Instrument
from pyrt.venues.sim.exchange.orders import Body, VenueRefusal

NAMESPACE = UUID("7d3b6c1e-2f0a-5a52-9f4e-70797274aa01")
KNOWN = {
    "AAPL": ("Apple Inc. Common Stock", "NASDAQ"),
    "MSFT": ("Microsoft Corporation Common Stock", "NASDAQ"),
    "SPY": ("SPDR S&P 500 ETF Trust", "ARCA"),
    "GOOGL": ("Alphabet Inc. Class A Common Stock", "NASDAQ"),
    "AMZN": ("Amazon.com, Inc. Common Stock", "NASDAQ"),
    "TSLA": ("Tesla, Inc. Common Stock", "NASDAQ"),
}


# Assets of the generated venue that are not like the others. They have no tape: a limit order for one rests.
UNLIKE: dict[str, Body] = {
    "HARD": {"name": "Hard to Borrow Incorporated", "exchange": "NYSE", "easy_to_borrow": False},
    "NOSH": {"name": "Not Shortable Holdings", "exchange": "NYSE", "shortable": False, "easy_to_borrow": False},
    "WHOL": {"name": "Whole Shares Only Limited", "exchange": "NASDAQ", "fractionable": False},
    "LEVR": {"name": "Fully Paid Trust", "exchange": "ARCA", "marginable": False, "maintenance_margin_requirement": 100},
    "GONE": {"name": "Gone Corporation", "exchange": "NYSE", "status": "inactive", "tradable": False, "shortable": False},
}
UNLIKE_ID = 901  # of the first of them; instruments of the market have smaller ids
LEAST = {"BTC/USD": "0.000013", "ETH/USD": "0.0004"}  # sizes of an order, about a dollar


def unlike() -> list[Instrument]:
    """The instruments of the assets that are not like the others."""
    return [Instrument(id=UNLIKE_ID + place, symbol=symbol) for place, symbol in enumerate(UNLIKE)]


def show_asset(instrument: Instrument) -> Body:
    """The object of GET /v2/assets/{symbol}."""
    if instrument.asset_class == AssetClass.CRYPTO:
        return _show_pair(instrument)
    name, exchange = KNOWN.get(instrument.symbol, (instrument.symbol, "NASDAQ"))
    asset = {
        "id": str(uuid5(NAMESPACE, instrument.symbol)),
        "class": "us_equity",
        "exchange": exchange,
        "symbol": instrument.symbol,
        "name": name,
        "status": "active",
        "tradable": True,
        "marginable": True,
        "shortable": True,
        "easy_to_borrow": True,
        "fractionable": True,
        "maintenance_margin_requirement": 30,
        "attributes": ["fractional_eh_enabled"],
    }
    unusual = UNLIKE.get(instrument.symbol, {}) if instrument.id >= UNLIKE_ID else {}
    return {**asset, **unusual, **({"attributes": []} if unusual else {})}


def _show_pair(instrument: Instrument) -> Body:
    step = format_units(instrument.lot, instrument.qty_exp)
    return {
        "id": str(uuid5(NAMESPACE, instrument.symbol)),
        "class": "crypto",
        "exchange": "CRYPTO",
        "symbol": instrument.symbol,
        "name": instrument.symbol,
        "status": "active",
        "tradable": True,
        "marginable": False,
        "shortable": False,
        "easy_to_borrow": False,
        "fractionable": True,
        "min_order_size": LEAST.get(instrument.symbol, step),
        "min_trade_increment": step,
        "price_increment": format_units(instrument.tick),
        "attributes": [],
    }


class Assets:
    """Instruments and their assets, found by id, symbol or asset id."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self.instruments: dict[int, Instrument] = {}
        self.shown: dict[int, Body] = {}
        self._names: dict[str, int] = {}
        for instrument in instruments:
            self.add(instrument)

    def add(self, instrument: Instrument) -> None:
        """List another instrument."""
        asset = show_asset(instrument)
        self.instruments[instrument.id] = instrument
        self.shown[instrument.id] = asset
        self._names[instrument.symbol] = self._names[str(asset["id"])] = instrument.id
        if instrument.asset_class == AssetClass.CRYPTO:
            self._names.setdefault(instrument.symbol.replace("/", ""), instrument.id)  # as positions were once written

    def find(self, name: object) -> Instrument | None:
        """The instrument of a symbol or an asset id."""
        found = self._names.get(name) if isinstance(name, str) else None
        return None if found is None else self.instruments[found]

    def asset(self, name: str) -> Body:
        """One asset. Raises VenueRefusal 404."""
        instrument = self.find(name)
        if instrument is None:
            raise VenueRefusal(404, 40410000, f"asset not found for {name}")
        return dict(self.shown[instrument.id])
