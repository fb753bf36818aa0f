"""The venue's own endpoint for accounts: a test opens one of its own on a venue that others use too."""

import secrets
from collections.abc import Sequence

import msgspec
from aiohttp import web

from pyrt.errors import ConfigError
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.server.access import Access, AccountConfig, Cash, KeyPair, Multiplier, check_pair
from pyrt.venues.sim.server.edge import BadRequest, answer, local
from pyrt.venues.sim.server.floor import Floor


class NewAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What POST /sim/accounts may say: dollars as text, multiplier 1, 2 or 4."""

    cash: Cash = "100000"
    multiplier: Multiplier = 2


class AccountsRest:
    """The handlers of /sim/accounts. Loopback only."""

    def __init__(self, floor: Floor, access: Access) -> None:
        self._floor = floor
        self._access = access
        self._decode = msgspec.json.Decoder(NewAccount).decode

    def routes(self) -> list[web.RouteDef]:
        """Every path and method."""
        return [
            web.get("/sim/accounts", local(self.accounts), allow_head=False),
            web.post("/sim/accounts", local(self.open)),
        ]

    async def accounts(self, request: web.Request) -> web.Response:
        """GET /sim/accounts: their ids and numbers, oldest first; no keys."""
        return answer([{"id": a.id, "account_number": a.number} for a in self._floor.exchange.state.accounts.values()])

    async def open(self, request: web.Request) -> web.Response:
        """POST /sim/accounts: a new account and its keys, which are told this once."""
        try:
            wanted = self._decode(await request.read() or b"{}")
            config = AccountConfig(
                key=f"PK{secrets.token_hex(9).upper()}",
                secret=secrets.token_urlsafe(30),
                cash=wanted.cash,
                multiplier=wanted.multiplier,
            )
            self._floor.catch_up()
            pair = open_account(self._floor.exchange, self._access, config)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as e:
            raise BadRequest(str(e), 40010000) from None
        self._floor.changed = True
        return answer(pair)


def open_account(exchange: Exchange, access: Access, config: AccountConfig) -> KeyPair:
    """Open the account that `config` describes. Raises ValueError; then nothing was opened."""
    check_pair(config.key, config.secret)
    pair = KeyPair(
        key=config.key, secret=config.secret, account=exchange.open_account(cash=config.cash, multiplier=config.multiplier)
    )
    access.add(pair)
    return pair


def open_accounts(exchange: Exchange, first: AccountConfig, others: Sequence[AccountConfig], saved: list[KeyPair]) -> Access:
    """The key pairs of a venue: the first account's, those of earlier lives, and an account for each that is new.

    Raises ConfigError. A key of an earlier life opens the same account again, with the secret that it has now.
    """
    keys = [first.key, *(config.key for config in others)]
    if len(set(keys)) < len(keys):
        raise ConfigError("two accounts have the same key", where="accounts", mend="give each a key of its own")
    try:
        access = Access([KeyPair(key=first.key, secret=first.secret, account=exchange.default)])
        known = {pair.key: pair for pair in saved if pair.key != first.key}
        for pair in known.values():
            access.add(pair)
        for config in others:
            if config.key in known:
                access.add(msgspec.structs.replace(known[config.key], secret=config.secret))
            else:
                open_account(exchange, access, config)
    except ValueError as e:
        raise ConfigError(str(e), where="accounts", mend="write them in letters and digits") from None
    return access
