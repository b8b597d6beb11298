"""Seed words (BIP 39): English words to and from entropy; the seed from any words."""

import hashlib
import unicodedata
from functools import cache

from leyden.base.errors import DecodeError
from leyden.bitcoin.bip39_english import WORD_LINES
from leyden.crypto.hashes import sha256

_WORD_COUNTS = (12, 15, 18, 21, 24)
_ENTROPY_LENGTHS = (16, 20, 24, 28, 32)
_WORD_LIST_HASH = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
_PBKDF2_ROUNDS = 2048


@cache
def english_words() -> tuple[str, ...]:
    """Return the 2048 words in their order."""
    words = tuple(WORD_LINES.split())
    # A damaged list would make words that no other wallet can read.
    assert sha256("".join(word + "\n" for word in words).encode()).hex() == _WORD_LIST_HASH
    return words


@cache
def _word_indices() -> dict[str, int]:
    return {word: index for index, word in enumerate(english_words())}


def mnemonic_from_entropy(entropy: bytes) -> str:
    """Return 12, 15, 18, 21 or 24 English words for 16, 20, 24, 28 or 32 bytes of entropy.

    Raises:
        ValueError: another length.
    """
    if len(entropy) not in _ENTROPY_LENGTHS:
        raise ValueError("entropy must have 16, 20, 24, 28 or 32 bytes")
    words = english_words()
    checksum_bits = len(entropy) // 4
    number = int.from_bytes(entropy, "big") << checksum_bits | sha256(entropy)[0] >> (8 - checksum_bits)
    count = 3 * len(entropy) // 4
    return " ".join([words[number >> shift & 2047] for shift in range(11 * (count - 1), -1, -11)])


def entropy_from_mnemonic(mnemonic: str) -> bytes:
    """Return the 16 to 32 bytes of entropy behind English words, separated by blanks.

    Raises:
        DecodeError: wrong number of words, unknown word (its position is the offset, counted from 0), or a checksum
            that does not match. The words themselves are never in the error.
    """
    words = unicodedata.normalize("NFKD", mnemonic).lower().split()
    if len(words) not in _WORD_COUNTS:
        raise DecodeError(f"needs 12, 15, 18, 21 or 24 words, not {len(words)}", field="mnemonic")
    indices = _word_indices()
    number = 0
    for position, word in enumerate(words):
        index = indices.get(word)
        if index is None:
            raise DecodeError(f"word {position + 1} is not in the word list", offset=position, field="mnemonic")
        number = number << 11 | index
    checksum_bits = len(words) // 3
    entropy = (number >> checksum_bits).to_bytes(4 * checksum_bits, "big")
    if number & ((1 << checksum_bits) - 1) != sha256(entropy)[0] >> (8 - checksum_bits):
        raise DecodeError("checksum of the words does not match", field="mnemonic")
    return entropy


def seed_from_mnemonic(mnemonic: str, passphrase: str) -> bytes:
    """Return the 64-byte seed of words in any language and a passphrase (may be empty).

    The words are taken as they are, as BIP 39 prescribes; check them with `entropy_from_mnemonic` first.
    """
    password = unicodedata.normalize("NFKD", mnemonic).encode()
    salt = unicodedata.normalize("NFKD", "mnemonic" + passphrase).encode()
    return hashlib.pbkdf2_hmac("sha512", password, salt, _PBKDF2_ROUNDS)
