"""Onions of inbound HTLCs: read once, failed with the same bytes."""

from leyden.manager import onions
from leyden.sphinx.failures import FailureCode, OnionFailure, TemporaryNodeFailure
from tests.manager.stage import Stage
from tests.sim import topologies


def test_onion_that_is_not_ours_is_malformed() -> None:
    """Bad version, key or HMAC: the peer hears which, with the hash of what it sent (BOLT 2, "Removing an HTLC")."""
    m = Stage(topologies.direct()).m("bob")
    for packet, code in (
        (b"\x01" + bytes(1365), FailureCode.INVALID_ONION_VERSION),
        (bytes(1366), FailureCode.INVALID_ONION_KEY),
        (b"\x00" + m.node_id + bytes(1332), FailureCode.INVALID_ONION_HMAC),
    ):
        peeled = onions.peel(m, packet, bytes(32))
        assert isinstance(peeled.failure, OnionFailure)
        assert peeled.payload is None
        failed = onions.failed_htlc(3, peeled.shared_secret, peeled.failure)
        assert (failed.failure_code, len(failed.reason)) == (code.value, 32)


def test_other_failures_are_encrypted_for_the_payer() -> None:
    """Only the payer can read who failed and why."""
    failed = onions.failed_htlc(3, bytes(32), TemporaryNodeFailure())
    assert failed.failure_code == 0
    assert len(failed.reason) >= 292


def test_onion_is_read_once() -> None:
    """Reading it costs a multiplication; it is read ahead, while the signature is under way."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "")
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=100_000)
    stage.act()
    slot = stage.slot("bob", "alice")
    [htlc] = slot.state.core.inbound.values()
    first = onions.peeled_of(stage.m("bob"), slot, htlc)
    assert onions.peeled_of(stage.m("bob"), slot, htlc) is first
    slot.peeled.clear()
    assert onions.peeled_of(stage.m("bob"), slot, htlc) == first
