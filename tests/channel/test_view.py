"""A commitment as numbers: the counters are those of its HTLCs, whatever comes and goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.channel.htlc import Changes, InboundHtlc, OutboundHtlc, inbound_htlc, outbound_htlc
from leyden.channel.view import CommitmentView
from leyden.journal.records import AddedHtlc, HtlcSource
from tests.channel.play import check_view

SOURCE = HtlcSource(b"p" * 32, 0, forwarded=False)
FUNDING_MSAT = 10_000_000_000


def view(is_local: bool, anchors: bool) -> CommitmentView:
    """An empty commitment at 1,000 sat/kw with a dust limit of 354 sat."""
    return CommitmentView(is_local, anchors, 354, 0, 1_000, 6_000_000_000, 4_000_000_000, {})


def added(htlc_id: int, amount_msat: int, source: HtlcSource | None) -> AddedHtlc:
    """One HTLC."""
    return AddedHtlc(htlc_id, amount_msat, b"h" * 32, 500, bytes(1366), source, 0)


def htlc(outbound: bool, htlc_id: int, amount_msat: int) -> OutboundHtlc | InboundHtlc:
    """One HTLC in either direction."""
    if outbound:
        return outbound_htlc(added(htlc_id, amount_msat, SOURCE), 1)
    return inbound_htlc(added(htlc_id, amount_msat, None))


@pytest.mark.parametrize(
    ("is_local", "anchors", "offered_sat", "received_sat"),
    [(True, True, 354, 354), (False, True, 354, 354), (True, False, 1_017, 1_057), (False, False, 1_057, 1_017)],
)
def test_thresholds_are_those_of_whoever_publishes(
    is_local: bool, anchors: bool, offered_sat: int, received_sat: int
) -> None:
    """What we offer is an HTLC-timeout on our commitment, an HTLC-success on the peer's (BOLT 3, "Trimmed Outputs")."""
    one = view(is_local, anchors)
    assert (one.offered_threshold_msat, one.received_threshold_msat) == (offered_sat * 1_000, received_sat * 1_000)
    for outbound, threshold in ((True, offered_sat * 1_000), (False, received_sat * 1_000)):
        small = view(is_local, anchors)
        small.add(htlc(outbound, 0, threshold - 1))
        assert (small.untrimmed, small.dust_msat) == (0, threshold - 1)
        large = view(is_local, anchors)
        large.add(htlc(outbound, 0, threshold))
        assert (large.untrimmed, large.dust_msat) == (1, 0)


@given(
    st.booleans(),
    st.booleans(),
    st.lists(
        st.tuples(
            st.booleans(), st.integers(1, 5_000_000), st.sampled_from([0, 0, 0, 253, 4_000, 20_000]), st.booleans()
        ),
        max_size=30,
    ),
)
def test_counters_follow_every_change(is_local: bool, anchors: bool, steps: list[tuple[bool, int, int, bool]]) -> None:
    """Limits read the counters: one that drifted would let too much in, or nothing."""
    one = view(is_local, anchors)
    here: list[OutboundHtlc | InboundHtlc] = []
    for number, (outbound, amount_msat, feerate_per_kw, remove) in enumerate(steps):
        changes = Changes(feerate_per_kw=feerate_per_kw)
        if remove and here:
            changes.removals.append((here.pop(0), outbound))
        else:
            changes.adds.append(htlc(outbound, number, amount_msat))
            here.append(changes.adds[0])
        before = one.copy()
        one.apply(changes)
        check_view(one, FUNDING_MSAT)
        check_view(before, FUNDING_MSAT)
        assert (
            one.fee_satoshis(one.untrimmed)
            == one.feerate_per_kw * ((1_124 if anchors else 724) + 172 * one.untrimmed) // 1_000
        )


def test_a_copy_shares_nothing_that_changes() -> None:
    """The peer's commitment before the last is kept while the last one changes."""
    one = view(True, True)
    one.add(htlc(True, 0, 5_000_000))
    twin = one.copy()
    assert twin == one
    twin.add(htlc(False, 0, 5_000_000))
    twin.set_feerate(9_999)
    assert (len(one.htlcs), one.received_count, one.feerate_per_kw) == (1, 0, 1_000)


def test_who_gets_the_amount_of_a_removed_htlc() -> None:
    """The receiver when it is fulfilled, else whoever offered it."""
    for outbound in (True, False):
        for fulfilled in (True, False):
            one, it = view(True, True), htlc(outbound, 0, 1_000_000)
            one.add(it)
            one.remove(it, fulfilled)
            moved = 0 if not fulfilled else (-1_000_000 if outbound else 1_000_000)
            assert one.local_msat == 6_000_000_000 + moved
            assert not one.htlcs
