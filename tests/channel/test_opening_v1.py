"""From `open_channel` to the birth record: who signs what, and what is refused on the way."""

from typing import Any

import msgspec
import pytest

from leyden.base.errors import CommandRejected
from leyden.channel import opening_v1
from leyden.channel.build import channel_keys, local_commitment
from leyden.channel.env import ChannelLimits
from leyden.channel.errors import InvalidOpen
from leyden.channel.states import AwaitingReady
from leyden.crypto import ec
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from leyden.wire.messages import FundingCreated, FundingSigned, OpenChannel
from tests.channel.pair import (
    TEMPORARY_CHANNEL_ID,
    accept_request,
    born_pair,
    funding_transaction,
    open_request,
    signature_on_first_commitment,
    two_parties,
    wired,
)

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def high_s(signature: bytes) -> bytes:
    """The other signature of the same message, which no node relays."""
    return signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")


class Opening:
    """An opening up to `funding_created`, with every state in reach."""

    def __init__(self, **request: Any) -> None:
        self.a, self.b = a, b = two_parties()
        self.asked = open_request((a, b), **request)
        self.started = opening_v1.start_opening(self.asked, a.signer.channel_basepoints(a.keys_id), a.env)
        self.accepting = opening_v1.accept_opening(
            a.signer.node_id,
            wired(self.started.sent),
            accept_request(b),
            b.signer.channel_basepoints(b.keys_id),
            b.env,
        )
        self.funding = opening_v1.on_accept_channel(self.started, wired(self.accepting.sent), a.env)
        self.transaction = funding_transaction(self.funding.funding_script(), self.asked.funding_satoshis)
        self.awaiting = opening_v1.on_funding_transaction(self.funding, self.transaction, 0, 100)
        signature = signature_on_first_commitment(a, self.awaiting.birth)
        self.created = FundingCreated(TEMPORARY_CHANNEL_ID, self.transaction.txid(), 0, signature)

    def birth_of_accepter(self) -> Any:
        """The accepter's birth record."""
        return opening_v1.on_funding_created(self.accepting, self.created, 100, self.b.env)


def test_both_sides_are_born_with_the_same_channel_and_signatures_that_hold() -> None:
    """Whatever happens next, each side can publish its first commitment and have its money back (P19)."""
    pair = born_pair()
    for party, other in ((pair.a, pair.b), (pair.b, pair.a)):
        opened = party.core.opened
        point = party.signer.per_commitment_point(party.keys_id, 0)
        commitment = local_commitment(channel_keys(opened), party.core.local, point, 0)
        assert ec.verify_ecdsa(opened.remote.funding_pubkey, commitment.digest(), opened.remote_signature)
        assert opened.remote == other.core.opened.local
        assert type(party.state) is AwaitingReady
    assert pair.a.core.opened.channel_id == pair.b.core.opened.channel_id
    assert pair.a.core.opened.funding_transaction
    assert not pair.b.core.opened.funding_transaction
    assert (pair.a.core.local.local_msat, pair.a.core.local.remote_msat) == (6_000_000_000, 4_000_000_000)


def test_what_open_channel_and_accept_channel_say_follows_the_limits() -> None:
    """The limits a user sets are those that peers are told."""
    limits = ChannelLimits(dust_limit_satoshis=700, to_self_delay=99, max_accepted_htlcs=30, htlc_minimum_msat=5)
    limits = msgspec.structs.replace(limits, max_htlc_value_in_flight_percent=45, channel_reserve_percent=2)
    a, b = two_parties((limits, None))
    points = a.signer.channel_basepoints(a.keys_id)
    sent = opening_v1.start_opening(
        open_request((a, b), upfront_shutdown_script=b"\0\x14" + b"s" * 20), points, a.env
    ).sent
    assert (sent.dust_limit_satoshis, sent.to_self_delay, sent.max_accepted_htlcs) == (700, 99, 30)
    assert (sent.htlc_minimum_msat, sent.channel_reserve_satoshis) == (5, 200_000)
    assert sent.max_htlc_value_in_flight_msat == 4_500_000_000
    assert sent.upfront_shutdown_script == b"\0\x14" + b"s" * 20
    assert sent.first_per_commitment_point == a.signer.per_commitment_point(a.keys_id, 0)
    assert sent.channel_type == ChannelType(CommitmentFormat.ANCHORS).encode()
    accepting = opening_v1.accept_opening(
        a.signer.node_id, wired(sent), accept_request(b), b.signer.channel_basepoints(b.keys_id), b.env
    )
    assert accepting.sent.channel_type == sent.channel_type
    assert accepting.sent.temporary_channel_id == sent.temporary_channel_id
    assert accepting.sent.channel_reserve_satoshis == 100_000


def test_the_accepter_s_reserve_is_never_below_the_opener_s_dust_limit() -> None:
    """Else the opener's reserve could be dust: nothing to lose when it cheats."""
    a, b = two_parties((ChannelLimits(dust_limit_satoshis=5_000, channel_reserve_floor_satoshis=5_000), None))
    request = open_request((a, b), funding_satoshis=100_000, push_msat=0)
    sent = opening_v1.start_opening(request, a.signer.channel_basepoints(a.keys_id), a.env).sent
    points = b.signer.channel_basepoints(b.keys_id)
    accepting = opening_v1.accept_opening(a.signer.node_id, wired(sent), accept_request(b), points, b.env)
    assert accepting.sent.channel_reserve_satoshis == 5_000


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"funding_satoshis": 19_999, "push_msat": 0}, "bad_funding_amount"),
        ({"funding_satoshis": 10_000_000_001}, "bad_funding_amount"),
        ({"push_msat": 10_000_000_001}, "bad_push_amount"),
        ({"push_msat": -1}, "bad_push_amount"),
        (
            {"announce_channel": True, "channel_type": ChannelType(CommitmentFormat.ANCHORS, scid_alias=True)},
            "bad_channel_type",
        ),
    ],
)
def test_what_must_not_be_asked_for_is_refused_to_the_caller(changes: dict[str, Any], code: str) -> None:
    """A user's mistake is told to the user, not to the peer."""
    a, b = two_parties()
    with pytest.raises(CommandRejected) as refused:
        opening_v1.start_opening(open_request((a, b), **changes), a.signer.channel_basepoints(a.keys_id), a.env)
    assert refused.value.code == code


def test_a_large_channel_is_asked_for_only_when_the_peer_supports_it() -> None:
    """2^24 sat to a node that cannot is a channel that never opens."""
    a, b = two_parties()
    points, request = a.signer.channel_basepoints(a.keys_id), open_request((a, b), funding_satoshis=1 << 24)
    opening_v1.start_opening(request, points, a.env)
    with pytest.raises(CommandRejected, match="16777215 sat"):
        opening_v1.start_opening(request, points, msgspec.structs.replace(a.env, large_channel=False))


def test_zero_conf_is_taken_only_from_those_the_user_trusts() -> None:
    """Whoever accepts an unconfirmed channel can be robbed by a double spend."""
    a, b = two_parties()
    zero_conf = ChannelType(CommitmentFormat.ANCHORS, scid_alias=True, zeroconf=True)
    request = open_request((a, b), channel_type=zero_conf)
    sent: OpenChannel = wired(opening_v1.start_opening(request, a.signer.channel_basepoints(a.keys_id), a.env).sent)
    points = b.signer.channel_basepoints(b.keys_id)
    with pytest.raises(InvalidOpen, match="trusted peers only"):
        opening_v1.accept_opening(a.signer.node_id, sent, accept_request(b), points, b.env)
    trusted = opening_v1.accept_opening(a.signer.node_id, sent, accept_request(b, minimum_depth=0), points, b.env)
    assert trusted.sent.minimum_depth == 0


@pytest.mark.parametrize("spoil", [high_s, lambda signature: bytes(64), lambda signature: signature[::-1]])
def test_a_wrong_or_high_s_signature_in_funding_created_fails(spoil: Any) -> None:
    """With a signature that does not hold, the accepter could never leave the channel by itself."""
    opening = Opening()
    opening.created = msgspec.structs.replace(opening.created, signature=spoil(opening.created.signature))
    with pytest.raises(InvalidOpen, match="signature does not sign our first commitment"):
        opening.birth_of_accepter()


@pytest.mark.parametrize("spoil", [high_s, lambda signature: bytes(64), lambda signature: signature[::-1]])
def test_a_wrong_or_high_s_signature_in_funding_signed_fails(spoil: Any) -> None:
    """The opener is about to broadcast the funding: without this signature its money would be gone."""
    opening = Opening()
    birth = opening.birth_of_accepter()
    signature = signature_on_first_commitment(opening.b, birth)
    with pytest.raises(InvalidOpen, match="signature does not sign our first commitment"):
        opening_v1.on_funding_signed(opening.awaiting, FundingSigned(birth.channel_id, spoil(signature)), opening.a.env)
    born = opening_v1.on_funding_signed(opening.awaiting, FundingSigned(birth.channel_id, signature), opening.a.env)
    assert born.remote_signature == signature


def test_ids_that_belong_to_another_opening_fail() -> None:
    """A message of one opening must never complete another."""
    opening = Opening()
    other = b"o" * 32
    accepted = msgspec.structs.replace(opening.accepting.sent, temporary_channel_id=other)
    with pytest.raises(InvalidOpen, match="temporary_channel_id"):
        opening_v1.on_accept_channel(opening.started, accepted, opening.a.env)
    birth = opening.birth_of_accepter()
    signature = signature_on_first_commitment(opening.b, birth)
    with pytest.raises(InvalidOpen, match="channel_id is not that of the funding output"):
        opening_v1.on_funding_signed(opening.awaiting, FundingSigned(other, signature), opening.a.env)
    opening.created = msgspec.structs.replace(opening.created, temporary_channel_id=other)
    with pytest.raises(InvalidOpen, match="temporary_channel_id"):
        opening.birth_of_accepter()


def test_the_opener_holds_no_signature_before_funding_signed() -> None:
    """There is nothing to be born from, so nothing can be broadcast (BOLT 2, "The `funding_signed` Message")."""
    opening = Opening()
    assert opening.awaiting.birth.remote_signature == b""


def test_a_new_open_channel_replaces_one_that_was_not_funded() -> None:
    """Openings are values without a journal: a second `open_channel` simply begins anew, the first is forgotten."""
    opening = Opening()
    again = opening_v1.accept_opening(
        opening.a.signer.node_id,
        wired(msgspec.structs.replace(opening.started.sent, push_msat=0)),
        accept_request(opening.b),
        opening.b.signer.channel_basepoints(opening.b.keys_id),
        opening.b.env,
    )
    assert again.received.push_msat == 0
    assert again.channel_keys_id == opening.accepting.channel_keys_id
    with pytest.raises(InvalidOpen):
        # The signature of the first opening does not fit the second.
        opening_v1.on_funding_created(again, opening.created, 100, opening.b.env)
