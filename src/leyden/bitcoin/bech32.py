"""Bech32 and bech32m (BIP 173, BIP 350) by integer arithmetic instead of a loop over characters.

The characters are translated to Python's base-32 digits and read with one `int(..., 32)`. The checksum is linear over
bits, so each of its 30 bits is the parity of that number under a mask; the mask depends only on the distance from the
end, so one set of masks serves every shorter string.
"""

from functools import cache

from leyden.base.errors import DecodeError

BECH32_CONST = 1
BECH32M_CONST = 0x2BC830A3
MAX_LENGTH = 90
"""Longest string of BIP 173. BOLT 11 drops this limit."""

CHARSET = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l"

_CHECKSUM_LENGTH = 6
_DIGITS = b"0123456789abcdefghijklmnopqrstuv"
_TO_DIGITS = bytes.maketrans(CHARSET, _DIGITS)
_FROM_DIGITS = bytes.maketrans(_DIGITS, CHARSET)
_TO_VALUES = bytes.maketrans(_DIGITS, bytes(range(32)))
_FROM_VALUES = bytes.maketrans(bytes(range(32)), _DIGITS)

# The checksum also covers the prefix: the high bits of its characters, a zero, the low bits.
_PREFIX_HIGH = bytes([_DIGITS[c >> 5 & 31] for c in range(256)])
_PREFIX_LOW = bytes([_DIGITS[c & 31] for c in range(256)])

_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_MASK_SIZES = (128, 640, 2048, 8192)


def _step(state: int) -> int:
    top = state >> 25
    state = (state & 0x1FFFFFF) << 5
    for bit in range(5):
        if top >> bit & 1:
            state ^= _GENERATOR[bit]
    return state


@cache
def _parity_masks(symbols: int) -> tuple[int, ...]:
    """Return the 30 masks (highest checksum bit first) for strings of up to `symbols` symbols."""
    # column[k] = effect on the checksum of bit k of the number, counted from its end.
    columns = [1, 2, 4, 8, 16]
    effects = list(columns)
    for _ in range(symbols - 1):
        columns = [_step(state) for state in columns]
        effects.extend(columns)
    rows = "".join([format(effect, "030b") for effect in reversed(effects)])
    return tuple(int(rows[bit::30], 2) for bit in range(30))


def _checksum(digits: bytes) -> int:
    """Return the 30-bit checksum state of base-32 digits that start with the state's initial 1."""
    n = len(digits)
    size = next((s for s in _MASK_SIZES if n <= s), None)
    masks = _parity_masks(size if size is not None else 1 << n.bit_length())
    number = int(digits, 32)
    state = 0
    for mask in masks:
        state = state << 1 | (number & mask).bit_count() & 1
    return state


def _prefix_digits(hrp: bytes) -> bytes:
    return b"1" + hrp.translate(_PREFIX_HIGH) + b"0" + hrp.translate(_PREFIX_LOW)


def split(text: str, *, max_length: int) -> tuple[str, bytes, int]:
    """Take a bech32 string of either kind apart.

    Args:
        text: all lower or all upper case.
        max_length: longest text accepted, in characters (`MAX_LENGTH` unless the format says otherwise).

    Returns:
        The prefix in lower case, the data without checksum as base-32 digits (0-9a-v, one per symbol; read them with
        `int(..., 32)`), and the constant of the checksum: `BECH32_CONST`, `BECH32M_CONST` or another number.

    Raises:
        DecodeError: too long, mixed case, bad character, no or misplaced separator.
    """
    if len(text) > max_length:
        raise DecodeError(f"longer than {max_length} characters", offset=max_length, field="bech32")
    # Case is judged on ASCII only: a foreign letter whose lower case is in the charset must not get in.
    if not text.isascii():
        raise DecodeError("not ASCII", field="bech32")
    lower = text.lower()
    if lower != text and text.upper() != text:
        raise DecodeError("mixes upper and lower case", field="bech32")
    raw = lower.encode("ascii")
    separator = raw.rfind(b"1")
    if separator < 1:
        raise DecodeError("no human-readable part", field="bech32")
    hrp, data = lower[:separator], raw[separator + 1 :]
    if len(data) < _CHECKSUM_LENGTH:
        raise DecodeError("checksum is too short", offset=separator, field="bech32")
    if data.translate(None, CHARSET):
        raise DecodeError("character outside the bech32 alphabet", offset=separator + 1, field="bech32")
    if not hrp.isprintable() or " " in hrp:
        raise DecodeError("character outside the range of the human-readable part", offset=0, field="bech32")
    digits = data.translate(_TO_DIGITS)
    return hrp, digits[:-_CHECKSUM_LENGTH], _checksum(_prefix_digits(raw[:separator]) + digits)


def join(hrp: str, digits: bytes, constant: int) -> str:
    """Return the lower-case bech32 string of a lower-case prefix and data as base-32 digits (0-9a-v)."""
    prefix = hrp.encode("ascii")
    state = _checksum(_prefix_digits(prefix) + digits + b"000000") ^ constant
    checksum = bytes([CHARSET[state >> shift & 31] for shift in (25, 20, 15, 10, 5, 0)])
    return hrp + "1" + (digits.translate(_FROM_DIGITS) + checksum).decode("ascii")


def decode(text: str, *, max_length: int = MAX_LENGTH) -> tuple[str, bytes, int]:
    """Decode a bech32 or bech32m string.

    Returns:
        The lower-case prefix, the symbols (one byte of 0 to 31 each, without checksum) and the constant that tells
        the kind: `BECH32_CONST` or `BECH32M_CONST`.

    Raises:
        DecodeError: malformed, or the checksum is neither kind's.
    """
    hrp, digits, constant = split(text, max_length=max_length)
    if constant not in (BECH32_CONST, BECH32M_CONST):
        raise DecodeError("checksum does not match", offset=len(text) - _CHECKSUM_LENGTH, field="checksum")
    return hrp, symbols_of(digits), constant


def encode(hrp: str, symbols: bytes, constant: int) -> str:
    """Encode symbols (0 to 31, one a byte) under a lower-case prefix, with the checksum of `constant`."""
    return join(hrp, digits_of(symbols), constant)


def symbols_of(digits: bytes) -> bytes:
    """Return base-32 digits (0-9a-v) as bytes of 0 to 31."""
    return digits.translate(_TO_VALUES)


def digits_of(symbols: bytes) -> bytes:
    """Return bytes of 0 to 31 as base-32 digits (0-9a-v)."""
    return symbols.translate(_FROM_VALUES)


def bytes_of(symbols: bytes) -> bytes:
    """Join 5-bit symbols to bytes, strictly (BIP 173: `convertbits` without padding).

    Raises:
        DecodeError: 5 or more bits, or a bit that is set, are left over.
    """
    bits = 5 * len(symbols)
    extra = bits & 7
    number = int(digits_of(symbols), 32) if symbols else 0
    if extra >= 5 or number & ((1 << extra) - 1):
        raise DecodeError("padding is not zero or too long", field="bech32")
    return (number >> extra).to_bytes(bits >> 3, "big")


def symbols_from(data: bytes) -> bytes:
    """Split bytes into 5-bit symbols, padded with zero bits at the end."""
    count = (8 * len(data) + 4) // 5
    number = int.from_bytes(data, "big") << (5 * count - 8 * len(data))
    return bytes([number >> shift & 31 for shift in range(5 * count - 5, -1, -5)])
