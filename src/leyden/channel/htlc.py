"""An HTLC of one channel, in either direction, and the changes that wait between two commitments.

Identity is (who offered it, htlc_id); equal hashes and amounts are different HTLCs.
"""

from functools import lru_cache

import msgspec

from leyden.crypto.hashes import ripemd160
from leyden.journal.records import AddedHtlc, FailedHtlc, RemovedHtlc
from leyden.transactions.types import CommitmentHtlc


class OutboundHtlc(msgspec.Struct, gc=False):
    """An HTLC that we offered. `local` and `remote` are its outputs on our and the peer's commitment.

    first_remote_number: first commitment of the peer that contained it (what justice needs to know).
    removal: how the peer removed it, once our commitment covers the removal.
    """

    add: AddedHtlc
    local: CommitmentHtlc
    remote: CommitmentHtlc
    first_remote_number: int
    removal: RemovedHtlc | None = None


class InboundHtlc(msgspec.Struct, gc=False):
    """An HTLC that the peer offered.

    committed: irrevocably, on both sides. handed_off: another journal owns it, and the onion may be gone.
    shared_secret: 32 bytes once known; with it failures are encrypted for the payer.
    preimage / failure: the decision; a failure that was not sent gives way to a preimage.
    set_id: the shown set it belongs to. claim_id: the claim that lists it.
    removing: our removal is signed.
    """

    add: AddedHtlc
    local: CommitmentHtlc
    remote: CommitmentHtlc
    first_remote_number: int = 0
    committed: bool = False
    handed_off: bool = False
    shared_secret: bytes = b""
    preimage: bytes = b""
    failure: FailedHtlc | None = None
    attribution_data: bytes = b""
    set_id: bytes = b""
    claim_id: bytes = b""
    removing: bool = False

    def decided(self) -> bool:
        """Return whether a record says what becomes of this HTLC."""
        return bool(self.preimage) or self.failure is not None


class Changes(msgspec.Struct):
    """Changes of one side that have reached the same stage between the two commitments.

    removals: (htlc, fulfilled). Their order does not matter for a commitment; the last feerate counts (0: none).
    """

    adds: list[OutboundHtlc | InboundHtlc] = []
    removals: list[tuple[OutboundHtlc | InboundHtlc, bool]] = []
    feerate_per_kw: int = 0

    def __bool__(self) -> bool:
        """Return whether anything changes."""
        return bool(self.adds or self.removals or self.feerate_per_kw)

    def extend(self, later: "Changes") -> None:
        """Append changes that reached the same stage later."""
        self.adds.extend(later.adds)
        self.removals.extend(later.removals)
        if later.feerate_per_kw:
            self.feerate_per_kw = later.feerate_per_kw


@lru_cache(maxsize=8192)
def _hash160(payment_hash: bytes) -> bytes:
    """Made up to four times for a forwarded HTLC, and the slowest hash of all."""
    return ripemd160(payment_hash)


def outbound_htlc(add: AddedHtlc, first_remote_number: int) -> OutboundHtlc:
    """Make the HTLC that we offer with `add`."""
    fields = (add.amount_msat, add.payment_hash, _hash160(add.payment_hash), add.cltv_expiry)
    return OutboundHtlc(
        add,
        CommitmentHtlc(add.htlc_id, True, *fields),
        CommitmentHtlc(add.htlc_id, False, *fields),
        first_remote_number,
    )


def inbound_htlc(add: AddedHtlc) -> InboundHtlc:
    """Make the HTLC that the peer offers with `add`."""
    fields = (add.amount_msat, add.payment_hash, _hash160(add.payment_hash), add.cltv_expiry)
    return InboundHtlc(add, CommitmentHtlc(add.htlc_id, False, *fields), CommitmentHtlc(add.htlc_id, True, *fields))
