"""What an invoice says, as a value."""

from typing import Final

import msgspec

from leyden.bitcoin.address import encode_address
from leyden.bitcoin.networks import Network

DEFAULT_EXPIRY_SECONDS: Final = 3600
DEFAULT_MIN_FINAL_CLTV_EXPIRY_DELTA: Final = 18
"""What a payer assumes when the invoice does not say. BOLT 11, "Tagged Fields"."""


class RouteHintHop(msgspec.Struct, frozen=True, gc=False):
    """One channel on the way from a public node to the payee.

    Attributes:
        node_id: 33 bytes, the node at the start of the channel.
        fee_base_msat, fee_proportional_millionths, cltv_expiry_delta: its policy, 32, 32 and 16 bits.
    """

    node_id: bytes
    short_channel_id: int
    fee_base_msat: int
    fee_proportional_millionths: int
    cltv_expiry_delta: int


class Bolt11Invoice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A decoded BOLT 11 invoice whose signature was checked, or one to be encoded.

    Attributes:
        amount_msat: None when the payer chooses.
        timestamp: seconds since 1970, 35 bits.
        payment_hash, payment_secret: 32 bytes each.
        description, description_hash: exactly one of them is set; the hash has 32 bytes. The description is text of
            a stranger: escape it before showing it.
        payee_node_id: 33 bytes, recovered from the signature or taken from the `n` field.
        route_hints: alternatives, most preferred first; each leads from a public node to the payee.
        fallback_script_pubkeys: output scripts that may be paid on chain instead, most preferred first.
        features: big-endian bitmap for `wire.features.FeatureVector.parse`.
        payment_metadata: bytes to put into the final onion payload, None when absent.
        unknown_tags: tag (0 to 31) and its 5-bit symbols, one a byte, of every field that was skipped.
    """

    network: Network
    amount_msat: int | None
    timestamp: int
    payment_hash: bytes
    payment_secret: bytes
    description: str | None = None
    description_hash: bytes | None = None
    expiry_seconds: int = DEFAULT_EXPIRY_SECONDS
    min_final_cltv_expiry_delta: int = DEFAULT_MIN_FINAL_CLTV_EXPIRY_DELTA
    payee_node_id: bytes
    route_hints: tuple[tuple[RouteHintHop, ...], ...] = ()
    fallback_script_pubkeys: tuple[bytes, ...] = ()
    features: bytes = b""
    payment_metadata: bytes | None = None
    unknown_tags: tuple[tuple[int, bytes], ...] = ()

    def expires_at(self) -> int:
        """Return the first second, since 1970, at which the invoice may no longer be paid."""
        return self.timestamp + self.expiry_seconds

    def is_expired(self, now_seconds: int) -> bool:
        """Tell whether the invoice may no longer be paid at `now_seconds` since 1970."""
        return now_seconds >= self.timestamp + self.expiry_seconds

    def fallback_addresses(self) -> tuple[str, ...]:
        """Return the addresses of the fallback scripts, most preferred first."""
        found = (encode_address(script, self.network) for script in self.fallback_script_pubkeys)
        return tuple(address for address in found if address is not None)
