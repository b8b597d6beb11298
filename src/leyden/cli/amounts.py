"""Amounts as people write them: `25000` and `25000sat`, `1500msat`, `0.001btc`. Integers only, never rounded."""

import re
from typing import Final

from leyden.cli.exits import refuse

_DIGITS_AFTER_POINT: Final = {"btc": 11, "sat": 3, "msat": 0}
_MSAT_OF: Final = {"btc": 100_000_000_000, "sat": 1000, "msat": 1}
_AMOUNT: Final = re.compile(r"([0-9][0-9_,]*)(?:\.([0-9]+))?\s*([a-z]*)", re.ASCII)


def parse_msat(text: str) -> int:
    """Return an amount in millisatoshi; without a unit it is in satoshi.

    Raises: CommandRejected, code `invalid_amount`.
    """
    match = _AMOUNT.fullmatch(text.strip().lower())
    unit = (match[3] or "sat") if match else ""
    if match is None or unit not in _MSAT_OF:
        refuse(f"`{text}` is no amount: write 25000 or 25000sat, 1500msat, or 0.001btc", "invalid_amount")
    digits = _DIGITS_AFTER_POINT[unit]
    fraction = (match[2] or "").rstrip("0")
    if len(fraction) > digits:
        refuse(f"`{text}` is finer than a millisatoshi", "invalid_amount")
    whole = int(match[1].replace("_", "").replace(",", ""))
    return whole * _MSAT_OF[unit] + int((fraction + "0" * digits)[:digits] or "0")


def parse_sat(text: str) -> int:
    """Return an amount in whole satoshi. Raises: CommandRejected, code `invalid_amount`."""
    amount_msat = parse_msat(text)
    if amount_msat % 1000:
        refuse(f"`{text}` is not a whole number of satoshi, and the chain knows nothing smaller", "invalid_amount")
    return amount_msat // 1000


def parse_feerate(text: str) -> int:
    """Return satoshi per 1000 weight units from `2`, `2sat/vb` (sat per vbyte), or `500perkw`.

    Raises: CommandRejected, code `invalid_feerate`.
    """
    match = re.fullmatch(r"([0-9]+)(?:\.([0-9]{1,3}))?\s*(sat/vb|perkw)?", text.strip().lower(), re.ASCII)
    if match is None or (match[3] == "perkw" and match[2]):
        refuse(f"`{text}` is no feerate: write 2.5 or 2.5sat/vb, or 625perkw", "invalid_feerate")
    if match[3] == "perkw":
        return int(match[1])
    # One vbyte is four weight units.
    return (int(match[1]) * 1000 + int(((match[2] or "") + "000")[:3])) // 4


def show_msat(amount_msat: int) -> str:
    """Return satoshi with thousands apart, and millisatoshi behind a point when there are any."""
    sign = "-" if amount_msat < 0 else ""
    whole, rest = divmod(abs(amount_msat), 1000)
    return f"{sign}{whole:,}" + (f".{rest:03}" if rest else "")


def show_sat(amount_sat: int) -> str:
    """Return satoshi with thousands apart."""
    return f"{amount_sat:,}"


def show_count(number: int, one: str, many: str = "") -> str:
    """Return a number and what it counts: `many` is the plural, `one` with an s unless it is given."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def show_feerate(feerate_per_kw: int) -> str:
    """Return satoshi per vbyte, to two digits."""
    hundredths = feerate_per_kw * 4 // 10
    return f"{hundredths // 100:,}.{hundredths % 100:02} sat/vB"
