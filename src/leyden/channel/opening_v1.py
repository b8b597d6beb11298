"""Opening, v1: from `open_channel` to the first record. Volatile: a crash or disconnection before that forgets the
channel.

    opener:   AwaitingAccept --accept_channel--> AwaitingFunding --wallet--> AwaitingSigned --funding_signed--> born
    accepter: (hook says yes) AwaitingCreated --funding_created--> born

Channels of a batch share the funding transaction. They wait for each other twice, in AwaitingFunding and, signed, in
AwaitingOthers, and are born together.

Guaranteed: the accepter is born before `funding_signed` leaves, the opener before the funding transaction is broadcast;
nothing is at stake before that. Signing the peer's first commitment early costs nothing: it spends an output that does
not exist yet.
"""

from collections.abc import Sequence

import msgspec

from leyden.base.errors import CommandRejected
from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.channel.build import channel_keys, local_commitment
from leyden.channel.core import new_core
from leyden.channel.env import ChannelEnv
from leyden.channel.errors import InvalidOpen
from leyden.channel.open_checks import FUNDING_SATOSHIS_WITHOUT_LARGE_CHANNEL_MAX, check_accept, check_open
from leyden.channel.session import Session
from leyden.channel.states import AwaitingReady
from leyden.crypto import ec
from leyden.journal.records import ChannelOpened, ForwardingPolicy, SideParameters
from leyden.transactions.funding import channel_id_of
from leyden.transactions.keys import ChannelBasepoints
from leyden.transactions.scripts import funding_script
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from leyden.wire.messages import AcceptChannel, ChannelReady, FundingCreated, FundingSigned, OpenChannel


class OpenRequest(msgspec.Struct, frozen=True):
    """What the user asks for. user_channel_id: 16 bytes that name the attempt; temporary_channel_id and keys_id: 32
    random bytes. batch_id: 32 bytes, the same for all channels that one transaction funds; empty: it is alone.
    """

    counterparty_node_id: bytes
    funding_satoshis: int
    push_msat: int
    channel_type: ChannelType
    announce_channel: bool
    feerate_per_kw: int
    chain_hash: bytes
    temporary_channel_id: bytes
    channel_keys_id: bytes
    user_channel_id: bytes
    upfront_shutdown_script: bytes
    policy: ForwardingPolicy
    batch_id: bytes = b""

    @property
    def funding_id(self) -> bytes:
        """What names the funding transaction before it has a txid, 32 bytes."""
        return self.batch_id or self.temporary_channel_id


class AwaitingAccept(msgspec.Struct, frozen=True):
    """`open_channel` is sent."""

    request: OpenRequest
    sent: OpenChannel


class AwaitingFunding(msgspec.Struct, frozen=True):
    """`accept_channel` is fine: the wallet makes the funding transaction."""

    request: OpenRequest
    sent: OpenChannel
    accepted: AcceptChannel

    def funding_script(self) -> bytes:
        """Return the witness script of the funding output."""
        return funding_script(self.sent.funding_pubkey, self.accepted.funding_pubkey)


class AwaitingSigned(msgspec.Struct, frozen=True):
    """`funding_created` is sent. `birth` lacks only the peer's signature."""

    birth: ChannelOpened
    funding_id: bytes


class AwaitingOthers(msgspec.Struct, frozen=True):
    """The peer has signed; other channels of the batch are not as far. `birth` is whole, and not written yet.

    ready: a `channel_ready` that waits for the birth; a peer that trusts us sends it at once.
    """

    birth: ChannelOpened
    funding_id: bytes
    ready: ChannelReady | None


class AwaitingCreated(msgspec.Struct, frozen=True):
    """`accept_channel` is sent."""

    counterparty_node_id: bytes
    received: OpenChannel
    sent: AcceptChannel
    channel_keys_id: bytes
    channel_type: ChannelType
    policy: ForwardingPolicy
    user_channel_id: bytes


OwnOpening = AwaitingAccept | AwaitingFunding | AwaitingSigned | AwaitingOthers
Opening = OwnOpening | AwaitingCreated


def _reserve_satoshis(funding_satoshis: int, env: ChannelEnv) -> int:
    limits = env.limits
    return max(
        funding_satoshis * limits.channel_reserve_percent // 100,
        limits.channel_reserve_floor_satoshis,
        limits.dust_limit_satoshis,
    )


def start_opening(request: OpenRequest, points: ChannelBasepoints, env: ChannelEnv) -> AwaitingAccept:
    """Return the state after `open_channel` (its `sent`) leaves. points: our basepoints for request.channel_keys_id.

    Raises: CommandRejected when such a channel must not be asked for.
    Spec:   BOLT 2, "The `open_channel` Message".
    """
    _check_request(request, env)
    limits = env.limits
    message = OpenChannel(
        chain_hash=request.chain_hash,
        temporary_channel_id=request.temporary_channel_id,
        funding_satoshis=request.funding_satoshis,
        push_msat=request.push_msat,
        dust_limit_satoshis=limits.dust_limit_satoshis,
        max_htlc_value_in_flight_msat=request.funding_satoshis * 10 * limits.max_htlc_value_in_flight_percent,
        channel_reserve_satoshis=_reserve_satoshis(request.funding_satoshis, env),
        htlc_minimum_msat=limits.htlc_minimum_msat,
        feerate_per_kw=request.feerate_per_kw,
        to_self_delay=limits.to_self_delay,
        max_accepted_htlcs=limits.max_accepted_htlcs,
        funding_pubkey=points.funding_public_key,
        revocation_basepoint=points.revocation_basepoint,
        payment_basepoint=points.payment_basepoint,
        delayed_payment_basepoint=points.delayed_payment_basepoint,
        htlc_basepoint=points.htlc_basepoint,
        first_per_commitment_point=env.point_of(request.channel_keys_id, 0),
        channel_flags=1 if request.announce_channel else 0,
        upfront_shutdown_script=request.upfront_shutdown_script,
        channel_type=request.channel_type.encode(),
    )
    return AwaitingAccept(request, message)


def _check_request(request: OpenRequest, env: ChannelEnv) -> None:
    limits, funding = env.limits, request.funding_satoshis
    funding_max = limits.funding_satoshis_max if env.large_channel else FUNDING_SATOSHIS_WITHOUT_LARGE_CHANNEL_MAX
    if not limits.funding_satoshis_min <= funding <= funding_max:
        raise CommandRejected(
            f"a channel with this peer holds {limits.funding_satoshis_min} to {funding_max} sat, not {funding}",
            code="bad_funding_amount",
        )
    if not 0 <= request.push_msat <= funding * 1000:
        raise CommandRejected(
            f"push_msat is {request.push_msat}; a channel of {funding} sat can give 0 to {funding * 1000} msat",
            code="bad_push_amount",
        )
    if request.announce_channel and request.channel_type.scid_alias:
        raise CommandRejected("a channel with scid_alias cannot be announced", code="bad_channel_type")


def on_accept_channel(state: AwaitingAccept, msg: AcceptChannel, env: ChannelEnv) -> AwaitingFunding:
    """Check what the peer asks for.

    Raises: InvalidOpen.
    Spec:   BOLT 2, "The `accept_channel` Message".
    """
    if msg.temporary_channel_id != state.sent.temporary_channel_id:
        raise InvalidOpen("accept_channel with another temporary_channel_id than open_channel")
    check_accept(state.sent, msg, env)
    return AwaitingFunding(state.request, state.sent, msg)


def on_funding_transaction(
    state: AwaitingFunding, transaction: Transaction, output_index: int, height: int
) -> AwaitingSigned:
    """The wallet's transaction (complete, not broadcast) pays the funding output at `output_index`."""
    request, sent, accepted = state.request, state.sent, state.accepted
    outpoint = OutPoint(transaction.txid(), output_index)
    birth = ChannelOpened(
        channel_id=channel_id_of(outpoint),
        channel_keys_id=request.channel_keys_id,
        counterparty_node_id=request.counterparty_node_id,
        is_opener=True,
        anchors=request.channel_type.commitment_format is CommitmentFormat.ANCHORS,
        scid_alias=request.channel_type.scid_alias,
        zero_conf=accepted.minimum_depth == 0,
        announce_channel=request.announce_channel,
        funding_txid=outpoint.txid,
        funding_output_index=output_index,
        funding_satoshis=request.funding_satoshis,
        push_msat=request.push_msat,
        feerate_per_kw=request.feerate_per_kw,
        minimum_depth=accepted.minimum_depth,
        local=side_parameters(sent),
        remote=side_parameters(accepted),
        remote_first_point=accepted.first_per_commitment_point,
        remote_signature=b"",
        funding_transaction=transaction.serialize(),
        batch=[],
        policy=request.policy,
        birth_height=height,
        user_channel_id=request.user_channel_id,
    )
    return AwaitingSigned(birth, request.funding_id)


def list_members(signed: Sequence[AwaitingSigned]) -> list[AwaitingSigned]:
    """Return the channels that one transaction funds, each naming the others in the order of the batch."""
    channel_ids = [one.birth.channel_id for one in signed]
    return [
        AwaitingSigned(
            msgspec.structs.replace(
                one.birth, batch=[channel_id for channel_id in channel_ids if channel_id != one.birth.channel_id]
            ),
            one.funding_id,
        )
        for one in signed
    ]


def on_funding_signed(state: AwaitingSigned, msg: FundingSigned, env: ChannelEnv) -> ChannelOpened:
    """Check the peer's signature on our first commitment and return the birth record.

    Raises: InvalidOpen.
    Spec:   BOLT 2, "The `funding_signed` Message".
    """
    if msg.channel_id != state.birth.channel_id:
        raise InvalidOpen("channel_id is not that of the funding output")
    return _with_signature(state.birth, msg.signature, env)


def _with_signature(birth: ChannelOpened, signature: bytes, env: ChannelEnv) -> ChannelOpened:
    core = new_core(birth)
    point = env.point_of(birth.channel_keys_id, 0)
    commitment = local_commitment(channel_keys(birth), core.local, point, 0)
    if not ec.verify_ecdsa(birth.remote.funding_pubkey, commitment.digest(), signature):
        raise InvalidOpen("signature does not sign our first commitment")
    return msgspec.structs.replace(birth, remote_signature=signature)


def side_parameters(message: OpenChannel | AcceptChannel) -> SideParameters:
    """Return what the sender of the message asked for."""
    return SideParameters(
        funding_pubkey=message.funding_pubkey,
        revocation_basepoint=message.revocation_basepoint,
        payment_basepoint=message.payment_basepoint,
        delayed_payment_basepoint=message.delayed_payment_basepoint,
        htlc_basepoint=message.htlc_basepoint,
        dust_limit_satoshis=message.dust_limit_satoshis,
        max_htlc_value_in_flight_msat=message.max_htlc_value_in_flight_msat,
        channel_reserve_satoshis=message.channel_reserve_satoshis,
        htlc_minimum_msat=message.htlc_minimum_msat,
        to_self_delay=message.to_self_delay,
        max_accepted_htlcs=message.max_accepted_htlcs,
        upfront_shutdown_script=message.upfront_shutdown_script or b"",
    )


class AcceptRequest(msgspec.Struct, frozen=True):
    """What we answer an `open_channel` with. minimum_depth 0 only for peers the user trusts."""

    minimum_depth: int
    channel_keys_id: bytes
    user_channel_id: bytes
    upfront_shutdown_script: bytes
    policy: ForwardingPolicy


def accept_opening(
    counterparty_node_id: bytes,
    msg: OpenChannel,
    request: AcceptRequest,
    points: ChannelBasepoints,
    env: ChannelEnv,
) -> AwaitingCreated:
    """Return the state after `accept_channel` (its `sent`) leaves.

    Raises: InvalidOpen when the peer asks for something that we cannot accept.
    Spec:   BOLT 2, "The `open_channel` Message", "The `accept_channel` Message".
    """
    channel_type = check_open(msg, env)
    if channel_type.zeroconf and request.minimum_depth:
        raise InvalidOpen("zero-conf channels are accepted from trusted peers only")
    limits = env.limits
    reply = AcceptChannel(
        temporary_channel_id=msg.temporary_channel_id,
        dust_limit_satoshis=limits.dust_limit_satoshis,
        max_htlc_value_in_flight_msat=msg.funding_satoshis * 10 * limits.max_htlc_value_in_flight_percent,
        channel_reserve_satoshis=max(_reserve_satoshis(msg.funding_satoshis, env), msg.dust_limit_satoshis),
        htlc_minimum_msat=limits.htlc_minimum_msat,
        minimum_depth=request.minimum_depth,
        to_self_delay=limits.to_self_delay,
        max_accepted_htlcs=limits.max_accepted_htlcs,
        funding_pubkey=points.funding_public_key,
        revocation_basepoint=points.revocation_basepoint,
        payment_basepoint=points.payment_basepoint,
        delayed_payment_basepoint=points.delayed_payment_basepoint,
        htlc_basepoint=points.htlc_basepoint,
        first_per_commitment_point=env.point_of(request.channel_keys_id, 0),
        upfront_shutdown_script=request.upfront_shutdown_script,
        channel_type=msg.channel_type,
    )
    return AwaitingCreated(
        counterparty_node_id,
        msg,
        reply,
        request.channel_keys_id,
        channel_type,
        request.policy,
        request.user_channel_id,
    )


def on_funding_created(state: AwaitingCreated, msg: FundingCreated, height: int, env: ChannelEnv) -> ChannelOpened:
    """Check the opener's signature on our first commitment and return the birth record.

    Raises: InvalidOpen.
    Spec:   BOLT 2, "The `funding_created` Message".
    """
    received, sent = state.received, state.sent
    if msg.temporary_channel_id != received.temporary_channel_id:
        raise InvalidOpen("funding_created with another temporary_channel_id than open_channel")
    birth = ChannelOpened(
        channel_id=channel_id_of(OutPoint(msg.funding_txid, msg.funding_output_index)),
        channel_keys_id=state.channel_keys_id,
        counterparty_node_id=state.counterparty_node_id,
        is_opener=False,
        anchors=state.channel_type.commitment_format is CommitmentFormat.ANCHORS,
        scid_alias=state.channel_type.scid_alias,
        zero_conf=sent.minimum_depth == 0,
        announce_channel=bool(received.channel_flags & 1),
        funding_txid=msg.funding_txid,
        funding_output_index=msg.funding_output_index,
        funding_satoshis=received.funding_satoshis,
        push_msat=received.push_msat,
        feerate_per_kw=received.feerate_per_kw,
        minimum_depth=sent.minimum_depth,
        local=side_parameters(sent),
        remote=side_parameters(received),
        remote_first_point=received.first_per_commitment_point,
        remote_signature=b"",
        funding_transaction=b"",
        batch=[],
        policy=state.policy,
        birth_height=height,
        user_channel_id=state.user_channel_id,
    )
    return _with_signature(birth, msg.signature, env)


def born(opened: ChannelOpened) -> AwaitingReady:
    """Return the state of a channel whose journal holds only its birth; the session is the caller's to open."""
    return AwaitingReady(new_core(opened), Session(), channel_keys(opened))
