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


def test_reading_stops_when_every_output_is_explained() -> None:
    """What follows in the log is of other states: there may be a million rows of it."""
    one = commitment()
    live = [CandidateHtlc(h.offered, h.payment_hash, h.cltv_expiry, h.htlc_id, h.amount_msat) for _, h in one.htlcs]

    def reading(htlcs: list[CandidateHtlc]) -> Iterator[CandidateHtlc]:
        for candidate in htlcs:
            read.append(candidate)
            yield candidate

    for htlcs in (candidates(one) * 2, live + candidates(one)):
        read: list[CandidateHtlc] = []
        delay = one.parameters.to_self_delay
        known, unknown = recognise_outputs(one.keys, delay, True, one.transaction().outputs, reading(htlcs))
        assert (len(known), unknown, len(read)) == (6, (), 2)


def test_reading_goes_on_while_an_output_may_be_another_htlc_with_its_script() -> None:
    """An HTLC of another amount, or one for two outputs, is no answer yet: the log may hold the right one."""
    one = commitment()
    (index,) = [index for index, htlc in one.htlcs if htlc.offered]
    output, htlc = one.transaction().outputs[index], dict(one.htlcs)[index]
    row = CandidateHtlc(True, htlc.payment_hash, htlc.cltv_expiry, None, None)
    exact = CandidateHtlc(True, htlc.payment_hash, htlc.cltv_expiry, 7, output.value_sat * 1000 + 999)
    other = CandidateHtlc(True, htlc.payment_hash, htlc.cltv_expiry, 8, output.value_sat * 1000 + 1_000)

    def named(outputs: tuple[TxOut, ...], htlcs: list[CandidateHtlc]) -> list[CandidateHtlc | None]:
        return [found.htlc for found in recognise_outputs(one.keys, 144, True, outputs, htlcs)[0]]

    assert named((output,), [other, row]) == [row]
    assert named((output,), [other, exact, row]) == [exact]
    assert named((output, output), [exact, row]) == [exact, row]
    assert named((output,), [other]) == [other]
