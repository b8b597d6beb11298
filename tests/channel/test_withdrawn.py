"""A signature that never left is taken back: as if it had never been made, but for its commitment, which stays in view
(invariant P18).
"""

import msgspec
import pytest

from leyden.channel import effects as fx
from leyden.channel.commit import on_withdraw
from leyden.channel.errors import InvalidReestablish
from leyden.channel.inputs import ChangeFeerate, Commit, DecideHtlcs, Learn, QueueAdd, StartShutdown, Withdraw
from leyden.channel.snapshot import snapshot_of
from leyden.channel.states import NOTHING, ShuttingDown
from leyden.journal.records import Acknowledged, OnchainResolved, Withdrawn
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from leyden.wire.messages import decode
from tests.channel.pair import Pair, failure, fulfil, pending_add, preimage_of, ready_pair
from tests.channel.play import play
from tests.channel.test_crash import START
from tests.channel.world import World

KINDS = pytest.mark.parametrize("kind", list(CommitmentFormat))


def taken_back(pair: Pair) -> None:
    """Lose the connection and take the opener's signature back."""
    number = pair.a.core.remote.number
    pair.disconnect()
    pair.give(0, Withdraw(number))


@KINDS
def test_what_was_signed_is_undone(kind: CommitmentFormat) -> None:
    """Adds, removals, fee and the peer's own changes: all as before, so that the next signature covers the same."""
    pair = ready_pair(channel_type=ChannelType(kind))
    pair.offered(1, pending_add(0), pending_add(1), pending_add(2))
    pair.offered(0, pending_add(3))
    pair.give(0, DecideHtlcs([fulfil(0, 0)], [failure(1)], []))
    pair.give(1, QueueAdd(pending_add(4)))
    pair.resolve(1, fulfil(0, 3))
    for message in pair.sent(1):
        pair.give(0, message)  # the peer's signature is here, and ours is not made yet
    core = pair.a.core
    before, penalties = snapshot_of(core), len(core.penalty_rows)
    for event in (QueueAdd(pending_add(5)), QueueAdd(pending_add(6, 1_000)), ChangeFeerate(1_500)):
        pair.give(0, event)
    pair.give(0, Commit())
    assert (len(core.own_signed.adds), len(core.own_signed.removals), core.own_signed.feerate_per_kw) == (2, 2, 1_500)
    assert (len(core.peer_signed.adds), len(core.peer_signed.removals)) == (1, 1)
    adds = [htlc.add for htlc in core.own_signed.adds]
    number = core.remote.number
    rows = len(core.penalty_rows)
    pair.disconnect()
    play(pair.a).on(Withdraw(number)).expect(Withdrawn(number), fx.AddsWithdrawn(tuple(adds)))
    [kept] = pair.a.core.withdrawn
    assert (kept.number, kept.adds, len(kept.htlcs)) == (number, adds, 4)
    assert len(core.penalty_rows) == rows + 4 > penalties, "a row of each HTLC, for the day when the number is revoked"
    after = msgspec.structs.replace(snapshot_of(pair.a.core), withdrawn=[], position=before.position)
    assert after == msgspec.structs.replace(before, revocation_is_last=after.revocation_is_last)


def test_what_the_chain_has_said_of_an_htlc_goes_with_its_id() -> None:
    """The HTLC that has the id next is another one, and nothing is known of it."""
    pair = ready_pair()
    pair.give(0, QueueAdd(pending_add(0)))
    pair.give(0, QueueAdd(pending_add(1)))
    pair.give(0, Commit())
    pair.give(0, Learn(OnchainResolved([(0, preimage_of(0))], [1], [])))
    pair.give(0, Learn(Acknowledged([], [0, 1], [], [])))
    taken_back(pair)
    core = pair.a.core
    assert core.next_outbound_id == 0
    assert not any((core.outbound, core.onchain_preimages, core.onchain_failed))


@KINDS
@pytest.mark.parametrize("who", [0, 1])
@pytest.mark.parametrize("dies", [False, True])
def test_a_story_with_withdrawals_at_every_turn_ends_as_without(kind: CommitmentFormat, who: int, dies: bool) -> None:
    """Also when the party dies right after the record; ids come again, and both sides agree to the millisatoshi."""
    world = World(ready_pair(channel_type=ChannelType(kind)))
    withdrawn = 0
    for turn in range(12):
        for side in (0, 1):
            world.pay(side, 2_000_000 + turn)
        if turn % 4 == 0:
            world.guarded(0, world.pair.give, 0, ChangeFeerate(1_000 + turn))
        world.end_of_pass(1 - who)
        world.deliver(1 - who, turn % 3)
        world.end_of_pass(who)
        withdrawn += world.withdraw(who)
        if dies:
            world.die(who)
        if turn % 3 == 2:
            world.run()
    world.run()
    world.check_rest(START)
    assert withdrawn >= 4
    assert not world.pair.parties[who].core.withdrawn, "revoked by now"


def test_only_the_latest_signature_of_an_absent_peer_with_adds_is_taken_back() -> None:
    """A peer that is here gets it; without an HTLC of ours nobody waits for anything."""
    pair = ready_pair()
    pair.offered(0, pending_add(0))
    pair.offer(0, pending_add(1))
    number = pair.a.core.remote.number
    assert on_withdraw(pair.a.state, Withdraw(number), pair.a.env) is NOTHING
    pair.disconnect()
    play(pair.a).on(Withdraw(number - 1)).on(Withdraw(number + 1)).expect_nothing()
    play(pair.a).on(Withdraw(number)).expect(Withdrawn(number), fx.AddsWithdrawn)
    play(pair.a).on(Withdraw(number)).on(Withdraw(number - 1)).expect_nothing()
    pair.reconnect()
    pair.pump()
    pair.give(0, ChangeFeerate(2_000))
    pair.finish_pass(0)
    number = pair.a.core.remote.number
    pair.disconnect()
    play(pair.a).on(Withdraw(number)).expect_nothing()


def test_shutdown_that_waits_goes_on_without_what_was_taken_back() -> None:
    """The last HTLC is gone, so the closing can be negotiated."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    pair.give(0, StartShutdown(pair.a.signer.shutdown_script_pubkey(), 1_000))
    assert type(pair.a.state) is ShuttingDown
    taken_back(pair)
    pair.reconnect()
    pair.pump()
    assert pair.a.core.close_agreed == pair.b.core.close_agreed
    assert pair.a.core.close_agreed is not None


def test_signature_that_did_leave_must_not_be_taken_back() -> None:
    """The peer says so at the next connection, and the channel fails: why P18 says *provably*."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    pair.deliver(0)
    pair.wires[1].clear()
    taken_back(pair)
    pair.reconnect()
    play(pair.a).refuses(decode(pair.wires[1][0]), InvalidReestablish, "next_commitment_number")


def test_withdrawn_signature_is_made_again_over_other_htlcs() -> None:
    """The same number and the same id, another HTLC: the peer has never heard of the first."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    taken_back(pair)
    pair.reconnect()
    pair.pump()
    assert not pair.b.core.inbound
    assert pair.offered(0, pending_add(2, 3_000_000)) == [0]
    assert pair.a.core.outbound[0].add.payment_hash == pending_add(2).payment_hash
    play(pair.a).on(Commit()).expect_nothing()


def test_changes_that_the_peer_signed_since_are_promised_again() -> None:
    """What it has committed since our signature stands beside what that covered; neither may be forgotten."""
    pair = ready_pair()
    pair.offer(1, pending_add(0))
    pair.give(0, QueueAdd(pending_add(1)))
    pair.deliver(1)
    assert pair.sent_kinds(0) == ["RevokeAndAck", "UpdateAddHtlc", "CommitmentSigned"]
    pair.deliver(0, 1)  # the signature is not sent on
    pair.offer(1, pending_add(2))
    pair.deliver(1)
    core = pair.a.core
    assert (len(core.peer_signed.adds), len(core.peer_local.adds)) == (1, 1)
    taken_back(pair)
    assert [htlc.add.htlc_id for htlc in core.peer_local.adds] == [0, 1]
    pair.reconnect()
    pair.pump()
    assert all(htlc.committed for htlc in pair.a.core.inbound.values())
    assert len(pair.a.core.inbound) == 2
