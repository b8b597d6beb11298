"""What a channel can be told, beside the wire messages of BOLT 2 themselves."""

from typing import TypeAlias

import msgspec

from leyden.journal.records import (
    ChannelRecord,
    Claim,
    FailedHtlc,
    ForwardedPayment,
    ForwardingPolicy,
    HtlcSource,
    HtlcsShown,
)


class PendingAdd(msgspec.Struct, frozen=True, gc=False):
    """An HTLC to be offered with the next signature; it gets its htlc_id when it is sent."""

    amount_msat: int
    payment_hash: bytes
    cltv_expiry: int
    onion_routing_packet: bytes
    source: HtlcSource
    fee_msat: int


class QueueAdd(msgspec.Struct, frozen=True, gc=False):
    """Offer an HTLC. Refused later, by `AddRefused`, if it does not fit when it would be sent."""

    add: PendingAdd


class DecideHtlcs(msgspec.Struct, frozen=True, gc=False):
    """Record what becomes of inbound HTLCs. The removals of `forwarded` and `failed` are queued at once, claims when
    released.
    """

    forwarded: list[ForwardedPayment]
    failed: list[FailedHtlc]
    claims: list[Claim]


class ReleaseClaim(msgspec.Struct, frozen=True, gc=False):
    """All parts of a claim are durable (invariant P11): its HTLCs here may be fulfilled."""

    claim_id: bytes


class Show(msgspec.Struct, frozen=True, gc=False):
    """Record that HTLCs are shown to the user as claimable."""

    shown: HtlcsShown


class Commit(msgspec.Struct, frozen=True, gc=False):
    """The pass over the peer's bytes is done: sign everything that is queued, if a signature may be sent."""


class Withdraw(msgspec.Struct, frozen=True, gc=False):
    """Our signature on the peer's commitment `number` was made in this life, has not left, and the peer stays away."""

    number: int


class ChangeFeerate(msgspec.Struct, frozen=True, gc=False):
    """The fee policy wants this feerate on the commitments (opener only)."""

    feerate_per_kw: int


class BecomeReady(msgspec.Struct, frozen=True, gc=False):
    """A block came: if the funding is deep enough, say `channel_ready` with this alias (random, from the driver)."""

    alias: int


class Connected(msgspec.Struct, frozen=True, gc=False):
    """The peer is connected and both `init` have passed."""


class Disconnected(msgspec.Struct, frozen=True, gc=False):
    """The connection is gone, and with it every update that no signature covers."""


class StartShutdown(msgspec.Struct, frozen=True, gc=False):
    """The user closes the channel cooperatively to this script."""

    scriptpubkey: bytes
    feerate_per_kw: int


class ForceClose(msgspec.Struct, frozen=True, gc=False):
    """Publish our commitment. reason: short sentence for the user."""

    reason: str


class SetPolicy(msgspec.Struct, frozen=True, gc=False):
    """Change what we ask for forwarding out of this channel, and whether anything is.

    timestamp: seconds, for `channel_update`.
    """

    policy: ForwardingPolicy
    timestamp: int
    is_disabled: bool = False


class Learn(msgspec.Struct, frozen=True, gc=False):
    """A record that another machine has already decided (chain facts, acknowledgements): append it."""

    record: ChannelRecord


class ClosingSignature(msgspec.Struct, frozen=True, gc=False):
    """The signer's signature (64 bytes) for the closing transaction of `SignClosing`."""

    signature: bytes
    fee_satoshis: int
    form: int


Command: TypeAlias = (
    QueueAdd
    | DecideHtlcs
    | ReleaseClaim
    | Withdraw
    | Show
    | Commit
    | ChangeFeerate
    | BecomeReady
    | Connected
    | Disconnected
    | StartShutdown
    | ForceClose
    | SetPolicy
    | Learn
    | ClosingSignature
)
