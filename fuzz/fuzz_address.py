"""Fuzz target: any text is refused with DecodeError or is an address, extended key or seed that encodes back.

Run: python fuzz/fuzz_address.py [corpus folder], with the package atheris installed.
"""

import sys

from leyden.base.errors import DecodeError
from leyden.bitcoin import base58, bech32
from leyden.bitcoin.address import decode_address, encode_address
from leyden.bitcoin.bip32 import ExtendedPrivateKey, parse_extended_key, parse_path
from leyden.bitcoin.bip39 import entropy_from_mnemonic
from leyden.bitcoin.networks import NETWORKS


def one_input(data: bytes) -> None:
    """Try the bytes as text, and as what stands under a good checksum. Raises: whatever a bug raises."""
    text = data.decode("utf-8", errors="surrogateescape")
    symbols = bytes(byte & 31 for byte in data[:82])
    for candidate in (text, bech32.encode("bc", symbols, bech32.BECH32M_CONST), base58.encode_check(data[:90])):
        _try_address(candidate)
        _try_key(candidate)
    for decode in (entropy_from_mnemonic, parse_path):
        try:
            decode(text)
        except DecodeError:
            continue


def _try_address(text: str) -> None:
    for network in NETWORKS:
        try:
            script_pubkey = decode_address(text, network)
        except DecodeError:
            continue
        again = encode_address(script_pubkey, network)
        assert again in (text, text.lower())


def _try_key(text: str) -> None:
    for network in NETWORKS:
        try:
            key = parse_extended_key(text, network.bip32_private, network.bip32_public)
        except DecodeError:
            continue
        is_private = isinstance(key, ExtendedPrivateKey)
        assert key.serialize(network.bip32_private if is_private else network.bip32_public) == text


def main() -> None:
    """Run until stopped."""
    import atheris  # Only whoever fuzzes needs it; it exists for few platforms.

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
