"""The client_order_id: a function of the journal and of the intent's place in it, the same in every retry, process and life."""

import re
from functools import lru_cache

from pyrt._core.order_text import cid_tail

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # no i, l, o, u: nobody misreads one
_VALUE = {letter: value for value, letter in enumerate(ALPHABET)}
_PRIME = 1021  # below 32 * 32: two letters hold a remainder
_WEIGHT = 10  # a primitive root of the prime: no two places of a cid weigh the same
_SHAPE = re.compile(r"p1-([0-9A-Za-z]{8})-([0-9a-z]{1,13})-([0-9a-z]{2})")


def cid(journal_id: str, number: int) -> str:
    """`p1-<journal id>-<number in base 32>-<check>`, at most 48 characters. Raises ValueError for a foreign id or number."""
    prefix, remainder = start_of(journal_id)
    if not prefix or not 0 < number < 1 << 64:
        raise ValueError(f"no cid for journal {journal_id!r} and number {number}")
    return prefix + cid_tail(number, remainder)


@lru_cache(maxsize=64)
def start_of(journal_id: str) -> tuple[str, int]:
    """(what all cids of a journal begin with, its remainder for the check); "" for what is no journal's id."""
    if not re.fullmatch(r"[0-9A-Za-z]{8}", journal_id):
        return "", 0
    prefix = f"p1-{journal_id}-"
    return prefix, _remainder(0, prefix)


def parse_cid(text: str) -> tuple[str, int] | None:
    """(journal id, number) of a cid that `cid` made; None for any other text, one wrong or swapped character included."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        return None
    journal_id, digits, _ = match.groups()
    number = 0
    for digit in digits:
        if digit not in _VALUE:
            return None
        number = number * 32 + _VALUE[digit]
    if not 0 < number < 1 << 64 or cid(journal_id, number) != text:
        return None
    return journal_id, number


def _remainder(remainder: int, text: str) -> int:
    for character in text:
        remainder = (remainder * _WEIGHT + ord(character)) % _PRIME
    return remainder
