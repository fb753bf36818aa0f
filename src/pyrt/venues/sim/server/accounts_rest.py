"""The venue's own endpoint for accounts: a test opens one of its own on a venue that others use too."""

import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from pyrt.errors import ConfigError
from pyrt.venues.sim.exchange.account import Account
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import VenueRefusal
from pyrt.venues.sim.server.access import Access, AccountConfig, Cash, Multiplier, check_pair
from pyrt.venues.sim.server.edge import BadRequest, answer, local
from pyrt.venues.sim.server.floor import Floor

AssetClasses = Annotated[tuple[Literal["us_equity", "crypto", "us_option"], ...], msgspec.Meta(max_length=3)]


class NewAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What POST /sim/accounts may say: dollars as text, multiplier 1, 2 or 4."""

    cash: Cash = "100000"
    multiplier: Multiplier = 2


class Permitted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What PATCH /sim/accounts/{id} may say: the fields of Permissions that it changes."""

    trading_blocked: bool | msgspec.UnsetType = msgspec.UNSET
    account_blocked: bool | msgspec.UnsetType = msgspec.UNSET
    transfers_blocked: bool | msgspec.UnsetType = msgspec.UNSET
    asset_classes: AssetClasses | msgspec.UnsetType = msgspec.UNSET


class AccountsRest:
    """The handlers of /sim/accounts. Loopback only."""

    def __init__(self, floor: Floor, access: Access) -> None:
        self._floor = floor
        self._access = access

    def routes(self) -> list[web.RouteDef]:
        """Every path and method."""
        return [
            web.get("/sim/accounts", local(self.accounts), allow_head=False),
            web.post("/sim/accounts", local(self.open)),
            web.patch("/sim/accounts/{id}", local(self.permit)),
        ]

    async def accounts(self, request: web.Request) -> web.Response:
        """GET /sim/accounts: their ids and numbers, oldest first; no keys."""
        return answer([_show(account) for account in self._floor.exchange.state.accounts.values()])

    async def open(self, request: web.Request) -> web.Response:
        """POST /sim/accounts: a new account and its keys, which are told this once."""
        wanted = await _read(request, NewAccount)
        self._floor.catch_up()
        config = AccountConfig(
            key=f"PK{secrets.token_hex(9).upper()}",
            secret=secrets.token_urlsafe(30),
            cash=wanted.cash,
            multiplier=wanted.multiplier,
        )
        account = open_account(self._floor.exchange, self._access, config)
        self._floor.pass_on()
        return answer({**_show(account), "key": config.key, "secret": config.secret})

    async def permit(self, request: web.Request) -> web.Response:
        """PATCH /sim/accounts/{id}: what the venue lets it do, from now on."""
        account = self._floor.exchange.state.accounts.get(request.match_info["id"])
        if account is None:
            raise VenueRefusal(404, 40410000, f"account not found for {request.match_info['id']}")
        wanted = await _read(request, Permitted)
        self._floor.catch_up()
        self._floor.exchange.permit(account.id, **msgspec.structs.asdict(wanted))
        self._floor.pass_on()
        return answer(_show(account))


async def _read(request: web.Request, kind: Any) -> Any:
    try:
        return msgspec.json.decode(await request.read() or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BadRequest(str(e), 40010000) from None


def _show(account: Account) -> dict[str, Any]:
    return {"id": account.id, "account_number": account.number, **msgspec.to_builtins(account.permissions)}


def open_account(exchange: Exchange, access: Access, config: AccountConfig) -> Account:
    """Open the account that `config` describes. Raises ValueError; then nothing was opened."""
    check_pair(config.key, config.secret)
    account = exchange.state.accounts[exchange.open_account(cash=config.cash, multiplier=config.multiplier)]
    account.key, account.secret = config.key, config.secret
    access.add(config.key, config.secret, account.id)
    return account


def open_accounts(exchange: Exchange, first: AccountConfig, others: Sequence[AccountConfig]) -> Access:
    """The key pairs of a venue: the first account's, those of earlier lives, and an account for each that is new.

    Raises ConfigError. A key of an earlier life opens the same account again, with the secret that it has now.
    """
    keys = [first.key, *(config.key for config in others)]
    if len(set(keys)) < len(keys):
        raise ConfigError("two accounts have the same key", where="accounts", mend="give each a key of its own")
    access = Access()
    known = {account.key: account for account in exchange.state.accounts.values() if account.key}
    try:
        for account in known.values():
            access.add(account.key, account.secret, account.id)
        for config in others:
            if (held := known.get(config.key)) is None:
                open_account(exchange, access, config)
            else:
                access.add(config.key, config.secret, held.id)
                held.secret = config.secret
        access.add(first.key, first.secret, exchange.default)
    except ValueError as e:
        raise ConfigError(str(e), where="accounts", mend="write them in letters and digits") from None
    return access
