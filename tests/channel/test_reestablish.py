"""`channel_reestablish`: where both stand, what is owed and in which order, and what happens when the numbers cannot
be.
"""

from typing import Any

import msgspec
import pytest

from leyden.base.errors import CommandRejected, Reaction
from leyden.channel import effects as fx
from leyden.channel import limits
from leyden.channel.errors import InvalidReestablish
from leyden.channel.inputs import (
    BecomeReady,
    ChangeFeerate,
    Commit,
    Connected,
    DecideHtlcs,
    Disconnected,
    ForceClose,
    Learn,
    QueueAdd,
    ReleaseClaim,
    StartShutdown,
)
from leyden.channel.reestablish import LOST_DATA
from leyden.channel.session import Session
from leyden.channel.states import ForceClosing, Normal, Stale
from leyden.journal.records import Closing, ProvenStale
from leyden.wire.messages import ChannelReestablish, UpdateFailHtlc, UpdateFulfillHtlc, decode
from tests.channel.pair import FUNDING_BLOCK, Pair, born_pair, failure, fulfil, pending_add, ready_pair
from tests.channel.play import Party, a, play
from tests.channel.test_commit import claim_of

REESTABLISH = "ChannelReestablish"


def exchange(pair: Pair) -> tuple[list[str], list[str]]:
    """Reconnect, let both read the other's `channel_reestablish` alone, and tell what each owes."""
    pair.reconnect()
    assert pair.sent_kinds(0) == pair.sent_kinds(1) == [REESTABLISH]
    for who in (0, 1):
        pair.give(1 - who, decode(pair.wires[who].popleft()))
    return pair.sent_kinds(0), pair.sent_kinds(1)


def numbers(pair: Pair, who: int) -> tuple[int, int]:
    """(next_commitment_number, next_revocation_number) of the `channel_reestablish` on the wire."""
    message = pair.sent(who)[0]
    return message.next_commitment_number, message.next_revocation_number


def test_nothing_is_owed_after_a_quiet_disconnection() -> None:
    """Both are at the same numbers, so nothing is sent again and payments flow."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.reconnect()
    assert numbers(pair, 0) == numbers(pair, 1) == (2, 1)
    assert exchange(pair) == ([], [])
    for party in pair.parties:
        assert [one for one in party.seen if type(one) is fx.Reestablished]
    assert pair.offered(0, pending_add(2)) == [1]


def test_channel_reestablish_says_where_we_stand() -> None:
    """Numbers start at 1 and 0; the last secret of the peer proves what it revoked."""
    pair = born_pair()
    pair.reconnect()
    first = pair.sent(0)[0]
    assert (first.next_commitment_number, first.next_revocation_number) == (1, 0)
    assert first.your_last_per_commitment_secret == bytes(32)
    assert first.my_current_per_commitment_point == pair.a.signer.per_commitment_point(pair.a.keys_id, 0)
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.reconnect()
    later = pair.sent(0)[0]
    assert later.your_last_per_commitment_secret == pair.b.signer.release_commitment_secret(pair.b.keys_id, 0)


def test_nothing_else_is_sent_before_both_have_said_where_they_stand() -> None:
    """`channel_reestablish` is the first message of the channel on a new connection."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.disconnect()
    dialogue = play(pair.b).on(DecideHtlcs([fulfil(0, 1)], [], []))
    dialogue.expect(a(type(pair.b.records[-1])))
    dialogue.on(Connected()).expect(ChannelReestablish)
    dialogue.on(Commit()).expect_nothing()
    pair.b.out.clear()


# --- what is owed ----------------------------------------------------------------------------------------------------


def test_an_owed_commitment_is_sent_again_with_its_updates_and_number() -> None:
    """The peer has nothing of it: the same updates, byte for byte, then the same signature."""
    pair = ready_pair()
    pair.offered(0, pending_add(0))
    pair.offer(0, pending_add(1), pending_add(2))
    first = list(pair.wires[0])
    journal = list(pair.a.journal)
    assert exchange(pair) == (["UpdateAddHtlc", "UpdateAddHtlc", "CommitmentSigned"], [])
    assert list(pair.wires[0]) == first
    assert pair.a.journal == journal
    pair.pump()
    assert sorted(pair.b.core.inbound) == [0, 1, 2]


def test_an_owed_commitment_with_every_kind_of_update_is_the_same_again() -> None:
    """Removals, a feerate and adds, in the order in which they were first sent."""
    pair = ready_pair()
    pair.offered(1, *[pending_add(index) for index in range(3)])
    pair.give(0, DecideHtlcs([fulfil(0, 0)], [failure(1), failure(2, 0xC005)], []))
    pair.give(0, QueueAdd(pending_add(10)))
    pair.give(0, ChangeFeerate(1_200))
    pair.finish_pass(0)
    first = list(pair.wires[0])
    assert len(first) == 6
    exchange(pair)
    assert list(pair.wires[0]) == first
    pair.crash(0)
    pair.reconnect()
    pair.deliver(1)
    assert list(pair.wires[0])[1:] == first
    pair.pump()
    assert pair.b.core.local.feerate_per_kw == 1_200


def test_an_owed_revocation_is_sent_again() -> None:
    """The peer waits for it before it may sign again."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    pair.deliver(0)
    pair.deliver(1)
    assert pair.sent_kinds(0) == ["RevokeAndAck"]
    first = pair.wires[0][0]
    assert exchange(pair) == (["RevokeAndAck"], [])
    assert pair.wires[0][0] == first
    pair.pump()
    assert pair.b.core.inbound[0].committed


def test_revocation_then_commitment_keep_their_order() -> None:
    """The commitment was made on top of what the revocation answers."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    pair.deliver(0)
    assert pair.sent_kinds(1) == ["RevokeAndAck", "CommitmentSigned"]
    first = list(pair.wires[1])
    assert exchange(pair) == ([], ["RevokeAndAck", "CommitmentSigned"])
    assert list(pair.wires[1]) == first
    pair.pump()
    assert pair.b.core.inbound[0].committed


def test_commitment_then_revocation_keep_their_order() -> None:
    """The commitment was made before: after the revocation the peer would build another one."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    pair.offer(1, pending_add(2))
    pair.deliver(0)
    assert pair.sent_kinds(1) == ["UpdateAddHtlc", "CommitmentSigned", "RevokeAndAck"]
    first = list(pair.wires[1])
    owed = exchange(pair)
    assert owed == ([], ["UpdateAddHtlc", "CommitmentSigned", "RevokeAndAck"])
    assert list(pair.wires[1]) == first
    pair.pump()
    for party in pair.parties:
        assert len(party.core.local.htlcs) == 2


def test_only_the_revocation_of_the_two_may_have_arrived() -> None:
    """What the peer has is not sent again, in either order."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    pair.deliver(0)
    pair.deliver(1, 1)  # revoke_and_ack arrives, commitment_signed is lost
    assert exchange(pair) == ([], ["CommitmentSigned"])
    pair.pump()
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    pair.offer(1, pending_add(2))
    pair.deliver(0)
    pair.deliver(1, 2)  # add and commitment_signed arrive, revoke_and_ack is lost
    # a answers with its own revocation, which is lost too
    assert exchange(pair) == (["RevokeAndAck"], ["RevokeAndAck"])
    pair.pump()
    for party in pair.parties:
        assert len(party.core.local.htlcs) == 2


def test_both_may_owe_both() -> None:
    """Signatures and revocations crossed on the wire and all were lost."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    pair.offer(1, pending_add(2))
    pair.deliver(0)
    pair.reconnect()
    pair.wires[0].clear()
    pair.wires[1].clear()
    assert exchange(pair) == ([], ["UpdateAddHtlc", "CommitmentSigned", "RevokeAndAck"])
    pair.deliver(1)
    # a now owes its revocation and, on top, a commitment.
    assert pair.sent_kinds(0) == ["RevokeAndAck", "CommitmentSigned"]
    assert exchange(pair) == (["RevokeAndAck", "CommitmentSigned"], [])
    pair.pump()
    assert all(len(party.core.local.htlcs) == 2 for party in pair.parties)


def test_channel_ready_is_sent_again_exactly_when_both_numbers_are_one() -> None:
    """Before the first payment the peer may not have it; after it, it must."""
    pair = ready_pair()
    owed = exchange(pair)
    assert owed == (["ChannelReady"], ["ChannelReady"])
    assert pair.sent(0)[0].short_channel_id == 1_000
    # Our commitment has moved, the peer's has not: the signature is on its way.
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    pair.deliver(0)
    assert exchange(pair) == ([], ["RevokeAndAck", "CommitmentSigned"])
    pair.pump()
    assert exchange(pair) == ([], [])
    # The peer has not got our first commitment: it sends 1, we send 1, so it comes again, before the commitment.
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    assert exchange(pair) == (["ChannelReady", "UpdateAddHtlc", "CommitmentSigned"], ["ChannelReady"])
    pair.pump()
    assert pair.b.core.inbound[0].committed


def test_channel_ready_that_was_never_sent_is_not_sent_by_a_reconnection() -> None:
    """The funding is not deep enough yet."""
    pair = born_pair()
    assert exchange(pair) == ([], [])
    pair.set_env(block_height=110)
    pair.give(1, Learn(FUNDING_BLOCK))
    pair.give(1, BecomeReady(5))
    assert exchange(pair) == ([], ["ChannelReady"])


def test_shutdown_is_sent_again_after_what_is_owed() -> None:
    """The peer may not have it, and it must not come between updates and their signature."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.offer(0, pending_add(2))
    pair.give(0, StartShutdown(pair.a.signer.shutdown_script_pubkey(), 1_000))
    assert pair.sent_kinds(0) == ["UpdateAddHtlc", "CommitmentSigned", "Shutdown"]
    script = pair.sent(0)[2].scriptpubkey
    assert exchange(pair) == (["UpdateAddHtlc", "CommitmentSigned", "Shutdown"], [])
    assert pair.sent(0)[2].scriptpubkey == script
    pair.crash(0)
    assert exchange(pair)[0] == ["UpdateAddHtlc", "CommitmentSigned", "Shutdown"]
    pair.pump()
    assert exchange(pair) == (["Shutdown"], ["Shutdown"])


# --- what is forgotten and what is kept ------------------------------------------------------------------------------


def test_updates_without_a_signature_are_forgotten() -> None:
    """Half a batch arrived: it never happened, and its ids come again."""
    pair = ready_pair()
    pair.offer(0, pending_add(1), pending_add(2))
    pair.deliver(0, 1)
    assert len(pair.b.session.received_adds) == 1
    pair.reconnect()
    assert not pair.b.session.received_adds
    pair.pump()
    assert sorted(pair.b.core.inbound) == [0, 1]


def test_a_preimage_that_was_learnt_is_kept_and_learnt_again() -> None:
    """It was passed on at once (P12); the channel itself waits for the signature, on the next connection."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.resolve(1, fulfil(0, 1))
    pair.deliver(1, 1)
    assert [one.htlc_id for one in pair.a.seen if type(one) is fx.PreimageLearnt] == [0]
    pair.reconnect()
    assert pair.a.core.outbound[0].removal is None
    pair.pump()
    assert [one.htlc_id for one in pair.a.seen if type(one) is fx.PreimageLearnt] == [0, 0]
    assert pair.balances_msat() == (5_990_000_000, 4_010_000_000)


def test_own_adds_that_were_not_signed_return_to_their_owner() -> None:
    """Only the manager offers them again (P17): each once, and never twice."""
    pair = ready_pair()
    one, two = pending_add(1), pending_add(2)
    pair.offer(0, one)
    pair.give(0, QueueAdd(two))
    play(pair.a).on(Disconnected()).expect(fx.AddRefused(two, limits.DISCONNECTED))
    play(pair.a).on(Disconnected()).expect_nothing()
    assert pair.a.session.queued_msat == 0
    play(pair.a).on(QueueAdd(two)).expect(fx.AddRefused(two, limits.DISCONNECTED))


def test_decisions_are_carried_out_again_at_every_connection() -> None:
    """The update is volatile, the promise is not (P5): the same bytes after a crash, also a failure packet."""
    pair = ready_pair()
    pair.offered(0, pending_add(1), pending_add(2))
    packet = msgspec.structs.replace(failure(0), reason=bytes(range(256)) + b"tail", attribution_data=b"t" * 920)
    pair.give(1, DecideHtlcs([fulfil(1, 2)], [packet], []))  # decided, and before it is signed:
    sent: list[list[bytes]] = []
    for _ in range(3):
        pair.crash(1)
        pair.reconnect()
        pair.deliver(0)
        sent.append(list(pair.wires[1])[1:])
        assert [type(decode(raw)) for raw in sent[-1][:2]] == [UpdateFailHtlc, UpdateFulfillHtlc]
        assert decode(sent[-1][0]) == UpdateFailHtlc(pair.a.core.opened.channel_id, 0, packet.reason, b"t" * 920)
    assert sent[0] == sent[1] == sent[2]
    pair.pump()
    assert pair.a.core.outcomes[0].removal.reason == packet.reason


def test_claims_wait_for_their_release_again_after_a_reconnection() -> None:
    """Whether all parts are durable is asked anew in each life (P11)."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    claim = claim_of(pair.b.core.opened.channel_id, 1, 0)
    pair.give(1, DecideHtlcs([], [], [claim]))
    pair.give(1, ReleaseClaim(claim.claim_id))
    pair.reconnect()
    pair.pump()
    assert not pair.b.core.inbound[0].removing
    pair.give(1, ReleaseClaim(claim.claim_id))
    pair.pump()
    assert not pair.b.core.inbound
    # A release that comes while nobody is connected is made again with the next connection, like a decision.
    pair.offered(0, pending_add(1))
    claim = claim_of(pair.b.core.opened.channel_id, 1, 1)
    claim = msgspec.structs.replace(claim, claim_id=b"another".ljust(32))
    pair.disconnect()
    pair.give(1, DecideHtlcs([], [], [claim]))
    pair.give(1, ReleaseClaim(claim.claim_id))
    assert pair.b.session == Session()
    pair.reconnect()
    pair.pump()
    assert not pair.b.core.inbound[1].removing
    pair.give(1, ReleaseClaim(claim.claim_id))
    pair.pump()
    assert not pair.b.core.inbound


# --- numbers that cannot be ------------------------------------------------------------------------------------------


def paid_pair() -> Pair:
    """Two payments back and forth: some commitments on each side, the connection is new."""
    pair = ready_pair()
    for index in range(2):
        pair.offered(0, pending_add(index))
        pair.resolve(1, fulfil(index, index))
        pair.pump()
    pair.reconnect()
    return pair


def said(pair: Pair, **changes: Any) -> ChannelReestablish:
    """What b says, with something changed; a hears it."""
    message: ChannelReestablish = msgspec.structs.replace(pair.sent(1)[0], **changes)
    return message


def secret_of(party: Party, number: int) -> bytes:
    """A secret of `party`, as its peer knows it."""
    return party.signer._channel(party.keys_id).per_commitment_secret(number)


def test_next_commitment_number_zero_fails_the_channel() -> None:
    """The peer knows nothing of the channel any more and asks for a close: our commitment is published."""
    pair = paid_pair()
    play(pair.a).refuses(said(pair, next_commitment_number=0), InvalidReestablish, "asks for a close")
    assert InvalidReestablish.reaction is Reaction.FAIL_CHANNEL
    number = pair.a.core.local.number
    play(pair.a).on(ForceClose("asked to")).expect(Closing(number, "asked to"), fx.FailPeer, fx.PublishCommitment)


def test_a_wrong_secret_fails_the_channel() -> None:
    """Whatever the number, a secret that is not ours proves nothing."""
    for number in (0, 3, 4, 5, 17):
        pair = paid_pair()
        message = said(pair, next_revocation_number=number, your_last_per_commitment_secret=b"\x09" * 32)
        play(pair.a).refuses(message, InvalidReestablish, "not ours")
        assert type(pair.a.state) is Normal
    pair = paid_pair()
    play(pair.a).refuses(said(pair, your_last_per_commitment_secret=bytes(32)), InvalidReestablish, "not ours")
    wrong = secret_of(pair.a, pair.a.core.local.number - 2)
    play(pair.a).refuses(said(pair, your_last_per_commitment_secret=wrong), InvalidReestablish, "not ours")


def test_a_peer_that_is_behind_fails_the_channel() -> None:
    """It cannot go on, and may have lost its data: ours is the current commitment."""
    pair = paid_pair()
    number = pair.a.core.local.number
    for behind in range(2, number + 1):
        claimed = number - behind
        secret = secret_of(pair.a, claimed - 1) if claimed else bytes(32)
        message = said(pair, next_revocation_number=claimed, your_last_per_commitment_secret=secret)
        play(pair.a).refuses(message, InvalidReestablish, "next_revocation_number is")


@pytest.mark.parametrize("off", [-3, -2, -1, 1, 2, 1 << 47])
def test_a_next_commitment_number_that_fits_nothing_fails_the_channel(off: int) -> None:
    """Neither the next signature nor, as nothing is owed, the last one."""
    pair = paid_pair()
    number = pair.a.core.remote.number + 1 + off
    if number == 0:
        return
    play(pair.a).refuses(said(pair, next_commitment_number=number), InvalidReestablish, "next_commitment_number is")


@pytest.mark.parametrize("field", ["next_commitment_number", "next_revocation_number"])
def test_numbers_beyond_48_bits_fail_the_channel(field: str) -> None:
    """There are no such commitments."""
    pair = paid_pair()
    play(pair.a).refuses(said(pair, **{field: 1 << 48}), InvalidReestablish, "beyond 48 bits")
    play(pair.a).refuses(said(pair, **{field: (1 << 64) - 1}), InvalidReestablish, "beyond 48 bits")


def test_my_current_per_commitment_point_decides_nothing() -> None:
    """It belonged to an older protocol."""
    pair = paid_pair()
    other = said(pair, my_current_per_commitment_point=pair.a.signer.node_id)
    play(pair.a).on(other).expect(fx.SendChannelUpdate, fx.Reestablished)


@pytest.mark.parametrize("next_commitment_number", [0, 1, 7, 1 << 40])
@pytest.mark.parametrize("ahead", [1, 2, 1_000])
def test_proof_that_we_lost_data_is_a_record_and_forbids_to_publish(ahead: int, next_commitment_number: int) -> None:
    """A correct secret of a commitment that we hold for current: publishing it would cost everything (S9)."""
    pair = paid_pair()
    claimed = pair.a.core.local.number + ahead
    message = said(
        pair,
        next_revocation_number=claimed,
        next_commitment_number=next_commitment_number,
        your_last_per_commitment_secret=secret_of(pair.a, claimed - 1),
    )
    play(pair.a).on(message).expect(ProvenStale(claimed), fx.FailPeer(LOST_DATA), fx.EventsRaised)
    assert type(pair.a.state) is Stale
    assert [name for name, *_ in pair.a.core.events.values()][-1] == "data_loss"
    with pytest.raises(CommandRejected) as refused:
        pair.a.handle(ForceClose("whatever"))
    assert refused.value.code == "data_loss"
    # The same after a restart: it says where it stands, and asks the peer to close, on every connection.
    pair.crash(0)
    assert type(pair.a.state) is Stale
    play(pair.a).refuses(ForceClose("whatever"), CommandRejected, "lost data")
    play(pair.a).on(Connected()).expect(ChannelReestablish)
    play(pair.a).on(message).expect(fx.FailPeer(LOST_DATA))
    play(pair.a).on(QueueAdd(pending_add(1))).expect(fx.AddRefused)
    script = pair.a.signer.shutdown_script_pubkey()
    play(pair.a).refuses(StartShutdown(script, 1), CommandRejected, "lost data")
    play(pair.a).on(Commit()).expect_nothing()


def test_a_node_that_lost_records_finds_out_from_its_peer() -> None:
    """An old copy of the journal against an honest peer: the node waits, the peer publishes (restored backup)."""
    pair = ready_pair()
    old = len(pair.a.journal)
    for index in range(3):
        pair.offered(0, pending_add(index))
        pair.resolve(1, fulfil(index, index))
        pair.pump()
    pair.crash(0, lost=len(pair.a.journal) - old)
    pair.reconnect()
    pair.deliver(1)
    assert type(pair.a.state) is Stale
    with pytest.raises(InvalidReestablish):
        pair.b.handle(decode(pair.wires[0][0]))
    pair.give(1, ForceClose("the peer is behind"))
    assert type(pair.b.state) is ForceClosing


def test_after_a_close_a_peer_that_comes_back_is_told_so() -> None:
    """Else it would wait for ever with money in HTLCs (BOLT 2, "Message Retransmission")."""
    pair = paid_pair()
    pair.give(0, ForceClose("done"))
    play(pair.a).on(Disconnected()).on(Connected()).expect_nothing()
    play(pair.a).on(said(pair)).expect(a(fx.FailPeer, reason="this channel is closing on chain"))


def test_a_new_add_reuses_no_id_of_a_retransmitted_one() -> None:
    """Ids go on behind what is owed."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    exchange(pair)
    pair.give(0, QueueAdd(pending_add(2)))
    pair.pump()
    assert list(pair.b.core.inbound) == list(pair.a.core.outbound) == [0, 1]
