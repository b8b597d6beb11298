"""What a node says of closed channels: results of `NodeControl`, under the rules of `views.py`."""

from typing import Literal, TypeAlias

import msgspec

from leyden.node.views import ChannelStateName, PaymentDirection

OnchainStateName: TypeAlias = Literal[
    "expected",
    "locked",
    "undecided",
    "ready",
    "claiming",
    "uneconomic",
    "ours",
    "theirs",
    "spent",
    "left",
    "trimmed",
]
ClaimStateName: TypeAlias = Literal["making", "published", "refused", "uneconomic"]
SweepStateName: TypeAlias = Literal["waiting", "ready", "sweeping", "swept", "uneconomic"]


class OnchainHtlcView(msgspec.Struct, frozen=True, kw_only=True):
    """An HTLC of a commitment. direction: `outbound` is one that we offered. htlc_id: None when only old data of the
    channel know it. has_preimage: we know it, from a payee, a peer or the chain.
    """

    direction: PaymentDirection
    htlc_id: int | None
    amount_msat: int
    payment_hash: str
    cltv_expiry: int
    has_preimage: bool


class OnchainOutputView(msgspec.Struct, frozen=True, kw_only=True):
    """An output of the transaction that closed a channel, or of a second stage that spends it.

    outpoint: `txid:index`; None for an HTLC that is too small to have one. kind: of `monitor/watched.py`. state:
    `expected`: its transaction is in no block. `locked`: ours from unlock_height on. `undecided`: an HTLC of the peer's
    whose preimage is not here. `ready`: it may be claimed now. `claiming`: our transaction waits for a block.
    `uneconomic`: not worth its fee. `ours`, `theirs`: taken, in a block; `spent`: by somebody, an anchor. `left`: of no
    use to us. `trimmed`: has no output, its amount went to the fee. height: of the block that holds its transaction.
    unlock_height: first block that may hold our spend. deadline_height: from this block on the other side may take it
    too. txid: of what spends it, in the block spent_height when there is one; feerate_per_kw of that, None if unknown.
    """

    outpoint: str | None
    kind: str
    amount_sat: int
    state: OnchainStateName
    height: int | None = None
    unlock_height: int | None = None
    deadline_height: int | None = None
    htlc: OnchainHtlcView | None = None
    txid: str | None = None
    spent_height: int | None = None
    feerate_per_kw: int | None = None


class OnchainClaimView(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction of ours that is to take outputs of a channel and is in no block yet.

    txid: None while it is being made. outpoints: what it spends. state: `published`, `refused` by the chain service,
    `making`, or `uneconomic`. bump_height: at this height it will pay more. deadline_height: first of what it takes.
    """

    txid: str | None
    outpoints: list[str]
    state: ClaimStateName
    feerate_per_kw: int
    fee_sat: int
    amount_sat: int
    since_height: int
    bump_height: int | None = None
    deadline_height: int | None = None


class CommitmentFateView(msgspec.Struct, frozen=True, kw_only=True):
    """What closes a channel. kind: of `monitor/classify.py`. number: of the commitment. height, confirmations: of its
    block. fee_sat, feerate_per_kw: its own. child: the transaction that pays for it through its anchor.
    """

    kind: str
    txid: str
    number: int | None
    height: int | None
    confirmations: int
    fee_sat: int
    feerate_per_kw: int
    child: OnchainClaimView | None = None


class TimelineView(msgspec.Struct, frozen=True, kw_only=True):
    """The life of a channel on the chain.

    commitment: None while nothing has been published. outputs: with those of second stages; those of our own commitment
    that waits for a block have heights as if it were in the next. claims: ours that are in no block. deadline_height:
    an open channel is closed then if its HTLCs stay as they are. archive_height: not before it is the channel gone from
    here.
    """

    channel_id: str
    state: ChannelStateName
    block_height: int
    reason: str | None
    deadline_height: int | None
    commitment: CommitmentFateView | None
    outputs: list[OnchainOutputView]
    claims: list[OnchainClaimView]
    archive_height: int | None


class SweepOutputView(msgspec.Struct, frozen=True, kw_only=True):
    """An output that is ours alone. state: `waiting` for ready_height (its lock, or its depth); `sweeping`: in a
    transaction that waits for a block; `swept`; `uneconomic`: not worth its fee at the feerate of now; `ready`: it goes
    with the next block. ready_height: once the chain is that high it is swept; None when it is, or was.
    spent_height: of the block that holds the sweep, which has so many confirmations.
    """

    channel_id: str
    outpoint: str
    kind: str
    amount_sat: int
    state: SweepStateName
    ready_height: int | None
    txid: str | None = None
    spent_height: int | None = None
    confirmations: int = 0


class SweepsView(msgspec.Struct, frozen=True, kw_only=True):
    """What closed channels leave to the wallet.

    sweep: the transaction that waits for a block. feerate_per_kw: of a sweep that would be made now. uneconomic_sat:
    what is not worth its fee at that.
    """

    block_height: int
    feerate_per_kw: int
    uneconomic_sat: int
    outputs: list[SweepOutputView]
    sweep: OnchainClaimView | None = None
