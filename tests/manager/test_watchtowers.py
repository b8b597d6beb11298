"""What a node exports as its peer revokes: once for each state, and nothing when nobody asks for it."""

from collections.abc import Sequence
from typing import Any

import pytest

from leyden.base.errors import PeerViolation
from leyden.manager import watchtowers
from leyden.manager.events import PaymentSent
from leyden.monitor.watchtower import JusticeBlob, about_to_be_revoked, locator_of, open_blob
from leyden.wire.messages import RevokeAndAck
from tests.manager.stage import Stage
from tests.sim import topologies


class Sink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.given: list[tuple[bytes, int, Sequence[JusticeBlob]]] = []
        self.fails = False

    def __call__(self, channel_id: bytes, number: int, blobs: Sequence[JusticeBlob], /) -> None:
        self.given.append((channel_id, number, blobs))
        if self.fails:
            raise OSError("the sink is broken")

    def __deepcopy__(self, _memo: Any) -> "Sink":
        return self


def watched(sink: Sink) -> Stage:
    """alice and bob, each with the sink."""
    return Stage(topologies.make([("alice", "bob")], justice_sink=sink, justice_feerates_per_kw=(253, 1_000)))


def test_each_revoked_state_is_exported_once_with_what_opens_it() -> None:
    """The locator is that of a commitment the peer had, and the transactions in it spend that commitment."""
    sink = Sink()
    stage = watched(sink)
    sink.given.clear()
    commitments: dict[bytes, bytes] = {}
    alice = stage.slot("alice", "bob")
    for tag in ("one", "two"):
        stage.pay("alice", "bob", stage.invoice("bob", tag=tag), tag)
        while enabled := stage.world.enabled():
            for commitment in about_to_be_revoked(alice.state.core, alice.state.keys):
                commitments[locator_of(commitment.txid)] = commitment.txid
            stage.world.perform(enabled[0])
    mine = [one for one in sink.given if one[2][0].locator in commitments]
    assert [number for _, number, _ in mine] == list(range(mine[0][1], alice.state.core.remote.number))
    assert len(mine) == len(commitments) >= 4
    assert {channel_id for channel_id, _, _ in mine} == {alice.channel_id}
    for _, _, blobs in mine:
        txid = commitments[blobs[0].locator]
        transactions = [open_blob(txid, blob) for blob in blobs]
        assert len(transactions) in (2, 4), "two feerates, and to_local alone where there are HTLCs"
        assert {one.prevout.txid for transaction in transactions for one in transaction.inputs} == {txid}
        script = stage.m("alice").signer.shutdown_script_pubkey()
        assert {output.script_pubkey for one in transactions for output in one.outputs} == {script}


def test_revocation_that_is_refused_exports_nothing() -> None:
    """A wrong secret punishes nobody."""
    sink = Sink()
    stage = watched(sink)
    sink.given.clear()
    slot = stage.slot("alice", "bob")
    message = RevokeAndAck(slot.channel_id, b"\x01" * 32, b"\x02" * 33)
    with pytest.raises(PeerViolation):
        watchtowers.on_revoke_and_ack(stage.m("alice"), slot, message)
    stage.rest()
    assert sink.given == []


def test_channel_that_a_bug_has_halted_exports_nothing() -> None:
    """It takes nothing in, so nothing is revoked."""
    sink = Sink()
    stage = watched(sink)
    slot = stage.slot("alice", "bob")
    stage.pay("alice", "bob", stage.invoice("bob"))
    while slot.state.core.remote_prior is None:
        stage.world.perform(stage.world.enabled()[0])
    slot.halted = "a bug"
    sink.given.clear()
    message = RevokeAndAck(slot.channel_id, b"\x01" * 32, b"\x02" * 33)
    watchtowers.on_revoke_and_ack(stage.m("alice"), slot, message)
    assert stage.m("alice").outbox.take_requests() == []
    assert stage.m("alice").faults == []


def test_sink_that_fails_costs_nobody_a_payment() -> None:
    """A bug of the user's is reported, and the channel goes on."""
    sink = Sink()
    stage = watched(sink)
    sink.fails = True
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    assert stage.told("alice", PaymentSent)
    assert any("the sink is broken" in fault for fault in stage.m("alice").faults)


def test_nothing_is_signed_when_there_is_no_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has no tower pays nothing for it."""

    def never(*_arguments: object) -> tuple[()]:
        raise AssertionError("nobody asked for it")

    monkeypatch.setattr(watchtowers, "about_to_be_revoked", never)
    stage = Stage(topologies.direct())
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    assert stage.told("alice", PaymentSent)
