"""What is claimed, how, from which block on and until when."""

import pytest

from leyden.monitor.claimable import ClaimTerms, OutputClaim, claims_now, swept_now
from leyden.monitor.commitments import CommitmentSource
from leyden.transactions.claim_inputs import SEQUENCE_REPLACEABLE
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.channel.pair import pending_add, preimage_of, ready_pair
from tests.monitor.history import Witness
from tests.monitor.spends import HEIGHT, ClosedChannel, commitment_of
from tests.monitor.test_balances import with_htlcs

STATIC = ChannelType(CommitmentFormat.STATIC_REMOTEKEY)


def terms_of(channel: ClosedChannel, *, held_back: bool = False) -> ClaimTerms:
    """What the manager would say; HTLC 1 that we offered is to be failed back at 600."""
    return ClaimTerms(
        lambda htlc_id: b"" if held_back else channel.core.inbound[htlc_id].preimage,
        lambda htlc_id: 600 if htlc_id == 1 else None,
    )


def claims(channel: ClosedChannel, height: int = HEIGHT, *, held_back: bool = False) -> dict[str, list[OutputClaim]]:
    """All claims at a height by kind."""
    found: dict[str, list[OutputClaim]] = {}
    for claim in claims_now(channel.core, channel.keys, channel.view, height, terms_of(channel, held_back=held_back)):
        found.setdefault(claim.input.kind.value, []).append(claim)
    return found


@pytest.mark.parametrize("anchors", [True, False])
def test_htlcs_of_our_own_commitment_go_by_their_htlc_transactions(*, anchors: bool) -> None:
    """BOLT 5, "Local Commitment": timeouts after the expiry, successes with the preimage until the expiry."""
    pair = with_htlcs() if anchors else with_htlcs(channel_type=STATIC)
    channel = ClosedChannel(pair, commitment_of(pair, CommitmentSource.LOCAL))
    found = claims(channel)
    assert sorted(found) == ["holder_success", "holder_timeout"]
    timeouts = {claim.htlc: claim for claim in found["holder_timeout"]}
    assert {name: (one.unlock_height, one.deadline_height) for name, one in timeouts.items()} == {
        (True, 0): (461, None), (True, 1): (501, 600),
    }  # fmt: skip
    (success,) = found["holder_success"]
    assert (success.htlc, success.unlock_height, success.deadline_height) == ((False, 0), HEIGHT + anchors, 461)
    assert success.input.preimage == preimage_of(3)
    commitment = channel.view.spend.possible
    assert commitment is not None
    for claim in (*timeouts.values(), success):
        made = claim.input
        assert made.paired_output is not None
        assert made.sequence == int(anchors)
        assert made.value_sat - made.paired_output.value_sat == (0 if anchors else 703 if not made.locktime else 663)
        assert len(made.paired_signature) == 64
    signatures = [claim.input.paired_signature for claim in (*timeouts.values(), success)]
    assert len(set(signatures)) == 3
    assert {claim.input.locktime for claim in timeouts.values()} == {460, 500}


@pytest.mark.parametrize("anchors", [True, False])
def test_htlcs_of_the_peers_commitment_are_taken_directly(*, anchors: bool) -> None:
    """BOLT 5, "Remote Commitment": with the preimage, or after the expiry; one block later with anchors."""
    pair = with_htlcs() if anchors else with_htlcs(channel_type=STATIC)
    channel = ClosedChannel(pair, commitment_of(pair, CommitmentSource.REMOTE))
    found = claims(channel)
    assert {claim.htlc: (claim.unlock_height, claim.contested) for claim in found["counterparty_timeout"]} == {
        (True, 0): (461, True), (True, 1): (501, True),
    }  # fmt: skip
    # The script asks for it (OP_CHECKLOCKTIMEVERIFY); with the preimage it does not.
    assert [claim.input.locktime for claim in found["counterparty_timeout"]] == [460, 500]
    (taken,) = found["counterparty_preimage"]
    assert taken.input.locktime == 0
    assert (taken.htlc, taken.unlock_height, taken.deadline_height) == ((False, 0), HEIGHT + anchors, 461)
    assert taken.input.sequence == (1 if anchors else SEQUENCE_REPLACEABLE)
    assert not taken.contested
    (later,) = claims(channel, 460)["counterparty_preimage"]
    assert later.contested


def test_a_preimage_that_is_held_back_is_in_no_claim() -> None:
    """P11: until all parts of a payment are durable it is in no transaction."""
    pair = with_htlcs()
    for source in (CommitmentSource.LOCAL, CommitmentSource.REMOTE):
        channel = ClosedChannel(pair, commitment_of(pair, source))
        assert not [kind for kind in claims(channel, held_back=True) if "success" in kind or "preimage" in kind]


def test_an_undecided_htlc_is_not_claimed() -> None:
    """S4: only by a decision on this very HTLC; the other one has no preimage here."""
    pair = with_htlcs()
    channel = ClosedChannel(pair, commitment_of(pair, CommitmentSource.REMOTE))
    assert (False, 1) not in [claim.htlc for group in claims(channel).values() for claim in group]


def test_a_preimage_that_comes_after_the_close_is_used() -> None:
    """Decisions go on after the close; the same view finds them."""
    pair = with_htlcs()
    channel = ClosedChannel(pair, commitment_of(pair, CommitmentSource.LOCAL))
    channel.core.inbound[1].preimage = preimage_of(4)
    assert {claim.htlc for claim in claims(channel)["holder_success"]} == {(False, 0), (False, 1)}


def test_what_was_spent_is_not_claimed_again() -> None:
    """H87: one claim for an output, whatever is replayed."""
    pair = with_htlcs()
    channel = ClosedChannel(pair, commitment_of(pair, CommitmentSource.LOCAL))
    channel.spend(channel.htlc(0, offered=True), 461, b"x")
    assert [claim.htlc for claim in claims(channel, 470)["holder_timeout"]] == [(True, 1)]


def test_a_revoked_commitment_is_claimed_whole_at_once() -> None:
    """to_local, both HTLCs and what the cheater makes of one; until its delay is over. Not our own balance."""
    pair = ready_pair()
    witness = Witness(pair.a)
    pair.offered(0, pending_add(1, 20_000_000, 460))
    pair.offered(1, pending_add(3, 40_000_000, 460))
    old = witness.remote[max(witness.remote)].transaction()
    pair.offered(1, pending_add(4, 50_000_000, 460))
    channel = ClosedChannel(pair, old, 0, witness.journal.penalty_log)
    delay = channel.keys.remote_parameters.to_self_delay
    found = claims(channel)
    assert {kind: len(group) for kind, group in found.items()} == {
        "revoked_to_local": 1, "revoked_offered": 1, "revoked_received": 1,
    }  # fmt: skip
    for group in found.values():
        for claim in group:
            assert (claim.unlock_height, claim.deadline_height) == (HEIGHT, HEIGHT + delay)
            assert len(claim.input.per_commitment) == 32
            assert claim.contested == (claim.input.kind.value != "revoked_to_local")
            assert bool(claim.input.public_key) == claim.contested
    assert [claim.input.kind.value for claim in swept_now(channel.core, channel.keys, channel.view, channel.points)
            if claim.input.kind.value != "anchor_of_anyone"] == ["to_remote"]  # fmt: skip


def test_what_is_ours_alone_is_swept() -> None:
    """to_local and second stages after our delay, to_remote (after a block with anchors), anchors after 16."""
    pair = with_htlcs()
    local = ClosedChannel(pair, commitment_of(pair, CommitmentSource.LOCAL))
    delay = local.keys.local_parameters.to_self_delay
    kinds = {one.input.kind.value: one for one in swept_now(local.core, local.keys, local.view, local.points)}
    assert {kind: (one.unlock_height, one.input.sequence) for kind, one in kinds.items()} == {
        "to_local": (HEIGHT + delay, delay), "anchor_of_anyone": (HEIGHT + 16, 16),
    }  # fmt: skip
    remote = ClosedChannel(pair, commitment_of(pair, CommitmentSource.REMOTE))
    kinds = {one.input.kind.value: one for one in swept_now(remote.core, remote.keys, remote.view, remote.points)}
    assert (kinds["to_remote"].unlock_height, kinds["to_remote"].input.sequence) == (HEIGHT + 1, 1)
    static = with_htlcs(channel_type=STATIC)
    plain = ClosedChannel(static, commitment_of(static, CommitmentSource.REMOTE))
    (only,) = swept_now(plain.core, plain.keys, plain.view, plain.points)
    assert (only.unlock_height, only.input.sequence, len(only.input.public_key)) == (HEIGHT, SEQUENCE_REPLACEABLE, 33)
