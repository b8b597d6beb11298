"""What a channel wants done. Orders: released only behind the records that the journal held when they were decided.

Those marked *at once* are the closed list of what may go on before: they stay inside the node and show nothing
(invariant P1).
"""

from typing import TypeAlias

import msgspec

from leyden.channel.inputs import PendingAdd
from leyden.journal.records import AddedHtlc, RemovedHtlc


class SendMessage(msgspec.Struct, frozen=True, gc=False):
    """Send an encoded message on the connection it was decided in."""

    message: bytes


class SendCommitmentSigned(msgspec.Struct, frozen=True, gc=False):
    """Sign the peer's latest commitment, as it is now, and send `commitment_signed`."""


class SendRevokeAndAck(msgspec.Struct, frozen=True, gc=False):
    """Reveal our secret of commitment `number` and send `revoke_and_ack` with the point of `number` + 2."""

    number: int


class SendChannelReady(msgspec.Struct, frozen=True, gc=False):
    """Send `channel_ready` with our point of commitment 1."""


class SendChannelUpdate(msgspec.Struct, frozen=True, gc=False):
    """Tell the peer our forwarding policy (BOLT 7, for an unannounced channel)."""


class SignClosing(msgspec.Struct, frozen=True, gc=False):
    """Sign the closing transaction that pays `fee_satoshis`, in this form; the answer comes as `ClosingSignature`."""

    fee_satoshis: int
    form: int


class HtlcsCommitted(msgspec.Struct, frozen=True, gc=False):
    """*At once*: these inbound HTLCs are irrevocably committed. The manager judges; what leaves this journal waits
    (hand-off rule).
    """

    htlc_ids: tuple[int, ...]


class PreimageLearnt(msgspec.Struct, frozen=True, gc=False):
    """*At once*: the peer fulfilled one of our HTLCs. A preimage is its own proof (DESIGN section 2, the one
    exception).
    """

    htlc_id: int
    removal: RemovedHtlc


class OutcomesKnown(msgspec.Struct, frozen=True, gc=False):
    """These outbound HTLCs have an outcome; whoever owns their source must act on it."""

    htlc_ids: tuple[int, ...]


class AddRefused(msgspec.Struct, frozen=True, gc=False):
    """*At once*: this HTLC was never sent. `reason` is one of the names in `limits.py`, or `disconnected`."""

    add: PendingAdd
    reason: str


class AddsWithdrawn(msgspec.Struct, frozen=True, gc=False):
    """The signature that offered these HTLCs is taken back: whoever owns their sources may offer them elsewhere."""

    adds: tuple[AddedHtlc, ...]


class PublishFunding(msgspec.Struct, frozen=True, gc=False):
    """Broadcast the funding transaction."""


class PublishClose(msgspec.Struct, frozen=True, gc=False):
    """Broadcast the cooperative closing transaction."""


class PublishCommitment(msgspec.Struct, frozen=True, gc=False):
    """Sign and broadcast our own latest commitment; decided only behind a `Closing` record (invariant S1)."""


class Ready(msgspec.Struct, frozen=True, gc=False):
    """*At once*: both sides have sent `channel_ready`."""


class Reestablished(msgspec.Struct, frozen=True, gc=False):
    """*At once*: `channel_reestablish` has passed; promises of the journal are made again."""


class EventsRaised(msgspec.Struct, frozen=True, gc=False):
    """The journal holds events for the user that have not been shown in this life."""


class FailPeer(msgspec.Struct, frozen=True, gc=False):
    """Tell the peer in an `error` message why the channel fails. reason: printable ASCII."""

    reason: str


class WarnPeer(msgspec.Struct, frozen=True, gc=False):
    """Tell the peer in a `warning` what it did, and end the connection when `disconnect`."""

    reason: str
    disconnect: bool


Effect: TypeAlias = (
    SendMessage
    | SendCommitmentSigned
    | SendRevokeAndAck
    | SendChannelReady
    | SendChannelUpdate
    | SignClosing
    | HtlcsCommitted
    | PreimageLearnt
    | OutcomesKnown
    | AddRefused
    | AddsWithdrawn
    | PublishFunding
    | PublishClose
    | PublishCommitment
    | Ready
    | Reestablished
    | EventsRaised
    | FailPeer
    | WarnPeer
)
