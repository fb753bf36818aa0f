"""The client_order_id: one text for one intent, and no typing error passes for another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.execution.cid import ALPHABET, cid, parse_cid

journals = st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ234567abcdefghijklmnopqrstuvwxyz", min_size=8, max_size=8)
numbers = st.integers(min_value=1, max_value=2**64 - 1)


@given(journals, numbers)
def test_round_trip(journal: str, number: int) -> None:
    text = cid(journal, number)
    assert len(text) <= 48
    assert parse_cid(text) == (journal, number)


@given(journals, numbers, st.data())
def test_one_wrong_character_is_seen(journal: str, number: int, data: st.DataObject) -> None:
    text = cid(journal, number)
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from(ALPHABET + "ABCXYZ-").filter(lambda c: c != text[place]))
    assert parse_cid(text[:place] + letter + text[place + 1 :]) is None


@given(journals, numbers, st.data())
def test_two_swapped_characters_are_seen(journal: str, number: int, data: st.DataObject) -> None:
    text = cid(journal, number)
    place = data.draw(st.integers(0, len(text) - 2))
    swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    assert swapped == text or parse_cid(swapped) is None


def test_consecutive_numbers_differ() -> None:
    texts = {cid("k3v9q2xa", number) for number in range(1, 5000)}
    assert len(texts) == 4999


@pytest.mark.parametrize("text", ["", "p1-", "human", "p1-k3v9q2xa-0-00", "p1-k3v9q2xa--y1", "P1-k3v9q2xa-2-y1"])
def test_foreign_text_is_nobody(text: str) -> None:
    assert parse_cid(text) is None


@pytest.mark.parametrize(("journal", "number"), [("short", 1), ("k3v9q2xa", 0), ("k3v9q2xa", 2**64), ("k3v9-2xa", 1)])
def test_what_cannot_be_named(journal: str, number: int) -> None:
    with pytest.raises(ValueError, match="no cid"):
        cid(journal, number)
