"""The texts of an order, beside what plain Python makes of the same numbers."""

import json
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyrt._core.order_text import cid_tail, plain_body
from pyrt._core.types import format_units
from pyrt.execution import cid
from pyrt.execution.cid import ALPHABET

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
TEXT = st.text(max_size=70) | st.from_regex(r"[A-Z0-9./-]{0,12}", fullmatch=True)


def plain_cid(journal: str, number: int) -> str:
    """As the specification of the cid reads: base 32, then a check in two letters, each place weighing ten times the next."""
    digits, rest = "", number
    while rest:
        rest, digit = divmod(rest, 32)
        digits = ALPHABET[digit] + digits
    text, remainder = f"p1-{journal}-{digits}", 0
    for character in text:
        remainder = (remainder * 10 + ord(character)) % 1021
    high, low = divmod(remainder * 10 % 1021, 32)
    return f"{text}-{ALPHABET[high]}{ALPHABET[low]}"


@given(journal=st.from_regex(r"[0-9A-Za-z]{8}", fullmatch=True), number=st.integers(1, (1 << 64) - 1))
@example(journal="k3v9q2xa", number=(1 << 64) - 1)
@example(journal="k3v9q2xa", number=1)
def test_a_cid_is_what_its_specification_says(journal: str, number: int) -> None:
    assert cid(journal, number) == plain_cid(journal, number)


def test_a_number_beyond_64_bits_has_no_cid() -> None:
    with pytest.raises(OverflowError):
        cid_tail(1 << 64, 0)


@given(units=INT64, exp=st.integers(0, 18))
@example(units=-(1 << 63), exp=18)
@example(units=-(1 << 63), exp=0)
@example(units=0, exp=9)
@example(units=-1, exp=18)
def test_units_are_written_in_full_without_trailing_zeros(units: int, exp: int) -> None:
    text = format(Decimal(units).scaleb(-exp), "f")
    expected = text.rstrip("0").rstrip(".") if "." in text else text
    assert format_units(units, exp) == (expected if units else "0")


@given(symbol=TEXT, qty=TEXT, cid_text=TEXT, limit=TEXT, stop=TEXT)
@example(symbol="BRK.B", qty="10", cid_text="p1-k3v9q2xa-1-00", limit="189.51", stop="")
@example(symbol='"', qty="10", cid_text="c", limit="", stop="1")
@example(symbol="\\", qty="10", cid_text="c", limit="", stop="1")
@example(symbol="\x7f", qty="10", cid_text="é", limit="", stop="1")
@example(symbol="A" * 64, qty="1" * 64, cid_text="c" * 64, limit="2" * 64, stop="3" * 64)
@example(symbol="A" * 65, qty="1", cid_text="c", limit="2", stop="3")
def test_a_body_is_the_json_of_its_fields(symbol: str, qty: str, cid_text: str, limit: str, stop: str) -> None:
    """None is right only where a value is not plain: then another encoder writes it."""
    body = plain_body(symbol, qty, "buy", "stop_limit", "day", cid_text, limit, stop)
    fields = {
        "symbol": symbol,
        "qty": qty,
        "side": "buy",
        "type": "stop_limit",
        "time_in_force": "day",
        "client_order_id": cid_text,
    }
    fields |= {"limit_price": limit} if limit else {}
    fields |= {"stop_price": stop} if stop else {}
    plain = all(
        len(text) <= 64 and text.isascii() and text.isprintable() and not set(text) & {'"', "\\"} for text in fields.values()
    )
    if plain:
        assert body == json.dumps(fields, separators=(",", ":")).encode()
    else:
        assert body is None
