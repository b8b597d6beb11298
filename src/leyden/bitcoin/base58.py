"""Base58 with the four-byte checksum of addresses and extended keys."""

from leyden.base.errors import DecodeError
from leyden.crypto.hashes import sha256d

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}

# The arithmetic is quadratic; nothing that Bitcoin writes in base58 is longer than an extended key's 112 characters.
_MAX_LENGTH = 128


def encode_check(payload: bytes) -> str:
    """Return `payload` and its checksum in base58."""
    raw = payload + sha256d(payload)[:4]
    number = int.from_bytes(raw, "big")
    characters: list[str] = []
    while number:
        number, digit = divmod(number, 58)
        characters.append(_ALPHABET[digit])
    zeros = len(raw) - len(raw.lstrip(b"\x00"))
    return "1" * zeros + "".join(reversed(characters))


def decode_check(text: str) -> bytes:
    """Return the payload of a base58 string whose checksum matches.

    Raises:
        DecodeError: bad character, bad checksum, too short or longer than 128 characters.
    """
    if len(text) > _MAX_LENGTH:
        raise DecodeError("longer than 128 characters", offset=_MAX_LENGTH, field="base58")
    number = 0
    for offset, character in enumerate(text):
        value = _VALUES.get(character)
        if value is None:
            raise DecodeError("character outside the base58 alphabet", offset=offset, field="base58")
        number = number * 58 + value
    zeros = len(text) - len(text.lstrip("1"))
    raw = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    payload, checksum = raw[:-4], raw[-4:]
    if len(raw) < 5 or sha256d(payload)[:4] != checksum:
        raise DecodeError("checksum does not match", field="base58")
    return payload
