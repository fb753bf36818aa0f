"""What a symbol stands for: options by their underlying, crypto pairs by either spelling."""

from typing import NamedTuple


class Contract(NamedTuple):
    """An option, as its OCC symbol tells."""

    root: str
    expiry: str  # YYYY-MM-DD
    call: bool
    strike: int  # px units


def contract(symbol: str) -> Contract | None:
    """Read an OCC symbol (AAPL260320C00190000); None for anything else."""
    root, tail = symbol[:-15], symbol[-15:]
    digits = tail[:6] + tail[7:]
    if not root or len(tail) != 15 or tail[6] not in "CP" or not (digits.isascii() and digits.isdigit()):
        return None
    return Contract(root, f"20{tail[:2]}-{tail[2:4]}-{tail[4:6]}", tail[6] == "C", int(tail[7:]) * 1_000_000)


def plain(symbol: str) -> str:
    """One spelling for a symbol: BTC/USD and BTCUSD, BRK.B and BRKB."""
    return symbol.strip().upper().replace("/", "").replace(".", "")


def restrictions(symbol: str) -> frozenset[str]:
    """The names under which a list may forbid a symbol."""
    option = contract(symbol)
    return frozenset({plain(symbol), plain(option.root)} if option else {plain(symbol)})


def read_list(text: str) -> frozenset[str]:
    """The names in a list: one symbol a line, or `issuer: SYM, SYM`; what follows # is a comment. Raises ValueError for a line."""
    names: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#")[0].strip()
        _, colon, symbols = line.rpartition(":")
        for symbol in symbols.split(",") if line else ():
            if not symbol.strip() or len(symbol.split()) != 1 or (not colon and "," in line):
                raise ValueError(f"line {number} is {line!r}: write one symbol, or `issuer: SYM, SYM`")
            names |= {plain(symbol)}
    return frozenset(names)
