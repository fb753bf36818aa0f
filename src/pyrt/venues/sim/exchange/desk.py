"""What an account's owner keeps and asks for beside orders: configuration, watchlists, the history of the portfolio."""

from typing import Any

import msgspec

from pyrt.venues.sim.exchange import configuration, portfolio, watchlists
from pyrt.venues.sim.exchange.books import Books
from pyrt.venues.sim.exchange.hours import Hours
from pyrt.venues.sim.exchange.orders import Body, VenueRefusal, invalid
from pyrt.venues.sim.exchange.samples import next_minute
from pyrt.venues.sim.times import new_york_midnight


class Desk(Books):
    """The verbs of /v2/account/configurations, /v2/watchlists and /v2/account/portfolio; `account` is an id, None = the first."""

    hours: Hours

    # ------------------------------------------------------------------------------------------------ configuration
    def configuration(self, account: str | None = None) -> Body:
        """GET /v2/account/configurations."""
        return configuration.show(self._account(account).configuration, self.old_fields)

    def configure(self, body: Body, account: str | None = None) -> Body:
        """PATCH /v2/account/configurations. Raises VenueRefusal 422; then nothing changed."""
        owner = self._account(account)
        owner.configuration = configuration.changed(owner.configuration, body, self.old_fields)
        return self.configuration(account)

    def permit(self, account: str | None = None, **permissions: Any) -> None:
        """Change what the venue lets an account do: the fields of Permissions."""
        owner = self._account(account)
        given = {name: value for name, value in permissions.items() if value is not msgspec.UNSET}
        owner.permissions = msgspec.structs.replace(owner.permissions, **given)

    # ------------------------------------------------------------------------------------------------ watchlists
    def watchlists(self, account: str | None = None) -> list[Body]:
        """GET /v2/watchlists: all of them, without their assets."""
        owner = self._account(account)
        return [watchlists.show(found, owner.id, None) for found in owner.watchlists.values()]

    def watchlist(self, id_: str | None, name: str | None = None, account: str | None = None) -> Body:
        """GET /v2/watchlists/{id} or :by_name. Raises VenueRefusal 404."""
        owner = self._account(account)
        return watchlists.show(watchlists.find(owner.watchlists, id_, name), owner.id, self.assets_.shown)

    def add_watchlist(self, body: Body, now: int, account: str | None = None) -> Body:
        """POST /v2/watchlists. Raises VenueRefusal."""
        owner = self._account(account)
        name = watchlists.read_name(owner.watchlists, body.get("name"))
        assets = self._named(watchlists.read_symbols(body.get("symbols")))
        if len(owner.watchlists) >= watchlists.LISTS_MAX:
            raise invalid(f"an account holds no more than {watchlists.LISTS_MAX} watchlists", 40010001)
        made = watchlists.Watchlist(id=self.state.new_id(), name=name, created_at=now, updated_at=now, assets=assets)
        owner.watchlists[made.id] = made
        return watchlists.show(made, owner.id, self.assets_.shown)

    def change_watchlist(self, id_: str | None, body: Body, now: int, name: str | None = None, account: str | None = None) -> Body:
        """PUT /v2/watchlists/{id} or :by_name: a new name, other assets, or both. Raises VenueRefusal."""
        owner = self._account(account)
        found = watchlists.find(owner.watchlists, id_, name)
        fresh = found.name if body.get("name") is None else watchlists.read_name(owner.watchlists, body["name"], found)
        given = body.get("symbols")
        found.assets = found.assets if given is None else self._named(watchlists.read_symbols(given))
        found.name, found.updated_at = fresh, now
        return watchlists.show(found, owner.id, self.assets_.shown)

    def add_to_watchlist(self, id_: str | None, body: Body, now: int, name: str | None = None, account: str | None = None) -> Body:
        """POST /v2/watchlists/{id} or :by_name: one more asset; one that is there stays where it is. Raises VenueRefusal."""
        owner = self._account(account)
        found = watchlists.find(owner.watchlists, id_, name)
        symbol = body.get("symbol")
        if not isinstance(symbol, str) or not symbol:
            raise invalid("symbol is required", 40010001)
        (asset,) = self._named([symbol])
        if asset not in found.assets:
            if len(found.assets) >= watchlists.ASSETS_MAX:
                raise invalid(f"a watchlist holds no more than {watchlists.ASSETS_MAX} assets", 40010001)
            found.assets.append(asset)
        found.updated_at = now
        return watchlists.show(found, owner.id, self.assets_.shown)

    def take_from_watchlist(
        self, id_: str | None, symbol: str, now: int, name: str | None = None, account: str | None = None
    ) -> Body:
        """DELETE /v2/watchlists/{id}/{symbol}. Raises VenueRefusal 404."""
        owner = self._account(account)
        found = watchlists.find(owner.watchlists, id_, name)
        instrument = self.assets_.find(symbol)
        if instrument is None or instrument.id not in found.assets:
            raise VenueRefusal(404, 40410000, f"asset not found for {symbol}")
        found.assets.remove(instrument.id)
        found.updated_at = now
        return watchlists.show(found, owner.id, self.assets_.shown)

    def drop_watchlist(self, id_: str | None, name: str | None = None, account: str | None = None) -> None:
        """DELETE /v2/watchlists/{id} or :by_name. Raises VenueRefusal 404."""
        owner = self._account(account)
        del owner.watchlists[watchlists.find(owner.watchlists, id_, name).id]

    def _named(self, symbols: list[str]) -> list[int]:
        found: dict[int, None] = {}
        for symbol in symbols:
            instrument = self.assets_.find(symbol)
            if instrument is None:
                raise invalid(f'asset "{symbol}" not found')
            found[instrument.id] = None
        return list(found)

    # ------------------------------------------------------------------------------------------------ the portfolio
    def keep_samples(self, now: int) -> None:
        """From now on write down each minute what the accounts are worth; once is enough, also over restarts."""
        if not any(item.kind == "sample" for item in self.state.agenda):
            self.state.put(next_minute(now), "sample")

    def _sample(self) -> None:
        now = self.state.now
        midnight = new_york_midnight(now) == now
        for owner in self.state.accounts.values():
            owner.samples.add(now, self.figures(owner).equity, midnight=midnight)
        self.state.put(next_minute(now), "sample")

    def portfolio_history(self, now: int, asked: dict[str, Any], account: str | None = None) -> Body:
        """GET /v2/account/portfolio/history. Raises VenueRefusal 422."""
        owner = self._account(account)
        ask = portfolio.read(asked, now)
        return portfolio.history(owner, ask, now, self.figures(owner).equity, self.hours, self.state.entries)
