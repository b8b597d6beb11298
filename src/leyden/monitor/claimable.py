"""What of a closed channel may be claimed, from when, and until when nobody else may."""

import msgspec

from leyden.transactions.claim_inputs import ClaimInput


class OutputClaim(msgspec.Struct, frozen=True, gc=False):
    """An output that is to be claimed.

    Attributes:
        input: how it is spent.
        htlc: (offered by us, htlc_id) of the HTLC that it holds; None for what holds none or one that only the penalty
            log knows.
        unlock_height: first block that may hold the spend.
        deadline_height: from this block on the other side may have it too; None: nobody else ever may. An HTLC that we
            offered on the peer's commitment has the height before which its inbound HTLC must be failed back, else
            None.
        contested: the other side may spend it already, with something that we do not know or by a race: it may be
            taken from under a batch, or pin it.
    """

    input: ClaimInput
    htlc: tuple[bool, int] | None
    unlock_height: int
    deadline_height: int | None
    contested: bool
