"""What changed since the last whole save, on file before anybody hears of it: a venue that is killed forgets nothing it said.

A line of JSON a change, handed to the operating system, not synced: it outlives the process, not the machine's power. Rows, fills
and refusals grow, so only those that are new or touched are written; what else differs is written as it is now.
"""

import os
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
from msgspec.structs import replace

from pyrt.errors import DataError
from pyrt.venues.sim.exchange.account import Account
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import Row
from pyrt.venues.sim.exchange.state import Fill, State

NAME = "changes"

_GROWING = ("rows", "fills", "refused")
_DERIVED = frozenset({"cids", "samples"})  # of an account: told by the rows; a long record of the past that saves keep
# What of the rest changes without a change of rows or fills that `touched` does not name; the other fields say that the past was
# changed, and then the whole is written.
_ROUTINE = frozenset({
    "now", "ids", "accounts", "agenda", "put_down", "marks", "closes", "official", "bands", "crosses", "halts", "halted",
    "entries", "actions", "listings", "expiries", "requotes",
})  # fmt: skip
_MAKE = {f.name: f.default_factory for f in msgspec.structs.fields(Account) if f.name in _DERIVED}
_TYPES = get_type_hints(State)
_encode = msgspec.json.Encoder().encode


class Change(msgspec.Struct, omit_defaults=True):
    """One line."""

    at: int  # venue ns
    rows: list[Row] = []
    fills: list[Fill] = []
    refused: list[dict[str, Any]] = []
    accounts: dict[str, msgspec.Raw] = {}
    rest: dict[str, msgspec.Raw] = {}
    whole: State | None = None


_decoder = msgspec.json.Decoder(Change)


def file_of(directory: Path, generation: int) -> Path:
    """The changes after the save of that generation."""
    return directory / f"{NAME}.{generation}"


class Changes:
    """The file of one generation, open for appending. Raises OSError where the disk refuses: then nothing may be told."""

    def __init__(self, directory: Path, generation: int, exchange: Exchange) -> None:
        self.path = file_of(directory, generation)
        self._exchange = exchange
        exchange.touched.clear()  # the save before this file has them
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        state = exchange.state
        self._counts = [len(getattr(state, name)) for name in _GROWING]
        self._rest = _rest(state)
        self._accounts = _accounts(state)

    def note(self) -> None:
        """Write what differs from the last note."""
        state = self._exchange.state
        counts = [len(getattr(state, name)) for name in _GROWING]
        rest, accounts = _rest(state), _accounts(state)
        changed = {name: value for name, value in rest.items() if self._rest.get(name) != value}
        change = Change(at=state.now)
        if changed.keys() - _ROUTINE:
            change.whole = state
        else:
            rows, fills, refused = self._counts
            named = {number for number in self._exchange.touched if number <= rows}
            change.rows = [state.rows[number - 1] for number in sorted(named)] + state.rows[rows:]
            change.fills, change.refused = state.fills[fills:], state.refused[refused:]
            change.rest = {name: msgspec.Raw(value) for name, value in changed.items()}
            known = self._accounts
            change.accounts = {owner: msgspec.Raw(value) for owner, value in accounts.items() if known.get(owner) != value}
        self._exchange.touched.clear()
        self._counts, self._rest, self._accounts = counts, rest, accounts
        if change.whole or change.rows or change.fills or change.refused or change.rest or change.accounts:
            left = _encode(change) + b"\n"
            while left:  # a full disk takes a part of it, and then refuses
                left = left[os.write(self._fd, left) :]

    def close(self, *, remove: bool = False) -> None:
        """Close it; `remove` when a later save holds all of it."""
        os.close(self._fd)
        if remove:
            self.path.unlink(missing_ok=True)


def _rest(state: State) -> dict[str, bytes]:
    left_out = {*_GROWING, "accounts", "now"}
    return {name: _encode(getattr(state, name)) for name in state.__struct_fields__ if name not in left_out}


def _accounts(state: State) -> dict[str, bytes]:
    return {owner: _encode(replace(account, **_empty())) for owner, account in state.accounts.items()}


def _empty() -> dict[str, Any]:
    return {name: make() for name, make in _MAKE.items()}


def replay(path: Path, state: State) -> State:
    """The state with the changes of a file made; a last line that was not finished was never told. Raises DataError."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return state
    for line in lines[:-1]:
        try:
            state = _apply(state, _decoder.decode(line))
        except msgspec.MsgspecError as e:
            raise DataError(f"the changes after the save cannot be read: {e}", where=str(path), mend="move it away") from None
    return state


def _apply(state: State, change: Change) -> State:
    if change.whole is not None:
        return change.whole
    for row in change.rows:
        state.rows[row.number - 1 : row.number] = [row]
    state.fills += change.fills
    state.refused += change.refused
    state.now = max(state.now, change.at)
    for name, value in change.rest.items():
        setattr(state, name, msgspec.json.decode(value, type=_TYPES[name]))
    for owner, value in change.accounts.items():
        account, held = msgspec.json.decode(value, type=Account), state.accounts.get(owner)
        kept = {name: getattr(held, name) for name in _MAKE} if held is not None else {}
        state.accounts[owner] = replace(account, **kept)
    return state
