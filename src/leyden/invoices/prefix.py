"""The human-readable part of an invoice: network and amount. BOLT 11, "Human-Readable Part"."""

import re

from leyden.base.errors import DecodeError
from leyden.bitcoin.networks import NETWORKS, Network
from leyden.bitcoin.tx import MAX_MONEY_SAT

_BY_PREFIX = {network.bolt11_prefix: network for network in NETWORKS}
# The longest prefix first: `lnbcrt` begins with `lnbc`.
_PREFIX = re.compile("(" + "|".join(sorted(_BY_PREFIX, key=len, reverse=True)) + ")(?=[0-9]|\\Z)")
_AMOUNT = re.compile("([1-9][0-9]{0,20})([munp]?)")

_MSAT_PER_BITCOIN = 100_000_000_000
_MAX_AMOUNT_MSAT = 1000 * MAX_MONEY_SAT
_MSAT_PER_UNIT = {"": _MSAT_PER_BITCOIN, "m": 100_000_000, "u": 100_000, "n": 100}


def parse_prefix(hrp: str) -> tuple[Network, int | None]:
    """Return the network and the amount in msat (None when the payer chooses) of a lower-case prefix.

    Raises:
        DecodeError: unknown network; amount that is zero, has leading zeros, an unknown multiplier, a fraction of a
            millisatoshi, or exceeds 21 million bitcoin.
    """
    match = _PREFIX.match(hrp)
    if match is None:
        raise DecodeError("unknown network prefix", offset=0, field="prefix")
    start = match.end()
    network = _BY_PREFIX[match.group()]
    if start == len(hrp):
        return network, None
    amount = _AMOUNT.fullmatch(hrp, start)
    if amount is None:
        raise DecodeError("not a positive number with a known multiplier", offset=start, field="amount")
    number, unit = int(amount[1]), amount[2]
    if unit == "p":
        amount_msat, fraction = divmod(number, 10)
        if fraction:
            raise DecodeError("the amount has a fraction of a millisatoshi", offset=start, field="amount")
    else:
        amount_msat = number * _MSAT_PER_UNIT[unit]
    if amount_msat > _MAX_AMOUNT_MSAT:
        raise DecodeError("the amount exceeds 21 million bitcoin", offset=start, field="amount")
    return network, amount_msat


def format_prefix(network: Network, amount_msat: int | None) -> str:
    """Return the prefix with the shortest form of the amount.

    Raises:
        ValueError: `amount_msat` is not positive or exceeds 21 million bitcoin.
    """
    if amount_msat is None:
        return network.bolt11_prefix
    if not 0 < amount_msat <= _MAX_AMOUNT_MSAT:
        raise ValueError("an invoice asks for at least 1 msat and at most 21 million bitcoin")
    for unit, size_msat in _MSAT_PER_UNIT.items():
        if amount_msat % size_msat == 0:
            return f"{network.bolt11_prefix}{amount_msat // size_msat}{unit}"
    return f"{network.bolt11_prefix}{10 * amount_msat}p"
