"""Inputs like those of a corpus, and unlike them: bytes changed, cut out, doubled, spliced, numbers at their ends."""

import random
from collections.abc import Sequence

_ENDS = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
)

_FIRST = 256  # bytes at the beginning that half of all changes go to: headers


def mutated(pool: Sequence[bytes], rng: random.Random, words: bytes, most: int) -> bytes:
    """One of the pool, changed one to some thirty times. `words`: bytes that mean something to who reads them."""
    out = bytearray(rng.choice(pool))
    for _ in range(rng.choice((1, 1, 2, 3, 5, 30))):
        _change(out, pool, rng, words)
    return bytes(out[:most])


def _change(out: bytearray, pool: Sequence[bytes], rng: random.Random, words: bytes) -> None:
    kind = rng.randrange(8)
    at = rng.randrange((min(len(out), _FIRST) if rng.randrange(2) else len(out)) + 1)
    if kind == 0 and at < len(out):
        out[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        out[at : at + 1] = bytes([rng.choice(words)])
    elif kind == 2:
        width = rng.choice((1, 2, 4, 8))
        value = (rng.choice(_ENDS) + rng.randrange(-1, 2)) % (1 << 8 * width)
        out[at : at + width] = value.to_bytes(width, rng.choice(("big", "little")))
    elif kind == 3:
        del out[at : at + rng.randint(1, 40)]
    elif kind == 4:
        out[at:at] = out[at : at + rng.randint(1, 80)]
    elif kind == 5:
        out[at:at] = bytes(rng.choice(words) for _ in range(rng.randint(1, 8)))
    elif kind == 6:
        other = rng.choice(pool)
        start = rng.randrange(len(other) + 1)
        out[at : at + rng.choice((0, 40))] = other[start : start + rng.randint(1, 200)]
    else:
        del out[at:]
