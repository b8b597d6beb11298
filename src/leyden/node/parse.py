"""Hexadecimal of callers into bytes, with a sentence when it is none."""

from leyden.base.errors import CommandRejected

FEERATE_MIN_PER_KW = 253
FEERATE_MAX_PER_KW = 250_000


def parse_hex(text: str, length: int, what: str, code: str) -> bytes:
    """Return `length` bytes. Raises CommandRejected with `code`."""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        raise CommandRejected(f"{what} is not hexadecimal: {text[:80]!r}", code=code) from None
    if len(value) != length:
        raise CommandRejected(f"{what} has {len(value)} bytes, not {length}", code=code)
    return value


def check_feerate(feerate_per_kw: int) -> int:
    """Return the feerate (sat per 1000 weight units). Raises CommandRejected (`invalid_feerate`)."""
    if not FEERATE_MIN_PER_KW <= feerate_per_kw <= FEERATE_MAX_PER_KW:
        raise CommandRejected(
            f"feerate_per_kw is {feerate_per_kw}; it goes from {FEERATE_MIN_PER_KW} (1 sat/vB) to {FEERATE_MAX_PER_KW}",
            code="invalid_feerate",
        )
    return feerate_per_kw


def format_scid(scid: int) -> str:
    """Return `block x transaction x output` (BOLT 7, "Definition of `short_channel_id`")."""
    return f"{scid >> 40}x{scid >> 16 & 0xFFFFFF}x{scid & 0xFFFF}"


def parse_scid(text: str) -> int:
    """Read what `format_scid` wrote. Raises CommandRejected (`invalid_short_channel_id`)."""
    parts = text.split("x")
    if len(parts) == 3 and all(part.isascii() and part.isdigit() for part in parts):
        block, transaction, output = (int(part) for part in parts)
        if block < 1 << 24 and transaction < 1 << 24 and output < 1 << 16:
            return block << 40 | transaction << 16 | output
    raise CommandRejected(f"{text[:40]!r} is no short_channel_id like 700000x12x0", code="invalid_short_channel_id")
