"""What a signer refuses whoever asks: the last guard against publishing a revoked commitment.

It remembers one life only. Across restarts the journal keeps the same promise: no own commitment leaves without a
durable `Closing` record, and after that record no secret of the channel is released.
"""

from typing import final

from leyden.transactions.claim_inputs import ClaimKey, InputToSign
from leyden.transactions.keys import ChannelBasepoints
from leyden.transactions.scripts import anchor_script, to_remote_anchors_script


class SignerRefused(AssertionError):
    """The core asked for a signature or secret that would lose money: a bug of ours, so the channel halts.

    Args:
        what: which request, and what it contradicts; never a secret.
    """


@final
class RevocationPolicy:
    """Per channel: the highest commitment whose secret was released, the lowest that was signed for publication."""

    __slots__ = ("highest_revoked", "lowest_signed")

    def __init__(self) -> None:
        self.highest_revoked: int | None = None
        self.lowest_signed: int | None = None

    def holder_commitment_signed(self, commitment_number: int) -> None:
        """Allow and note a signature on our own commitment.

        Raises: SignerRefused when its secret is out: whoever published it would lose everything in the channel.
        """
        if self.highest_revoked is not None and commitment_number <= self.highest_revoked:
            raise SignerRefused(
                f"holder commitment {commitment_number} is revoked (highest revoked is {self.highest_revoked})"
            )
        if self.lowest_signed is None or commitment_number < self.lowest_signed:
            self.lowest_signed = commitment_number

    def secret_released(self, commitment_number: int) -> None:
        """Allow and note the release of a secret: the same one as last (a retransmission) or the next.

        Raises: SignerRefused for an older one, which no protocol flow needs; for one that skips a commitment; and for
                one at or above a commitment that was signed for publication.
        """
        highest = self.highest_revoked
        if highest is not None and not highest <= commitment_number <= highest + 1:
            raise SignerRefused(f"secret {commitment_number} is out of order (highest released is {highest})")
        if self.lowest_signed is not None and commitment_number >= self.lowest_signed:
            raise SignerRefused(
                f"secret {commitment_number} belongs to a commitment that may be published "
                f"(number {self.lowest_signed} was signed)"
            )
        self.highest_revoked = commitment_number


def check_claim_script(basepoints: ChannelBasepoints, spend: InputToSign) -> None:
    """Allow a key of a channel to sign a claim over this script.

    The funding key signs claims of our anchor alone: over the script of the funding output the same signature would
    publish a commitment, a revoked one too. The payment key signs for to_remote alone. Keys that are derived for a
    commitment occur in no script but those of its outputs and of its HTLC transactions.

    Raises: SignerRefused for any other script.
    """
    script = spend.witness_script
    match spend.key:
        case ClaimKey.FUNDING:
            known = script == anchor_script(basepoints.funding_public_key)
        case ClaimKey.PAYMENT:
            known = script in (b"", to_remote_anchors_script(basepoints.payment_basepoint))
        case ClaimKey.REVOCATION | ClaimKey.DELAYED_PAYMENT | ClaimKey.HTLC:
            known = bool(script)
    if not known:
        raise SignerRefused(f"input {spend.index}: the {spend.key.value} key signs no claim over this script")
