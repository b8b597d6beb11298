"""ChaCha20 and ChaCha20-Poly1305 against RFC 8439."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.crypto import chacha

KEY = bytes(range(0x80, 0xA0))
NONCE = bytes.fromhex("070000004041424344454647")
AD = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
TEXT = (
    b"Ladies and Gentlemen of the class of '99: "
    b"If I could offer you only one tip for the future, sunscreen would be it."
)
TAG = "1ae10b594f09e26a7e902ecbd0600691"
ZERO_KEY_STREAM = (
    "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
    "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
)


def test_aead_of_rfc_8439() -> None:
    """Section 2.8.2: every message to a peer goes through this cipher."""
    ciphertext = chacha.aead_encrypt(KEY, NONCE, AD, TEXT)
    assert ciphertext[-16:].hex() == TAG
    assert ciphertext[:16].hex() == "d31a8d34648e60db7b86afbc53ef7ec2"
    assert chacha.aead_decrypt(KEY, NONCE, AD, ciphertext) == TEXT
    kept = chacha.Aead(KEY)
    assert kept.encrypt(NONCE, AD, TEXT) == ciphertext
    assert kept.decrypt(NONCE, AD, ciphertext) == TEXT


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_foreign_bytes_do_not_decrypt(ciphertext: bytes, associated_data: bytes) -> None:
    """Whatever arrives, the answer is None and not an exception."""
    assert chacha.aead_decrypt(KEY, NONCE, associated_data, ciphertext) is None
    assert chacha.Aead(KEY).decrypt(NONCE, associated_data, ciphertext) is None


def test_stream_of_rfc_8439() -> None:
    """Appendix A.1, case 1: key and nonce zero, counter from 0."""
    assert chacha.chacha20_stream(bytes(32), 64).hex() == ZERO_KEY_STREAM


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=3000), st.integers(0, 3000))
def test_feeding_data_is_adding_the_stream(key: bytes, data: bytes, cut: int) -> None:
    """The short cut of the onion code gives what the specification's stream and XOR give."""
    expected = chacha.xor_bytes(data, chacha.chacha20_stream(key, len(data)))
    assert chacha.chacha20_xor(key, data) == expected
    cipher = chacha.chacha20(key)
    assert cipher.update(data[:cut]) + cipher.update(data[cut:]) == expected


def test_xor_needs_equal_lengths() -> None:
    """A silent cut would corrupt an onion."""
    assert chacha.xor_bytes(b"\x00\xff", b"\x00\x0f") == b"\x00\xf0"
    assert chacha.xor_bytes(b"", b"") == b""
    with pytest.raises(ValueError, match="same length"):
        chacha.xor_bytes(b"a", b"")
