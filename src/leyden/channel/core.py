"""The durable state of a live channel: the fold of its records.

Changed in place, by `fold.py` alone: one channel owns it, and no other state shares its parts. `clone` gives an
independent copy.

Between two commitments a change passes four places (BOLT 2, "Normal Operation"):

    ours:        own_signed  --revocation-->  own_acked   --their signature-->  irrevocable
    the peer's:  peer_local  --our signature-> peer_signed --revocation-->      irrevocable
"""

import msgspec

from leyden.channel.htlc import Changes, InboundHtlc, OutboundHtlc
from leyden.channel.view import CommitmentView
from leyden.crypto.shachain import Shachain
from leyden.journal.records import (
    AddedHtlc,
    ChannelOpened,
    Claim,
    CloseAgreed,
    Closing,
    ForwardingPolicy,
    FundingConfirmed,
    FundingSpent,
    HtlcSource,
    HtlcsShown,
    OutputSpent,
    PeerPolicy,
    RemovedHtlc,
    SpendableOutput,
)


class Outcome(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What became of an HTLC that we offered; kept until whoever owns its source has acted durably."""

    htlc_id: int
    source: HtlcSource
    amount_msat: int
    fee_msat: int
    payment_hash: bytes
    removal: RemovedHtlc


class ForwardEvent(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a `PaymentForwarded` event tells; kept by the inbound channel until acknowledged."""

    event_id: str
    inbound_htlc_id: int
    inbound_amount_msat: int
    outbound_channel_id: bytes
    outbound_htlc_id: int
    outbound_amount_msat: int


class WithdrawnHtlc(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An HTLC of a withdrawn commitment. offered: by us."""

    offered: bool
    htlc_id: int
    amount_msat: int
    payment_hash: bytes
    cltv_expiry: int


class WithdrawnCommitment(msgspec.Struct, frozen=True, array_like=True):
    """A commitment of the peer that we signed and took back. Nobody should have the signature; until it is revoked it
    stays in view all the same. point: the peer's, 33 bytes. local_msat, remote_msat: balances before fees.

    adds: HTLCs that were in no earlier commitment; their ids were given again.
    """

    number: int
    point: bytes
    feerate_per_kw: int
    local_msat: int
    remote_msat: int
    htlcs: list[WithdrawnHtlc]
    adds: list[AddedHtlc]


class ChannelCore(msgspec.Struct):
    """See the module. `position` counts the records folded; `local` and `remote` are the latest signed commitments of
    each side.

    remote_prior: the peer's commitment before `remote` while that one is not revoked yet (monitor).
    remote_point / remote_next_point: the peer's points for `remote.number` and the number after it.
    revocation_is_last: our last revoke_and_ack left after our last commitment_signed (order of retransmission).
    penalty_rows: what justice needs of HTLCs that left the peer's commitments since the last snapshot.
    output_spends: what spends outputs of the commitment that closed the channel, in the order of the chain.
    undone_spend: a spend of the funding output that a reorganisation took away, serialised, until there is another.
    onchain_preimages: of HTLCs that we offered, as the chain or the mempool revealed them. onchain_failed: htlc_ids of
    those that the chain has decided against. spendable: outputs that the user was told are ours alone, by outpoint.
    """

    opened: ChannelOpened
    position: int
    local: CommitmentView
    remote: CommitmentView
    remote_prior: CommitmentView | None
    remote_point: bytes
    remote_prior_point: bytes
    remote_next_point: bytes
    local_signature: bytes
    local_htlc_signatures: bytes
    secrets: Shachain
    outbound: dict[int, OutboundHtlc]
    inbound: dict[int, InboundHtlc]
    next_outbound_id: int
    next_inbound_id: int
    own_signed: Changes
    own_acked: Changes
    peer_local: Changes
    peer_signed: Changes
    revocation_is_last: bool
    policy: ForwardingPolicy
    policy_timestamp: int = 0
    outcomes: dict[int, Outcome] = {}
    claims: dict[bytes, Claim] = {}
    shown: dict[bytes, HtlcsShown] = {}
    forward_events: dict[str, ForwardEvent] = {}
    events: dict[str, list[str | int]] = {}
    funding: FundingConfirmed | None = None
    local_alias: int = 0
    local_ready: bool = False
    remote_ready: bool = False
    remote_alias: int = 0
    peer_policy: PeerPolicy | None = None
    local_shutdown_script: bytes = b""
    remote_shutdown_script: bytes = b""
    closing_feerate_per_kw: int = 0
    close_agreed: CloseAgreed | None = None
    closing: Closing | None = None
    spent: FundingSpent | None = None
    stale: bool = False
    closed_height: int = 0
    abandoned: str = ""
    penalty_rows: list[bytes] = []
    withdrawn: list[WithdrawnCommitment] = []
    output_spends: list[OutputSpent] = []
    undone_spend: bytes = b""
    onchain_preimages: dict[int, bytes] = {}
    onchain_failed: dict[int, None] = {}
    spendable: dict[str, SpendableOutput] = {}
    forwarding_disabled: bool = False

    @property
    def awaiting_revocation(self) -> bool:
        """Whether our last commitment_signed is not answered by revoke_and_ack yet."""
        return self.remote_prior is not None

    @property
    def capacity_satoshis(self) -> int:
        """The value of the funding output."""
        return self.opened.funding_satoshis

    @property
    def is_left_to_chain(self) -> bool:
        """Whether nothing new is decided about its HTLCs here: what is on the chain will say it, or this is an old
        copy and they may have been settled already.
        """
        return self.stale or self.spent is not None or bool(self.closed_height)

    def has_pending_htlcs(self) -> bool:
        """Return whether any HTLC or unsettled change is left on either commitment."""
        return bool(
            self.local.htlcs
            or self.remote.htlcs
            or self.outbound
            or self.inbound
            or self.own_signed
            or self.own_acked
            or self.peer_local
            or self.peer_signed
            or self.awaiting_revocation
        )


def new_core(opened: ChannelOpened) -> ChannelCore:
    """Return the state of a channel whose journal holds only its birth."""
    local_msat = opened.funding_satoshis * 1000 - opened.push_msat if opened.is_opener else opened.push_msat
    remote_msat = opened.funding_satoshis * 1000 - local_msat
    views = [
        CommitmentView(
            is_local,
            opened.anchors,
            side.dust_limit_satoshis,
            0,
            opened.feerate_per_kw,
            local_msat,
            remote_msat,
            {},
        )
        for is_local, side in ((True, opened.local), (False, opened.remote))
    ]
    return ChannelCore(
        opened=opened,
        position=1,
        local=views[0],
        remote=views[1],
        remote_prior=None,
        remote_point=opened.remote_first_point,
        remote_prior_point=b"",
        remote_next_point=b"",
        local_signature=opened.remote_signature,
        local_htlc_signatures=b"",
        secrets=Shachain(),
        outbound={},
        inbound={},
        next_outbound_id=0,
        next_inbound_id=0,
        own_signed=Changes(),
        own_acked=Changes(),
        peer_local=Changes(),
        peer_signed=Changes(),
        revocation_is_last=False,
        policy=opened.policy,
    )
