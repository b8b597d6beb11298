"""HTLCs and the changes between two commitments."""

from leyden.channel.htlc import Changes, InboundHtlc, OutboundHtlc, inbound_htlc, outbound_htlc
from leyden.crypto.hashes import hash160, ripemd160
from leyden.journal.records import AddedHtlc, HtlcSource
from tests.channel.pair import failure

ADD = AddedHtlc(3, 5_000_999, b"h" * 32, 500, bytes(1366), HtlcSource(b"p" * 32, 1, forwarded=True), 7)


def test_what_we_offer_is_offered_on_our_commitment_and_received_on_the_peer_s() -> None:
    """The scripts differ: an HTLC with the wrong side could not be claimed."""
    ours = outbound_htlc(ADD, 9)
    assert type(ours) is OutboundHtlc
    assert (ours.local.offered, ours.remote.offered, ours.first_remote_number) == (True, False, 9)
    theirs = inbound_htlc(ADD)
    assert type(theirs) is InboundHtlc
    assert (theirs.local.offered, theirs.remote.offered) == (False, True)
    for side in (ours.local, ours.remote, theirs.local, theirs.remote):
        assert (side.htlc_id, side.amount_msat, side.cltv_expiry, side.payment_hash) == (3, 5_000_999, 500, b"h" * 32)
        assert side.payment_hash160 == ripemd160(b"h" * 32) != hash160(b"h" * 32)


def test_an_htlc_is_decided_by_a_preimage_or_a_failure() -> None:
    """Only then is a removal promised."""
    htlc = inbound_htlc(ADD)
    assert not htlc.decided()
    htlc.failure = failure(3)
    assert htlc.decided()
    htlc.failure, htlc.preimage = None, b"i" * 32
    assert htlc.decided()


def test_changes_join_in_order_and_the_last_feerate_counts() -> None:
    """Several signatures of one side may wait for one of the other."""
    first, second = Changes(feerate_per_kw=5), Changes()
    assert first
    assert not second
    second.adds.append(outbound_htlc(ADD, 1))
    second.removals.append((inbound_htlc(ADD), True))
    first.extend(second)
    assert (len(first.adds), len(first.removals), first.feerate_per_kw) == (1, 1, 5)
    first.extend(Changes(feerate_per_kw=6))
    assert first.feerate_per_kw == 6
    assert second
