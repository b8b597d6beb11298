"""Base58 with checksum."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.bitcoin import base58


@given(st.binary(min_size=1, max_size=80))
def test_payload_round_trips(payload: bytes) -> None:
    """Leading zero bytes are ones in the text and easily lost."""
    assert base58.decode_check(base58.encode_check(payload)) == payload


def test_known_address() -> None:
    """The address of the genesis block's key, known to everybody."""
    payload = bytes.fromhex("0062e907b15cbf27d5425399ebf6f0fb50ebb88f18")
    assert base58.encode_check(payload) == "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"


@given(st.text(max_size=140))
def test_any_text_raises_nothing_but_decode_error(text: str) -> None:
    """Keys and addresses are pasted by people."""
    with contextlib.suppress(DecodeError):
        base58.decode_check(text)


@pytest.mark.parametrize("text", ["", "1", "1111", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", "0OIl", "1" * 129])
def test_malformed_text_is_refused(text: str) -> None:
    """A typing error must not pay somebody else; a megabyte of text must not cost seconds."""
    with pytest.raises(DecodeError):
        base58.decode_check(text)
