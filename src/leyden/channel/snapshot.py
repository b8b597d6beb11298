"""The encoded fold of a channel's journal: what replaces records when a journal is compacted.

Only durable state; HTLCs that several parts of the state share are written once and named by id elsewhere. The penalty
rows are not part of it: they go to the penalty log before the records are dropped.
"""

from typing import Any

import msgspec

from leyden.base.errors import DecodeError, WrittenByNewer
from leyden.channel.core import ChannelCore, ForwardEvent, Outcome, WithdrawnCommitment, new_core
from leyden.channel.htlc import Changes, InboundHtlc, OutboundHtlc, inbound_htlc, outbound_htlc
from leyden.channel.view import CommitmentView
from leyden.crypto.shachain import Shachain
from leyden.journal.records import (
    AddedHtlc,
    ChannelOpened,
    Claim,
    CloseAgreed,
    Closing,
    FailedHtlc,
    ForwardingPolicy,
    FundingConfirmed,
    FundingSpent,
    HtlcsShown,
    OutputSpent,
    PeerPolicy,
    RemovedHtlc,
    SpendableOutput,
)

SNAPSHOT_VERSION = 1


class _View(msgspec.Struct, frozen=True, array_like=True):
    number: int
    feerate_per_kw: int
    local_msat: int
    remote_msat: int
    htlcs: list[int]


class _Outbound(msgspec.Struct, frozen=True, array_like=True):
    add: AddedHtlc
    first_remote_number: int
    removal: RemovedHtlc | None


class _Inbound(msgspec.Struct, frozen=True, array_like=True):
    add: AddedHtlc
    first_remote_number: int
    committed: bool
    handed_off: bool
    shared_secret: bytes
    preimage: bytes
    failure: FailedHtlc | None
    attribution_data: bytes
    set_id: bytes
    claim_id: bytes
    removing: bool


class _Changes(msgspec.Struct, frozen=True, array_like=True):
    adds: list[int]
    removals: list[tuple[int, bool]]
    feerate_per_kw: int


class ChannelSnapshot(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """See the module. Fields as in `ChannelCore`."""

    opened: ChannelOpened
    position: int
    local: _View
    remote: _View
    remote_prior: _View | None
    remote_point: bytes
    remote_prior_point: bytes
    remote_next_point: bytes
    local_signature: bytes
    local_htlc_signatures: bytes
    secrets: list[tuple[int, bytes]]
    outbound: list[_Outbound]
    inbound: list[_Inbound]
    next_outbound_id: int
    next_inbound_id: int
    own_signed: _Changes
    own_acked: _Changes
    peer_local: _Changes
    peer_signed: _Changes
    revocation_is_last: bool
    policy: ForwardingPolicy
    policy_timestamp: int
    outcomes: list[Outcome]
    claims: list[Claim]
    shown: list[HtlcsShown]
    forward_events: list[ForwardEvent]
    events: dict[str, list[str | int]]
    funding: FundingConfirmed | None
    local_alias: int
    local_ready: bool
    remote_ready: bool
    remote_alias: int
    peer_policy: PeerPolicy | None
    local_shutdown_script: bytes
    remote_shutdown_script: bytes
    closing_feerate_per_kw: int
    close_agreed: CloseAgreed | None
    closing: Closing | None
    spent: FundingSpent | None
    stale: bool
    closed_height: int
    abandoned: str
    withdrawn: list[WithdrawnCommitment] = []
    output_spends: list[OutputSpent] = []
    undone_spend: bytes = b""
    onchain_preimages: dict[int, bytes] = {}
    onchain_failed: dict[int, None] = {}
    spendable: dict[str, SpendableOutput] = {}
    forwarding_disabled: bool = False


_SAME = [
    "opened",
    "position",
    "remote_point",
    "remote_prior_point",
    "remote_next_point",
    "local_signature",
    "local_htlc_signatures",
    "next_outbound_id",
    "next_inbound_id",
    "revocation_is_last",
    "policy",
    "policy_timestamp",
    "events",
    "funding",
    "local_alias",
    "local_ready",
    "remote_ready",
    "remote_alias",
    "peer_policy",
    "local_shutdown_script",
    "remote_shutdown_script",
    "closing_feerate_per_kw",
    "close_agreed",
    "closing",
    "spent",
    "stale",
    "closed_height",
    "abandoned",
    "withdrawn",
    "output_spends",
    "undone_spend",
    "onchain_preimages",
    "onchain_failed",
    "spendable",
    "forwarding_disabled",
]

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ChannelSnapshot)


def _view(view: CommitmentView) -> _View:
    return _View(view.number, view.feerate_per_kw, view.local_msat, view.remote_msat, list(view.htlcs))


def _changes(changes: Changes) -> _Changes:
    return _Changes(
        [htlc.add.htlc_id for htlc in changes.adds],
        [(htlc.add.htlc_id, fulfilled) for htlc, fulfilled in changes.removals],
        changes.feerate_per_kw,
    )


def snapshot_of(core: ChannelCore) -> ChannelSnapshot:
    """Return the durable state as a value."""
    return ChannelSnapshot(
        local=_view(core.local),
        remote=_view(core.remote),
        remote_prior=None if core.remote_prior is None else _view(core.remote_prior),
        secrets=core.secrets.to_list(),
        outbound=[_Outbound(one.add, one.first_remote_number, one.removal) for one in core.outbound.values()],
        inbound=[
            _Inbound(
                one.add,
                one.first_remote_number,
                one.committed,
                one.handed_off,
                one.shared_secret,
                one.preimage,
                one.failure,
                one.attribution_data,
                one.set_id,
                one.claim_id,
                one.removing,
            )
            for one in core.inbound.values()
        ],
        own_signed=_changes(core.own_signed),
        own_acked=_changes(core.own_acked),
        peer_local=_changes(core.peer_local),
        peer_signed=_changes(core.peer_signed),
        outcomes=list(core.outcomes.values()),
        claims=list(core.claims.values()),
        shown=list(core.shown.values()),
        forward_events=list(core.forward_events.values()),
        **{name: getattr(core, name) for name in _SAME},
    )


def encode_core(core: ChannelCore) -> bytes:
    """Encode the durable state: a version byte and msgpack."""
    return bytes((SNAPSHOT_VERSION,)) + _encoder.encode(snapshot_of(core))


def decode_core(encoded: bytes) -> ChannelCore:
    """Rebuild the state that `encode_core` wrote.

    Raises: DecodeError for a newer version or damaged bytes.
    """
    if encoded[:1] != bytes((SNAPSHOT_VERSION,)):
        raise WrittenByNewer("channel snapshot of a version that this program does not read", offset=0, field="version")
    try:
        return core_of(_decoder.decode(encoded[1:]))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"damaged channel snapshot: {error}") from error
    except (KeyError, ValueError, OverflowError) as error:
        # An HTLC or secret that the rest of the snapshot does not know.
        raise DecodeError(f"damaged channel snapshot: {type(error).__name__} {error}") from error


def core_of(snapshot: ChannelSnapshot) -> ChannelCore:
    """Rebuild the state from its value."""
    core = new_core(snapshot.opened)
    for name in _SAME:
        setattr(core, name, getattr(snapshot, name))
    core.secrets = Shachain.from_list(snapshot.secrets)
    core.outbound = {one.add.htlc_id: _outbound(one) for one in snapshot.outbound}
    core.inbound = {one.add.htlc_id: _inbound(one) for one in snapshot.inbound}
    core.own_signed = _own(core, snapshot.own_signed)
    core.own_acked = _own(core, snapshot.own_acked)
    core.peer_local = _peer(core, snapshot.peer_local)
    core.peer_signed = _peer(core, snapshot.peer_signed)
    core.local = _rebuilt_view(core, core.local, snapshot.local)
    core.remote = _rebuilt_view(core, core.remote, snapshot.remote)
    if snapshot.remote_prior is not None:
        core.remote_prior = _rebuilt_view(core, core.remote, snapshot.remote_prior)
    core.outcomes = {one.htlc_id: one for one in snapshot.outcomes}
    core.claims = {one.claim_id: one for one in snapshot.claims}
    core.shown = {one.set_id: one for one in snapshot.shown}
    core.forward_events = {one.event_id: one for one in snapshot.forward_events}
    return core


def _outbound(one: _Outbound) -> OutboundHtlc:
    htlc = outbound_htlc(one.add, one.first_remote_number)
    htlc.removal = one.removal
    return htlc


def _inbound(one: _Inbound) -> InboundHtlc:
    htlc = inbound_htlc(one.add)
    for name in one.__struct_fields__[1:]:
        setattr(htlc, name, getattr(one, name))
    return htlc


def _own(core: ChannelCore, changes: _Changes) -> Changes:
    removals: list[Any] = [(core.inbound[htlc_id], fulfilled) for htlc_id, fulfilled in changes.removals]
    return Changes([core.outbound[htlc_id] for htlc_id in changes.adds], removals, changes.feerate_per_kw)


def _peer(core: ChannelCore, changes: _Changes) -> Changes:
    removals: list[Any] = [(core.outbound[htlc_id], fulfilled) for htlc_id, fulfilled in changes.removals]
    return Changes([core.inbound[htlc_id] for htlc_id in changes.adds], removals, changes.feerate_per_kw)


def _rebuilt_view(core: ChannelCore, like: CommitmentView, saved: _View) -> CommitmentView:
    view = CommitmentView(
        like.is_local, like.anchors, like.dust_limit_satoshis, saved.number, saved.feerate_per_kw, 0, 0, {}
    )
    for key in saved.htlcs:
        view.add(core.outbound[key >> 1] if key & 1 else core.inbound[key >> 1])
    view.local_msat, view.remote_msat = saved.local_msat, saved.remote_msat
    return view
