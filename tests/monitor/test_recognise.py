"""Outputs told apart by their scripts, as BOLT 3 has them in its own examples' shapes."""

from collections.abc import Iterator

from leyden.bitcoin.tx import TxOut
from leyden.crypto.hashes import sha256
from leyden.monitor.recognise import CandidateHtlc, OutputRole, recognise_outputs
from leyden.transactions.commitment import Commitment
from tests.channel.pair import pending_add, ready_pair
from tests.monitor.history import Witness, truth_of


def commitment() -> Commitment:
    """A commitment of the peer with one HTLC each way."""
    pair = ready_pair()
    witness = Witness(pair.a)
    pair.offered(0, pending_add(1, 20_000_000))
    pair.offered(1, pending_add(2, 30_000_000))
    return witness.remote[pair.a.core.remote.number]


def candidates(one: Commitment) -> list[CandidateHtlc]:
    """Its HTLCs as the penalty log knows them."""
    return [CandidateHtlc(h.offered, h.payment_hash, h.cltv_expiry, None, None) for _, h in one.htlcs]


def test_every_output_has_its_role_and_script() -> None:
    """What justice signs with."""
    one = commitment()
    outputs = one.transaction().outputs
    known, unknown = recognise_outputs(one.keys, one.parameters.to_self_delay, True, outputs, candidates(one))
    assert unknown == ()
    assert {o.output_index: (o.role, o.witness_script) for o in known} == {
        index: (role, script) for index, (role, script, _hash) in truth_of(one).items()
    }


def test_htlcs_are_not_read_when_nothing_is_left_to_explain() -> None:
    """A commitment without HTLCs costs no look into the log."""
    one = commitment()
    plain = tuple(o for i, o in enumerate(one.transaction().outputs) if i not in dict(one.htlcs))

    def read() -> Iterator[CandidateHtlc]:
        raise AssertionError("the log was read")
        yield

    known, unknown = recognise_outputs(one.keys, one.parameters.to_self_delay, True, plain, read())
    assert (len(known), unknown) == (4, ())


def test_what_differs_in_anything_is_unknown() -> None:
    """Another hash, direction, expiry of a received one, delay or channel type makes another script."""
    one = commitment()
    outputs = one.transaction().outputs
    delay = one.parameters.to_self_delay
    received = next(index for index, htlc in one.htlcs if not htlc.offered)
    (wrong,) = [h for h in candidates(one) if not h.offered]
    for other in (
        CandidateHtlc(False, sha256(b"other"), wrong.cltv_expiry, None, None),
        CandidateHtlc(True, wrong.payment_hash, wrong.cltv_expiry, None, None),
        CandidateHtlc(False, wrong.payment_hash, wrong.cltv_expiry + 1, None, None),
    ):
        _, unknown = recognise_outputs(one.keys, delay, True, outputs, [other])
        assert received in unknown
    known, _ = recognise_outputs(one.keys, delay + 1, True, outputs, candidates(one))
    assert OutputRole.TO_LOCAL not in [output.role for output in known]
    known, unknown = recognise_outputs(one.keys, delay, False, outputs, candidates(one))
    assert [output.role for output in known] == [OutputRole.TO_LOCAL]
    assert recognise_outputs(one.keys, delay, True, (TxOut(1, b"\x51"),), []) == ((), (0,))
