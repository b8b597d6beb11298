"""Bech32 and bech32m: typing errors must be caught, and only these strings accepted."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.bitcoin import bech32

VECTORS = Path(__file__).parent.parent / "vectors" / "bips"
BIP173 = json.loads((VECTORS / "bip-0173" / "test-vectors.json").read_text())
BIP350 = json.loads((VECTORS / "bip-0350" / "test-vectors.json").read_text())
KINDS = [(BIP173, bech32.BECH32_CONST), (BIP350, bech32.BECH32M_CONST)]

VALID = [(text, constant) for vectors, constant in KINDS for text in vectors["valid"]]
INVALID = [(case["hex"], constant) for vectors, constant in KINDS for case in vectors["invalid"]]


@pytest.mark.parametrize(("text", "constant"), VALID)
def test_valid_string_decodes_and_encodes_back(text: str, constant: int) -> None:
    """The valid strings of BIP 173 and BIP 350, each with its own constant."""
    hrp, symbols, found = bech32.decode(text)
    assert found == constant
    assert bech32.encode(hrp, symbols, constant) == text.lower()


@pytest.mark.parametrize(("raw", "constant"), INVALID)
def test_invalid_string_is_refused(raw: str, constant: int) -> None:
    """The invalid strings of both BIPs; latin-1 gives every byte a character, as the vectors mean them.

    Some have a good checksum of the other kind, which `decode` reports: then the kind must not be theirs.
    """
    try:
        _, _, found = bech32.decode(bytes.fromhex(raw).decode("latin-1"))
    except DecodeError:
        return
    assert found != constant


prefixes = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30).map(str.lower)
symbol_runs = st.binary(max_size=50).map(lambda raw: bytes(b & 31 for b in raw))
kinds = st.sampled_from([bech32.BECH32_CONST, bech32.BECH32M_CONST])


@given(prefixes, symbol_runs, kinds)
def test_any_data_round_trips(hrp: str, symbols: bytes, constant: int) -> None:
    """Encoding and decoding are inverses under both constants."""
    assert bech32.decode(bech32.encode(hrp, symbols, constant)) == (hrp, symbols, constant)
    assert bech32.decode(bech32.encode(hrp, symbols, constant).upper()) == (hrp, symbols, constant)


@given(prefixes, st.integers(0, 4000).map(lambda n: bytes(b & 31 for b in range(256)) * (n // 256)), kinds)
def test_long_data_round_trips_without_the_length_limit(hrp: str, symbols: bytes, constant: int) -> None:
    """Invoices are longer than addresses; the checksum masks must hold at every size."""
    text = bech32.encode(hrp, symbols, constant)
    assert bech32.decode(text, max_length=10_000) == (hrp, symbols, constant)


def polymod(hrp: str, symbols: bytes) -> int:
    """The reference algorithm of BIP 173, one symbol at a time, written here for comparison."""
    state = 1
    for value in [*(ord(c) >> 5 for c in hrp), 0, *(ord(c) & 31 for c in hrp), *symbols]:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            state ^= generator if top >> bit & 1 else 0
    return state


@given(prefixes, symbol_runs, st.integers(0, 2**30 - 1))
def test_checksum_equals_the_symbol_by_symbol_algorithm(hrp: str, symbols: bytes, constant: int) -> None:
    """The fast checksum by bit masks is our own idea, so it is held against the plain one."""
    text = bech32.encode(hrp, symbols, constant)
    checksum = bytes(bech32.CHARSET.index(c.encode()) for c in text[-6:])
    assert polymod(hrp, symbols + checksum) == constant


@given(prefixes, symbol_runs, kinds, st.data())
def test_up_to_four_wrong_symbols_are_caught(hrp: str, symbols: bytes, constant: int, data: st.DataObject) -> None:
    """The code of BIP 173 detects four substitutions within 90 characters."""
    text = bech32.encode(hrp, symbols, constant)
    places = data.draw(st.lists(st.integers(len(hrp) + 1, len(text) - 1), min_size=1, max_size=4, unique=True))
    characters = list(text)
    for place in places:
        others = [c for c in bech32.CHARSET.decode() if c != text[place]]
        characters[place] = data.draw(st.sampled_from(others))
    hrp_found, _, found = bech32.split("".join(characters), max_length=90)
    assert hrp_found == hrp
    assert found != constant


@given(st.text(max_size=120))
def test_any_text_raises_nothing_but_decode_error(text: str) -> None:
    """Addresses and invoices are pasted by people."""
    with contextlib.suppress(DecodeError):
        bech32.decode(text)


@pytest.mark.parametrize(
    "text", ["\u017f1" + "q" * 6, "\u212a1" + "q" * 6, "a1\ud800" + "q" * 6, "٣1qqqqqqq", "é1qqqqqq"]
)
def test_text_that_lowers_into_ascii_is_refused(text: str) -> None:
    """The Kelvin sign lowers to k: accepted, it would make two texts of one invoice."""
    with pytest.raises(DecodeError):
        bech32.decode(text)


@given(st.binary(max_size=70))
def test_bytes_round_trip_through_symbols(raw: bytes) -> None:
    """Regrouping to five bits and back loses nothing."""
    assert bech32.bytes_of(bech32.symbols_from(raw)) == raw


@pytest.mark.parametrize("symbols", [b"\x00", b"\x00\x01", bytes(3), b"\x00\x00\x00\x01"])
def test_padding_that_is_set_or_too_long_is_refused(symbols: bytes) -> None:
    """BIP 173: at most four bits, all zero; else one program would have several addresses."""
    with pytest.raises(DecodeError, match="padding"):
        bech32.bytes_of(symbols)
