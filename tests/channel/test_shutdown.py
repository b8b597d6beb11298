"""`shutdown` in every interleaving: no HTLC is added after it, those that are there are settled, scripts hold."""

import msgspec
import pytest

from leyden.base.errors import CommandRejected, Reaction
from leyden.channel import effects as fx
from leyden.channel import limits
from leyden.channel.errors import InvalidShutdown, NotReestablished, UnexpectedMessage
from leyden.channel.inputs import ChangeFeerate, Commit, Connected, DecideHtlcs, QueueAdd, ReleaseClaim, StartShutdown
from leyden.channel.shutdown import is_shutdown_script
from leyden.channel.states import MutualClose, Negotiating, Normal, ShuttingDown
from leyden.journal.records import SentCommitment, ShutdownReceived, ShutdownStarted
from leyden.wire.messages import Shutdown, UpdateFee, UpdateFulfillHtlc
from tests.channel.pair import Pair, born_pair, failure, fulfil, pending_add, ready_pair
from tests.channel.play import Party, a, play, state_name
from tests.channel.test_commit import claim_of
from tests.channel.test_receive import add

WPKH, WSH = b"\x00\x14" + b"w" * 20, b"\x00\x20" + b"w" * 32
TAPROOT, ANCHOR, VERSION_16 = b"\x51\x20" + b"t" * 32, b"\x51\x02\x4e\x73", b"\x60\x28" + b"v" * 40


def start(party: Party, script: bytes | None = None) -> StartShutdown:
    """The user closes the channel."""
    return StartShutdown(script or party.signer.shutdown_script_pubkey(), 1_000)


def closed(pair: Pair) -> bool:
    """Whether both hold the same closing transaction."""
    closes = [party.core.close_agreed for party in pair.parties]
    return closes[0] == closes[1] is not None and all(type(party.state) is MutualClose for party in pair.parties)


@pytest.mark.parametrize(
    ("script", "always", "anysegwit"),
    [
        (WPKH, True, True),
        (WSH, True, True),
        (TAPROOT, False, True),
        (ANCHOR, False, True),
        (VERSION_16, False, True),
        (b"\x52\x02ab", False, True),
        (b"", False, False),
        (b"\x00\x15" + b"w" * 21, False, False),
        (b"\x51\x01t", False, False),
        (b"\x51\x29" + b"t" * 41, False, False),
        (WPKH + b"\x00", False, False),
        (b"\x76\xa9\x14" + b"h" * 20 + b"\x88\xac", False, False),
        (b"\xa9\x14" + b"h" * 20 + b"\x87", False, False),
        (b"\x6a\x06" + b"r" * 6, False, False),
        (b"\x51", False, False),
    ],
    ids=lambda value: value.hex()[:16] if isinstance(value, bytes) else str(value),
)
def test_which_scripts_may_be_named(script: bytes, always: bool, anysegwit: bool) -> None:
    """Segwit only, later versions with option_shutdown_anysegwit: every node must relay the closing transaction."""
    assert is_shutdown_script(script, anysegwit=False) is always
    assert is_shutdown_script(script, anysegwit=True) is anysegwit
    for known, good in ((False, always), (True, anysegwit)):
        pair = ready_pair()
        pair.set_env(anysegwit=known)
        message = Shutdown(pair.b.core.opened.channel_id, script)
        if good:
            play(pair.b).on(message).expect(a(ShutdownReceived, scriptpubkey=script), Shutdown)
            play(pair.a).on(start(pair.a, script)).expect(ShutdownStarted(script, 1_000), Shutdown)
        else:
            play(pair.b).refuses(message, InvalidShutdown, "script that is not allowed")
            if script:
                play(pair.a).refuses(start(pair.a, script), CommandRejected, "cannot be paid to this kind of address")


def test_shutdown_is_answered_by_shutdown_and_both_negotiate() -> None:
    """One each; without HTLCs the fee is next."""
    pair = ready_pair()
    script_a, script_b = pair.a.signer.shutdown_script_pubkey(), pair.b.signer.shutdown_script_pubkey()
    play(pair.a).on(start(pair.a)).expect(ShutdownStarted(script_a, 1_000), a(Shutdown, scriptpubkey=script_a))
    assert type(pair.a.state) is ShuttingDown
    pair.collect(0)
    play(pair.b).on(pair.sent(0)[0]).expect(
        ShutdownReceived(script_a, script_b, 1_000), a(Shutdown, scriptpubkey=script_b)
    )
    assert type(pair.b.state) is Negotiating
    pair.collect(1)
    play(pair.a).on(pair.sent(1)[0]).expect(ShutdownReceived(script_b, b"", 0))
    assert state_name(pair.a.state) == "Negotiating"
    play(pair.a).on(start(pair.a)).expect_nothing()


def test_both_may_start_at_once() -> None:
    """The messages cross; nobody sends a second one."""
    pair = ready_pair()
    for who in (0, 1):
        pair.give(who, start(pair.parties[who]))
    assert pair.sent_kinds(0) == pair.sent_kinds(1) == ["Shutdown"]
    pair.deliver(1, 1)
    pair.deliver(0, 1)
    assert pair.sent_kinds(1) == []
    pair.pump()
    assert closed(pair)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("offered_by", [0, 1])
@pytest.mark.parametrize("stage", range(6))
def test_shutdown_at_every_stage_of_a_payment(first: int, offered_by: int, stage: int) -> None:
    """Whoever starts it, and however far an HTLC is: it is settled first, then the channel closes."""
    pair = ready_pair()
    pair.offer(offered_by, pending_add(1))
    for step in range(stage):
        pair.deliver((offered_by + step) % 2, 1 if step % 3 else None)
    pair.give(first, start(pair.parties[first]))
    pair.pump()
    receiver = pair.parties[1 - offered_by]
    for party in pair.parties:
        assert type(party.state) is ShuttingDown
    assert receiver.core.inbound[0].committed
    pair.resolve(1 - offered_by, failure(0) if stage % 2 else fulfil(0, 1))
    pair.pump()
    assert closed(pair)
    moved = 0 if stage % 2 else (-10_000_000 if offered_by == 0 else 10_000_000)
    assert pair.balances_msat() == (6_000_000_000 + moved, 4_000_000_000 - moved)


def test_no_htlc_is_offered_after_shutdown_in_either_direction() -> None:
    """What waits goes back to its owner, what comes is refused."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    waiting, late = pending_add(2), pending_add(3)
    pair.give(0, QueueAdd(waiting))
    play(pair.a).on(start(pair.a)).expect(ShutdownStarted, fx.AddRefused(waiting, limits.CLOSING), Shutdown)
    play(pair.a).on(QueueAdd(late)).expect(fx.AddRefused(late, limits.CLOSING))
    pair.collect(0)
    pair.give(1, QueueAdd(waiting))
    pair.deliver(0, 2)
    pair.give(1, QueueAdd(late))
    (message,) = [one for one in pair.sent(0) if type(one) is Shutdown]
    transcript = pair.b.handle(message)
    assert [one.add for one in transcript if type(one) is fx.AddRefused] == [late]
    play(pair.b).on(QueueAdd(late)).expect(fx.AddRefused(late, limits.CLOSING))


def test_removals_that_wait_are_sent_after_shutdown() -> None:
    """The queue of adds is dropped, the promises are not."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.give(1, DecideHtlcs([fulfil(0, 1)], [], []))
    pair.give(1, QueueAdd(pending_add(2)))
    pair.give(1, start(pair.b))
    play(pair.b).on(Commit()).expect(SentCommitment, UpdateFulfillHtlc, fx.SendCommitmentSigned)


def test_a_released_claim_and_a_fee_that_wait_are_sent_after_shutdown() -> None:
    """Only HTLCs that we would offer are given back: the release of a claim is not said twice."""
    pair = ready_pair()
    pair.offered(1, pending_add(1), pending_add(2))
    claim = claim_of(pair.a.core.opened.channel_id, 1, 0)
    for event in (DecideHtlcs([], [], [claim]), ReleaseClaim(claim.claim_id), ChangeFeerate(2_000)):
        pair.give(0, event)
    late = pending_add(3)
    pair.give(0, QueueAdd(late))
    refused = [one.add for one in pair.a.handle(start(pair.a)) if type(one) is fx.AddRefused]
    assert refused == [late]
    assert (pair.a.session.queued_msat, len(pair.a.session.queued_adds)) == (0, 0)
    play(pair.a).on(Commit()).expect(SentCommitment, UpdateFulfillHtlc, UpdateFee, fx.SendCommitmentSigned)


def test_an_add_of_the_peer_after_its_shutdown_fails_the_channel() -> None:
    """It promised not to; one that comes after *our* shutdown only may have crossed it."""
    pair = ready_pair()
    pair.give(1, start(pair.b))
    play(pair.b).on(add(pair.b)).expect_nothing()
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.give(0, start(pair.a))
    pair.deliver(0)
    assert type(pair.b.state) is ShuttingDown
    play(pair.b).refuses(add(pair.b, 1), UnexpectedMessage, "update_add_htlc after shutdown")


def test_an_htlc_that_crossed_our_shutdown_is_taken_and_failed_by_its_owner() -> None:
    """The channel takes it in like any other; forwarding it is not the channel's business."""
    pair = ready_pair()
    pair.offer(1, pending_add(1))
    pair.give(0, start(pair.a))
    pair.pump()
    assert [one.htlc_ids for one in pair.a.seen if type(one) is fx.HtlcsCommitted] == [(0,)]
    pair.resolve(0, failure(0))
    pair.pump()
    assert closed(pair)


def test_shutdown_while_the_sender_s_adds_are_not_signed_is_refused() -> None:
    """The sender must sign first, so that what is pending is clear."""
    pair = ready_pair()
    dialogue = play(pair.b).on(add(pair.b))
    dialogue.refuses(Shutdown(pair.b.core.opened.channel_id, WPKH), InvalidShutdown, "own updates are not signed")


def test_our_shutdown_never_comes_between_updates_and_their_signature() -> None:
    """Updates leave only together with the signature, so nothing of ours is ever pending when we send it."""
    pair = ready_pair()
    pair.offered(1, pending_add(1))
    pair.give(0, DecideHtlcs([fulfil(0, 1)], [], []))
    pair.give(0, start(pair.a))
    pair.finish_pass(0)
    assert pair.sent_kinds(0) == ["Shutdown", "UpdateFulfillHtlc", "CommitmentSigned"]
    pair.pump()
    assert closed(pair)


def test_another_script_than_the_upfront_one_ends_the_connection() -> None:
    """Whoever took over the peer's node must not get its money."""
    ends = born_pair(upfront_shutdown_script=WPKH)
    message = Shutdown(ends.b.core.opened.channel_id, WSH)
    play(ends.b).refuses(message, InvalidShutdown, "another script than upfront_shutdown_script")
    assert InvalidShutdown.reaction is Reaction.DISCONNECT
    play(ends.a).refuses(start(ends.a, WSH), CommandRejected, "promised another closing script")
    play(ends.a).on(start(ends.a, WPKH)).expect(ShutdownStarted(WPKH, 1_000), a(Shutdown, scriptpubkey=WPKH))
    play(ends.b).on(msgspec.structs.replace(message, scriptpubkey=WPKH)).expect(ShutdownReceived, Shutdown)
    ends = born_pair(accept={"upfront_shutdown_script": WSH})
    play(ends.b).on(Shutdown(ends.b.core.opened.channel_id, WPKH)).expect(
        a(ShutdownReceived, local_scriptpubkey=WSH), a(Shutdown, scriptpubkey=WSH)
    )


def test_a_second_shutdown_changes_nothing_and_another_script_is_refused() -> None:
    """A reconnection brings it again; it cannot change what is being settled."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    message = Shutdown(pair.b.core.opened.channel_id, WPKH)
    play(pair.b).on(message).expect(ShutdownReceived, Shutdown)
    play(pair.b).on(message).expect_nothing()
    play(pair.b).refuses(msgspec.structs.replace(message, scriptpubkey=WSH), InvalidShutdown, "than before")


def test_shutdown_before_channel_ready() -> None:
    """A channel that nobody needs any more can be closed before its funding is deep."""
    pair = born_pair()
    pair.give(0, start(pair.a))
    pair.pump()
    assert closed(pair)


def test_shutdown_while_nobody_is_connected_waits_for_the_connection() -> None:
    """The record stands; a peer that says it before `channel_reestablish` has not listened."""
    pair = ready_pair()
    pair.disconnect()
    play(pair.a).on(start(pair.a)).expect(ShutdownStarted)
    for who in (0, 1):
        pair.give(who, Connected())
    message = Shutdown(pair.b.core.opened.channel_id, WPKH)
    play(pair.b).refuses(message, NotReestablished, "before channel_reestablish")
    pair.pump()
    assert closed(pair)


def test_feerate_may_change_while_htlcs_are_settled_and_not_after() -> None:
    """With nothing left to settle the balances are final."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.give(0, start(pair.a))
    play(pair.a).on(ChangeFeerate(2_000)).on(Commit()).expect(SentCommitment, UpdateFee, fx.SendCommitmentSigned)
    empty = ready_pair()
    empty.give(0, start(empty.a))
    play(empty.a).on(ChangeFeerate(2_000)).on(Commit()).expect_nothing()
    assert type(empty.a.state) is ShuttingDown


def test_updates_of_the_peer_after_both_shutdown_and_no_htlc_fail_the_channel() -> None:
    """The balances are final: there is nothing that it could update."""
    pair = ready_pair()
    pair.give(1, start(pair.b))
    pair.deliver(1)
    pair.drop(0)
    pair.b.handle(Shutdown(pair.b.core.opened.channel_id, WPKH))
    assert type(pair.b.state) is Negotiating
    channel_id = pair.b.core.opened.channel_id
    for message in (UpdateFee(channel_id, 2_000), add(pair.b), UpdateFulfillHtlc(channel_id, 0, b"p" * 32)):
        play(pair.b).refuses(message, UnexpectedMessage, "unexpected Update")


def test_shutdown_survives_crashes_on_both_sides() -> None:
    """The script is in the journal before it is named, so every life names the same one."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    pair.give(0, start(pair.a, WSH))
    pair.crash(0)
    pair.crash(1)
    assert type(pair.a.state) is ShuttingDown
    assert type(pair.b.state) is Normal
    pair.reconnect()
    pair.pump()
    assert pair.b.core.remote_shutdown_script == WSH
    pair.crash(1)
    pair.reconnect()
    pair.pump()
    pair.resolve(1, fulfil(0, 1))
    pair.pump()
    assert closed(pair)
