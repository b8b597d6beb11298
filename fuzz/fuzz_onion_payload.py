"""Fuzz target: any bytes are refused with OnionError or are a hop payload that encodes to the same bytes.

Also peels onions of arbitrary bytes: behind a valid HMAC, and without one.
Run: python fuzz/fuzz_onion_payload.py [corpus folder], with the package atheris installed.
"""

import sys

from leyden.base.errors import DecodeError
from leyden.crypto.chacha import chacha20_xor
from leyden.crypto.ec import public_key
from leyden.crypto.hashes import hmac_sha256
from leyden.sphinx.failures import InvalidOnionPayload, OnionError, decode_failure, encode_failure
from leyden.sphinx.keys import mu_key, rho_key
from leyden.sphinx.onion import peel_packet
from leyden.sphinx.payload import decode_payload, encode_payload, require_final, require_forward

NODE = b"\x42" * 32
POINT = public_key(b"\x41" * 32)
SHARED_SECRET = b"\x07" * 32


def one_input(data: bytes) -> None:
    """Try one input. Raises: AssertionError, or whatever a bug raises."""
    _peel(data)
    _peel(b"\x00" + POINT + data)
    if data:
        hidden = chacha20_xor(rho_key(SHARED_SECRET), data)
        _peel(b"\x00" + POINT + hidden + hmac_sha256(mu_key(SHARED_SECRET), hidden))
    try:
        payload = decode_payload(data)
    except OnionError as error:
        _check_answer(error)
        return
    assert encode_payload(payload) == data
    for require in (require_forward, require_final):
        try:
            require(payload)
        except OnionError as error:
            _check_answer(error)


def _check_answer(error: OnionError) -> None:
    assert isinstance(error.failure, InvalidOnionPayload)
    assert decode_failure(encode_failure(error.failure)) == error.failure


def _peel(packet: bytes) -> None:
    try:
        peeled = peel_packet(lambda _: SHARED_SECRET, packet, b"")
    except (DecodeError, OnionError):
        return
    assert len(peeled.payload) >= 2
    assert peeled.next_packet is None or len(peeled.next_packet) == len(packet)


def main() -> None:
    """Run until stopped."""
    import atheris  # Only whoever fuzzes needs it; it exists for few platforms.

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
