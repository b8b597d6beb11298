"""What the manager is told once: policy, not state."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Protocol

import msgspec

from leyden.bitcoin.networks import Network
from leyden.channel.env import ChannelLimits
from leyden.journal.records import ForwardingPolicy
from leyden.monitor.watchtower import JusticeBlob
from leyden.payments.routes import ChannelView, PlannedPart, Target, Way, plan
from leyden.signer.interface import ChannelSigner, KeysManager
from leyden.wire.messages import OpenChannel


class NodeSigner(ChannelSigner, KeysManager, Protocol):
    """Both halves of the signer; usually one object."""


class InboundOpen(msgspec.Struct, frozen=True):
    """An `open_channel` that the acceptance hook may judge. trusted: the user trusts this peer with zero-conf."""

    counterparty_node_id: bytes
    message: OpenChannel
    trusted: bool


class AcceptHook(Protocol):
    """Says whether an inbound channel is wanted: an empty string, or why not (sent to the peer)."""

    def __call__(self, request: InboundOpen, /) -> str:
        """Judge one request; called in the middle of a pass, so it must not block."""
        ...


def accept_all(_request: InboundOpen, /) -> str:
    """Accept every inbound channel within the limits."""
    return ""


class CloseCause(Enum):
    """Who or what wants a channel closed by force.

    USER: its user. DEADLINE: an HTLC that needs the chain. PEER: it has sent an `error`. VIOLATION: the peer broke the
    protocol in a way that fails the channel. NEGOTIATION: the closing fees of both sides do not meet.
    """

    USER = "user"
    DEADLINE = "deadline"
    PEER = "peer"
    VIOLATION = "violation"
    NEGOTIATION = "negotiation"


class CloseRequest(msgspec.Struct, frozen=True):
    """A forced close that the close hook may refuse. reason: sentence for people."""

    channel_id: bytes
    counterparty_node_id: bytes
    cause: CloseCause
    reason: str


class CloseHook(Protocol):
    """Says whether a channel may be closed by force. Not asked when the user wants it or a deadline needs it."""

    def __call__(self, request: CloseRequest, /) -> bool:
        """Judge one close; called in the middle of a pass, so it must not block. An error of it counts as a refusal."""
        ...


def allow_close(_request: CloseRequest, /) -> bool:
    """Allow every close that the protocol asks for."""
    return True


def never_close(_request: CloseRequest, /) -> bool:
    """Never close on our own."""
    return False


class Router(Protocol):
    """Chooses the HTLCs of a payment: the seam for other path finding. Default: `payments.routes.plan`."""

    def __call__(
        self,
        channels: Sequence[ChannelView],
        target: Target,
        amount_msat: int,
        fee_left_msat: int,
        parts_left: int,
        excluded: Iterable[Way],
        /,
    ) -> list[PlannedPart] | str:
        """Return the parts, or the name of the reason why there is no way; called in the middle of a pass."""
        ...


class CustomMessages(Protocol):
    """Takes messages of a type that Leyden does not know (BOLT 1: 32768 and above are for applications)."""

    def __call__(self, node_id: bytes, message_type: int, payload: bytes, /) -> bool:
        """Return whether the message was understood; an even one that was not ends the connection."""
        ...


def no_custom_messages(_node_id: bytes, _message_type: int, _payload: bytes, /) -> bool:
    """Understand none."""
    return False


class JusticeSink(Protocol):
    """Takes what a watchtower needs to punish a commitment of a peer, once for each that is revoked."""

    def __call__(self, channel_id: bytes, number: int, blobs: Sequence[JusticeBlob], /) -> None:
        """Take the blobs of one commitment; called in the middle of a pass, so it must not block."""
        ...


class ManagerConfig(msgspec.Struct, frozen=True):
    """Defaults follow PROTOCOL (d), "LDK policy", where the BOLTs leave it open.

    auto_claim: claim whatever pays one of our invoices or is a keysend payment, instead of asking.
    forward_cltv_expiry_delta: blocks between an incoming and an outgoing HTLC.
    min_final_cltv_expiry_delta: what our invoices ask for.
    claim_deadline_blocks: a claim must come this many blocks before the earliest expiry of its parts.
    mpp_timeout_seconds: how long an incomplete payment is held (BOLT 4, "Basic Multi-Part Payments": at least 60).
    payment_retention_seconds: how long a finished payment_id stays known.
    deadline_grace_blocks: an HTLC that we offered closes its channel this many blocks after its expiry (BOLT 2,
    "`cltv_expiry_delta` Selection": G); one with a known preimage does so `claim_deadline_blocks` before its expiry.
    fail_back_grace_blocks: what the chain has not resolved is failed upstream this many blocks before the inbound
    expiry.
    closing_negotiation_blocks: a cooperative close becomes a forced one when so many blocks have come while both sides
    were connected and had not agreed on a fee.
    closed_depth: confirmations after which a spend of the funding output counts as the end.
    onchain_failure_depth: confirmations after which an HTLC that the chain has decided against is failed back to where
    it came from; at least `closed_depth`, since an open channel may still settle it.
    sweeps: what is ours of closed channels goes to the wallet by itself.
    unacknowledged_events_max: above it no new HTLCs and channels are taken; claims always.
    justice_sink: exports signed penalties of each state as it is revoked; None: no work at all.
    justice_feerates_per_kw: one of each kind is made for each of these.
    """

    network: Network
    limits: ChannelLimits = ChannelLimits()
    policy: ForwardingPolicy = ForwardingPolicy(1000, 100, 72, 1)
    auto_claim: bool = True
    accept_keysend: bool = True
    min_final_cltv_expiry_delta: int = 42
    claim_deadline_blocks: int = 18
    deadline_grace_blocks: int = 2
    fail_back_grace_blocks: int = 3
    closing_negotiation_blocks: int = 12
    cltv_expiry_max_blocks: int = 2016
    mpp_timeout_seconds: int = 60
    payment_retention_seconds: int = 7 * 86400
    closed_depth: int = 6
    onchain_failure_depth: int = 6
    sweeps: bool = True
    funding_timeout_blocks: int = 2016
    upfront_shutdown: bool = False
    unacknowledged_events_max: int = 100_000
    accept_hook: AcceptHook = accept_all
    close_hook: CloseHook = allow_close
    router: Router = plan
    custom_messages: CustomMessages = no_custom_messages
    justice_sink: JusticeSink | None = None
    justice_feerates_per_kw: tuple[int, ...] = (2_500, 12_500, 62_500)
    feerate_min_per_kw: int = 253
    feerate_max_per_kw: int = 250_000
