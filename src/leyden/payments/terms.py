"""What our own payment secrets carry (15 bytes, sealed by the signer), so that invoices need no storage.

amount_msat 8 | expires_at seconds 5 | min_final_cltv_expiry_delta 2
"""

from struct import Struct

import msgspec

_LAYOUT = Struct(">QBIH")


class InvoiceTerms(msgspec.Struct, frozen=True, gc=False):
    """amount_msat: 0 when the payer chooses. expires_at: seconds since 1970."""

    amount_msat: int
    expires_at: int
    min_final_cltv_expiry_delta: int


def encode_terms(terms: InvoiceTerms) -> bytes:
    """Return the 15 bytes."""
    high, low = terms.expires_at >> 32, terms.expires_at & 0xFFFFFFFF
    return _LAYOUT.pack(terms.amount_msat, high, low, terms.min_final_cltv_expiry_delta)


def decode_terms(metadata: bytes) -> InvoiceTerms:
    """Read the 15 bytes."""
    amount_msat, high, low, delta = _LAYOUT.unpack(metadata)
    return InvoiceTerms(amount_msat, (high << 32) | low, delta)
