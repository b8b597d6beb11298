"""Fuzz target: any bytes are a failure message that survives a round trip, except those without a code.

Also reads them as a return packet, as attribution data and as a fulfillment payload, which never raises.
Run: python fuzz/fuzz_failure_message.py [corpus folder], with the package atheris installed.
"""

import sys

from leyden.base.errors import DecodeError
from leyden.crypto.chacha import chacha20_xor
from leyden.crypto.hashes import hmac_sha256
from leyden.sphinx.attribution import ATTRIBUTION_LENGTH
from leyden.sphinx.failures import decode_failure, encode_failure
from leyden.sphinx.fulfillment import unwrap_fulfillment, wrap_fulfillment
from leyden.sphinx.keys import ammag_key, um_key
from leyden.sphinx.onion_error import unwrap_error, wrap_error

SECRETS = [bytes((number,)) * 32 for number in range(1, 4)]


def one_input(data: bytes) -> None:
    """Try one input. Raises: AssertionError, or whatever a bug raises."""
    attribution = data.ljust(ATTRIBUTION_LENGTH, b"\x00")[:ATTRIBUTION_LENGTH]
    for attribution_data in (None, data, attribution):
        relayed = wrap_error(SECRETS[0], data, attribution_data, len(data))
        unwrap_error(SECRETS, relayed.reason, relayed.attribution_data)
        unwrap_error(SECRETS, data, attribution_data)
        unwrap_fulfillment(SECRETS, attribution_data, data)
        wrap_fulfillment(SECRETS[0], attribution_data, data[:32768], len(data))
    authentic = chacha20_xor(ammag_key(SECRETS[0]), hmac_sha256(um_key(SECRETS[0]), data) + data)
    assert unwrap_error(SECRETS, authentic, None).hop == (0 if len(data) <= 32768 - 32 else None)
    try:
        failure = decode_failure(data)
    except DecodeError:
        assert len(data) < 2
        return
    encoded = encode_failure(failure)
    assert data.startswith(encoded)
    assert decode_failure(encoded) == failure


def main() -> None:
    """Run until stopped."""
    import atheris  # Only whoever fuzzes needs it; it exists for few platforms.

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
