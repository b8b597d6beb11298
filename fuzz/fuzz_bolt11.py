"""Fuzz target: any text is refused with DecodeError or is an invoice that can be stated again.

The bytes are tried as text, as symbols under a good checksum, and as fields under a good signature.
Run: python fuzz/fuzz_bolt11.py [corpus folder], with the package atheris installed.
"""

import sys

from leyden.base.errors import DecodeError
from leyden.bitcoin import bech32
from leyden.crypto.ec import public_key, sign_recoverable
from leyden.crypto.hashes import sha256
from leyden.invoices.bolt11 import decode, encode

SECRET = b"\x01" * 32
NODE_ID = public_key(SECRET)
PREFIXES = ("lnbc", "lntb20m", "lnbcrt10p", "lntbs")


def sign(digest: bytes) -> bytes:
    """Sign as the payee."""
    return sign_recoverable(SECRET, digest)


def one_input(data: bytes) -> None:
    """Try one input. Raises: AssertionError, or whatever a bug raises."""
    hrp = PREFIXES[data[0] % len(PREFIXES)] if data else PREFIXES[0]
    symbols = bytes(byte & 31 for byte in data[1:])
    for text in (
        data.decode("utf-8", errors="surrogateescape"),
        bech32.encode(hrp, symbols, bech32.BECH32_CONST),
        _signed(hrp, symbols),
    ):
        _try_text(text)


def _try_text(text: str) -> None:
    try:
        invoice = decode(text)
    except DecodeError:
        return
    assert invoice.expires_at() >= invoice.timestamp
    invoice.fallback_addresses()
    # Only our own invoices can be signed again; stating one drops the payee field, so it needs no room for more.
    if invoice.payee_node_id == NODE_ID and len(text) < 7000:
        assert decode(encode(invoice, sign)) == invoice


def _signed(hrp: str, symbols: bytes) -> str:
    padding = -5 * len(symbols) % 8
    number = int(bech32.digits_of(symbols), 32) << padding if symbols else 0
    digest = sha256(hrp.encode() + number.to_bytes((5 * len(symbols) + padding) >> 3, "big"))
    return bech32.encode(hrp, symbols + bech32.symbols_from(sign(digest)), bech32.BECH32_CONST)


def main() -> None:
    """Run until stopped."""
    import atheris  # Only whoever fuzzes needs it; it exists for few platforms.

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
