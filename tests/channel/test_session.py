"""The volatile half of a channel: facts change it in place, a disconnection forgets it."""

from typing import get_args

from leyden.channel import session as module
from leyden.channel.dispatch import apply
from leyden.channel.inputs import ChangeFeerate, DecideHtlcs, Disconnected, QueueAdd, ReleaseClaim
from leyden.channel.session import ClaimReleased, Fact, Session, is_removing, next_local
from tests.channel.pair import failure, fulfil, pending_add, ready_pair
from tests.channel.play import play
from tests.channel.test_commit import claim_of
from tests.channel.test_receive import add


def test_every_fact_has_its_change() -> None:
    """A fact without one would fail only when it happens."""
    assert set(module._FACTS) == set(get_args(Fact))


def test_a_disconnection_leaves_a_session_as_it_began() -> None:
    """So a crash, which begins with a new one, is nothing else."""
    pair = ready_pair()
    pair.offered(1, pending_add(1), pending_add(3))
    pair.give(0, QueueAdd(pending_add(2)))
    pair.give(0, add(pair.a, 2))
    pair.resolve(0, fulfil(0, 1))
    pair.give(0, DecideHtlcs([], [failure(1)], []))
    pair.give(0, ChangeFeerate(2_000))
    apply(pair.a.state, ClaimReleased((1,)))
    pair.give(0, Disconnected())
    left = pair.a.session
    assert left == Session()
    assert left.next_local is None


def test_a_release_is_used_up_by_its_signature() -> None:
    """A connection may last for years: nothing that is said once a payment stays until its end."""
    pair = ready_pair()
    pair.offered(0, pending_add(1), pending_add(2))
    claims = [claim_of(pair.b.core.opened.channel_id, index, index - 1) for index in (1, 2)]
    for claim in claims:
        pair.give(1, DecideHtlcs([], [], [claim]))
    pair.give(1, ReleaseClaim(claims[0].claim_id))
    assert pair.b.session.released == {0}
    pair.finish_pass(1)
    pair.give(1, ReleaseClaim(claims[1].claim_id))
    assert pair.b.session.released == {1}  # the peer has not revoked: it waits for the next signature
    pair.pump()
    assert not pair.b.session.released
    assert not pair.b.core.inbound


def test_the_next_commitment_is_the_latest_with_all_that_is_known() -> None:
    """Limits of the receiver are checked against what the next signature would sign."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    pair.deliver(0)
    pair.deliver(1, 1)  # the peer has revoked: our add will be in our next commitment
    view = next_local(pair.a.core, pair.a.session)
    assert (view.offered_count, pair.a.core.local.offered_count) == (1, 0)
    play(pair.a).on(add(pair.a))
    assert view.received_count == 1
    assert pair.a.session.next_local is view
    fresh = Session()
    assert next_local(pair.a.core, fresh).received_count == 0


def test_a_revocation_that_comes_between_updates_reaches_the_next_commitment() -> None:
    """The peer has acknowledged our changes before its signature: it will sign them."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    pair.deliver(0)
    revocation = pair.sent(1)[0]
    dialogue = play(pair.a).on(add(pair.a, 0))
    before = next_local(pair.a.core, pair.a.session)
    assert (before.offered_count, before.received_count) == (0, 1)
    dialogue.on(revocation)
    after = next_local(pair.a.core, pair.a.session)
    assert (after.offered_count, after.received_count) == (1, 1)


def test_has_received_knows_the_newest_add_that_is_not_signed() -> None:
    """Its onion may be read while the signature is under way."""
    pair = ready_pair()
    assert not pair.b.session.has_received(0)
    play(pair.b).on(add(pair.b, 0)).on(add(pair.b, 1))
    assert [pair.b.session.has_received(htlc_id) for htlc_id in (0, 1, 2)] == [False, True, False]


def test_is_removing_knows_signed_and_unsigned_removals() -> None:
    """The peer must not remove an HTLC twice, whether it has signed the first time or not."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    htlc = pair.a.core.outbound[0]
    assert not is_removing(pair.a.session, htlc)
    pair.resolve(1, fulfil(0, 1))
    pair.deliver(1, 1)
    assert is_removing(pair.a.session, htlc)
    pair.deliver(1, 1)
    assert not pair.a.session.removing
    assert is_removing(pair.a.session, htlc)
