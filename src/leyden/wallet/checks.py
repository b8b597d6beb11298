"""What a caller may ask of the wallet, checked before anything is touched."""

from leyden.base.errors import CommandRejected, DecodeError
from leyden.bitcoin.address import decode_address
from leyden.bitcoin.networks import NETWORKS, Network
from leyden.bitcoin.tx import MAX_MONEY_SAT
from leyden.transactions.fees import dust_limit_for_script_sat

FEERATE_MIN_PER_KW = 250
"""1 sat/vB: below it no default mempool takes a transaction."""
FEERATE_MAX_PER_KW = 250_000
"""1000 sat/vB: above it a slip of the keyboard is likelier than a wish."""

_MAX_ADDRESS_LENGTH = 120


def parse_destination(address: str, network: Network) -> bytes:
    """Return the output script of an address.

    Raises:
        CommandRejected: not an address (code `invalid_address`), or one of another network (`wrong_network`).
    """
    text = address.strip()
    if not text:
        raise CommandRejected("the address is empty", code="invalid_address")
    if len(text) > _MAX_ADDRESS_LENGTH:
        raise CommandRejected(f"an address has no {len(text)} characters", code="invalid_address")
    try:
        return decode_address(text, network)
    except DecodeError as error:
        reason = str(error)
    for other in NETWORKS:
        if _is_address(text, other):
            what = f"this is an address of {other.name}, and the wallet is on {network.name}"
            raise CommandRejected(what, code="wrong_network")
    raise CommandRejected(f"not an address of {network.name}: {reason}", code="invalid_address")


def _is_address(text: str, network: Network) -> bool:
    try:
        decode_address(text, network)
    except DecodeError:
        return False
    return True


def check_output(amount_sat: int, script_pubkey: bytes) -> None:
    """Check an amount that is to be paid to a script.

    Raises:
        CommandRejected: 0 or negative (code `amount_not_positive`), below the script's dust limit
            (`amount_below_dust`), or more than there is (`amount_too_large`).
    """
    if amount_sat <= 0:
        raise CommandRejected(f"the amount must be positive, not {amount_sat} sat", code="amount_not_positive")
    if amount_sat > MAX_MONEY_SAT:
        raise CommandRejected(f"{amount_sat} sat is more than all bitcoin", code="amount_too_large")
    dust_sat = dust_limit_for_script_sat(script_pubkey)
    if amount_sat < dust_sat:
        what = f"{amount_sat} sat is dust: no node relays less than {dust_sat} sat to such an address"
        raise CommandRejected(what, code="amount_below_dust")


def check_feerate(feerate_per_kw: int) -> None:
    """Check a feerate (sat per 1000 weight units) that a caller chose.

    Raises:
        CommandRejected: below 1 sat/vB (code `feerate_too_low`) or above 1000 (`feerate_too_high`).
    """
    if feerate_per_kw < FEERATE_MIN_PER_KW:
        what = f"a feerate of {feerate_per_kw} sat/kw is too low to relay: use {FEERATE_MIN_PER_KW} (1 sat/vB) or more"
        raise CommandRejected(what, code="feerate_too_low")
    if feerate_per_kw > FEERATE_MAX_PER_KW:
        what = f"a feerate of {feerate_per_kw} sat/kw is above the limit of {FEERATE_MAX_PER_KW} (1000 sat/vB)"
        raise CommandRejected(what, code="feerate_too_high")
