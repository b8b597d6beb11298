"""Claims of any shape: what goes together, what the network refuses, and weights that are never too low."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from leyden.bitcoin.tx import Transaction, TxOut
from leyden.crypto.ec import signature_to_der
from leyden.regtest.kernel import VERIFY_CONSENSUS, Kernel
from leyden.transactions.claim_inputs import SEQUENCE_REPLACEABLE, ClaimInput, ClaimKind
from leyden.transactions.claims import HOLDER_KINDS, build_claim, claim_weight, signed_claim, to_sign
from tests.signer.two_signers import KEYS_ID, signer
from tests.transactions.claim_shapes import shape, spent_output

WALLET_SCRIPT = b"\x00\x14" + b"w" * 20
SIGNER = signer()


def outputs_for(inputs: Sequence[ClaimInput]) -> list[TxOut]:
    """The paired outputs and, where the form allows it, one of the wallet."""
    paired = [one.paired_output for one in inputs if one.paired_output is not None]
    return paired if paired and not inputs[0].anchors else [*paired, TxOut(300, WALLET_SCRIPT)]


def sign(transaction: Transaction, inputs: Sequence[ClaimInput]) -> list[bytes]:
    """The signatures of the channel."""
    return SIGNER.sign_claim(KEYS_ID, transaction, to_sign(inputs))


def bad_input(kernel: Kernel, transaction: Transaction, inputs: Sequence[ClaimInput]) -> int | None:
    """The first input that consensus refuses."""
    return kernel.first_bad_input(transaction.serialize(), [spent_output(one) for one in inputs], VERIFY_CONSENSUS)


def made(inputs: Sequence[ClaimInput]) -> Transaction:
    """The signed claim."""
    unsigned = build_claim(inputs, outputs_for(inputs))
    return signed_claim(unsigned, inputs, sign(unsigned, inputs))


# -------------------------------------------------------------------------------------------------------- what fits


def test_the_locktime_is_the_highest_that_an_input_asks_for() -> None:
    """Lower it would not be final, higher it would wait for nothing."""
    timeouts = [shape(ClaimKind.COUNTERPARTY_TIMEOUT, n, expiry=expiry) for n, expiry in enumerate((500, 720, 610))]
    assert build_claim([*timeouts, shape(ClaimKind.TO_REMOTE, 9)], [TxOut(300, WALLET_SCRIPT)]).locktime == 720
    assert build_claim([shape(ClaimKind.REVOKED_OFFERED, 0)], [TxOut(300, WALLET_SCRIPT)]).locktime == 0


def test_htlc_transactions_stand_as_the_peer_has_signed_them() -> None:
    """Its signature ties an input to the output beside it and to the locktime; errors say which of it is broken."""
    first, second = (shape(ClaimKind.HOLDER_TIMEOUT, n, value_sat=20_000 + n) for n in range(2))
    later, own = shape(ClaimKind.HOLDER_TIMEOUT, 2, expiry=501), shape(ClaimKind.COUNTERPARTY_PREIMAGE, 3)
    success, timeout = shape(ClaimKind.HOLDER_SUCCESS, 4), shape(ClaimKind.COUNTERPARTY_TIMEOUT, 5, expiry=600)
    change = TxOut(300, WALLET_SCRIPT)
    assert build_claim([first, second, own], outputs_for([first, second])).locktime == 500
    for inputs, outputs, message in (
        ([own, first], outputs_for([first]), "come before other inputs"),
        ([first, own, second], outputs_for([first, second]), "come before other inputs"),
        ([first, later], outputs_for([first, later]), "covers the locktime"),
        ([first, success], outputs_for([first, success]), "covers the locktime"),
        ([first, timeout], outputs_for([first]), "covers the locktime"),
        ([first, second], outputs_for([second, first]), "at the index of its input"),
        ([first, second], outputs_for([first]), "at the index of its input"),
        ([first], [], "at the index of its input"),
        ([first], [change, *outputs_for([first])], "at the index of its input"),
    ):
        with pytest.raises(AssertionError, match=message):
            build_claim(inputs, outputs)
    assert build_claim([first], tuple(outputs_for([first]))).outputs == (first.paired_output, change)


def test_an_htlc_transaction_without_anchors_goes_alone() -> None:
    """The peer has signed all of it."""
    alone, other = (shape(ClaimKind.HOLDER_SUCCESS, n, anchors=False) for n in range(2))
    (output,) = outputs_for([alone])
    assert build_claim([alone], [output]).outputs == (output,)
    for inputs, outputs in (
        ([alone, other], outputs_for([alone, other])),
        ([alone], [output, TxOut(300, WALLET_SCRIPT)]),
        ([alone, shape(ClaimKind.TO_LOCAL, 2, anchors=False)], [output]),
    ):
        with pytest.raises(AssertionError, match="signed whole"):
            build_claim(inputs, outputs)


# ------------------------------------------------------------------------------------------- what the network refuses

EVERY_KIND = [(kind, anchors) for kind in ClaimKind for anchors in (True, False)]


@pytest.mark.parametrize(("kind", "anchors"), EVERY_KIND)
def test_every_kind_is_valid_and_no_other_signature_will_do(kernel: Kernel, kind: ClaimKind, *, anchors: bool) -> None:
    """Consensus judges each kind of both channel types; an anchor after 16 blocks needs no signature."""
    one = shape(kind, 0, anchors=anchors)
    good = made([one])
    assert bad_input(kernel, good, [one]) is None
    signatures = sign(good, [one])
    assert len(signatures) == (kind is not ClaimKind.ANCHOR_OF_ANYONE)
    if signatures:
        assert bad_input(kernel, signed_claim(good, [one], [bytes(range(1, 65))]), [one]) == 0
        other_outputs = replace(good, outputs=(*good.outputs[:-1], replace(good.outputs[-1], value_sat=299)))
        assert bad_input(kernel, other_outputs, [one]) == 0


@pytest.mark.parametrize(
    "kind",
    [
        ClaimKind.REVOKED_TO_LOCAL,
        ClaimKind.REVOKED_OFFERED,
        ClaimKind.REVOKED_RECEIVED,
        ClaimKind.REVOKED_SECOND_STAGE,
        ClaimKind.TO_LOCAL,
        ClaimKind.HOLDER_TIMEOUT,
        ClaimKind.COUNTERPARTY_PREIMAGE,
    ],
)
def test_keys_of_another_commitment_are_refused(kernel: Kernel, kind: ClaimKind) -> None:
    """A wrong per-commitment secret or point derives a key that is not in the script."""
    one = shape(kind, 0)
    other = one.per_commitment[:-1] + bytes((one.per_commitment[-1] ^ 1,))
    if len(other) == 33:
        other = signer().per_commitment_point(KEYS_ID, 77)
    assert bad_input(kernel, made([replace(one, per_commitment=other)]), [one]) == 0
    assert bad_input(kernel, made([one]), [one]) is None


@pytest.mark.parametrize("anchors", [True, False])
@pytest.mark.parametrize("kind", [ClaimKind.HOLDER_SUCCESS, ClaimKind.COUNTERPARTY_PREIMAGE])
def test_a_wrong_or_missing_preimage_is_refused(kernel: Kernel, kind: ClaimKind, *, anchors: bool) -> None:
    """It is what the payer pays for."""
    one = shape(kind, 0, anchors=anchors)
    for preimage in (b"", b"\x09" * 32, one.preimage[:31], one.preimage + b"\x00"):
        assert bad_input(kernel, made([replace(one, preimage=preimage)]), [one]) == 0


def test_signatures_in_another_order_are_refused(kernel: Kernel) -> None:
    """Each covers its own input."""
    inputs = [shape(ClaimKind.REVOKED_OFFERED, n) for n in range(3)]
    good = made(inputs)
    assert bad_input(kernel, good, inputs) is None
    signatures = sign(good, inputs)
    assert bad_input(kernel, signed_claim(good, inputs, [signatures[0], signatures[2], signatures[1]]), inputs) == 1
    for wrong in (signatures[:2], [*signatures, signatures[0]]):
        with pytest.raises(ValueError, match="zip"):
            signed_claim(good, inputs, wrong)


@pytest.mark.parametrize(("kind", "anchors"), EVERY_KIND)
def test_a_lock_that_is_too_low_is_refused(kernel: Kernel, kind: ClaimKind, *, anchors: bool) -> None:
    """Relative locks of scripts and absolute ones of expiries: one block less does not do."""
    one = shape(kind, 0, anchors=anchors)
    locked = one.sequence != SEQUENCE_REPLACEABLE and one.sequence > 0
    if locked:
        early = replace(one, sequence=one.sequence - 1)
        assert bad_input(kernel, made([early]), [one]) == 0
    if one.locktime:
        early = replace(one, locktime=one.locktime - 1)
        assert bad_input(kernel, made([early]), [one]) == 0
    waits = {
        ClaimKind.TO_LOCAL, ClaimKind.SECOND_STAGE, ClaimKind.ANCHOR_OF_ANYONE, ClaimKind.HOLDER_TIMEOUT,
        ClaimKind.COUNTERPARTY_TIMEOUT,
    } | (
        {ClaimKind.TO_REMOTE, ClaimKind.COUNTERPARTY_PREIMAGE, ClaimKind.HOLDER_SUCCESS} if anchors else set()
    )  # fmt: skip
    assert (locked or one.locktime > 0) == (kind in waits)


# --------------------------------------------------------------------------------------------------------- weights

EXPIRIES = st.sampled_from([1, 16, 17, 127, 128, 500, 32_767, 32_768, 900_000, 8_388_607, 8_388_608, 499_999_999])
DELAYS = st.sampled_from([1, 16, 17, 127, 128, 144, 2_016, 32_767, 32_768, 65_535])
OWN_KINDS = [kind for kind in ClaimKind if kind not in HOLDER_KINDS]


def check_weight(kernel: Kernel, inputs: Sequence[ClaimInput], outputs: Sequence[TxOut]) -> Transaction:
    """Assert that the weight was known but for signatures of ours below 70 bytes in DER; return the valid claim."""
    unsigned = build_claim(inputs, outputs)
    signatures = sign(unsigned, inputs)
    signed = signed_claim(unsigned, inputs, signatures)
    shorter = [70 - len(signature_to_der(signature)) for signature in signatures]
    assert min(shorter, default=0) >= 0
    assert claim_weight(inputs, [output.script_pubkey for output in outputs]) == signed.weight() + sum(shorter)
    assert bad_input(kernel, signed, inputs) is None
    return signed


@st.composite
def claims(draw: st.DrawFn) -> list[ClaimInput]:
    """Up to 40 inputs that may go together."""
    anchors = draw(st.booleans())
    if not anchors and draw(st.booleans()):
        holder = draw(st.sampled_from(HOLDER_KINDS))
        return [shape(holder, 0, anchors=False, expiry=draw(EXPIRIES), delay=draw(DELAYS))]
    paired: list[ClaimInput] = []
    own = st.sampled_from(OWN_KINDS)
    if anchors and draw(st.booleans()):
        # Those behind must not ask for a higher locktime than the peer has signed.
        holder, expiry, count = draw(st.sampled_from(HOLDER_KINDS)), draw(EXPIRIES), draw(st.integers(1, 20))
        paired = [shape(holder, n, expiry=expiry, delay=draw(DELAYS)) for n in range(count)]
        own = own.filter(lambda kind: kind is not ClaimKind.COUNTERPARTY_TIMEOUT)
    kinds = draw(st.lists(own, min_size=int(not paired), max_size=40 - len(paired)))
    others = [
        shape(kind, 100 + n, anchors=anchors, expiry=draw(EXPIRIES), delay=draw(DELAYS)) for n, kind in enumerate(kinds)
    ]
    return [*paired, *others]


@given(claims(), st.lists(st.sampled_from([WALLET_SCRIPT, b"\x51\x20" + bytes(32), b"\x6a"]), max_size=3))
def test_weights_of_any_claim_are_known_before_it_is_signed(
    kernel: Kernel, inputs: list[ClaimInput], more: list[bytes]
) -> None:
    """Exact but for our own signatures that are shorter than usual; too low it would not be relayed."""
    outputs = outputs_for(inputs)
    if inputs[0].anchors or inputs[0].kind not in HOLDER_KINDS:
        outputs += [TxOut(0, script) for script in more]
    check_weight(kernel, inputs, outputs)


def test_a_penalty_for_all_htlcs_of_a_channel_is_relayed(kernel: Kernel) -> None:
    """483 HTLCs each way, the balances besides; the network relays 400,000 weight units (BOLT 5)."""
    inputs = [shape(ClaimKind.REVOKED_TO_LOCAL, 0), shape(ClaimKind.TO_REMOTE, 1)]
    for n in range(483):
        inputs.append(shape(ClaimKind.REVOKED_OFFERED, 2 + 2 * n))
        inputs.append(shape(ClaimKind.REVOKED_RECEIVED, 3 + 2 * n, expiry=8_388_608))
    predicted = claim_weight(inputs, [WALLET_SCRIPT])
    signed = check_weight(kernel, inputs, [TxOut(300, WALLET_SCRIPT)])
    assert predicted < 400_000
    print(f"{len(inputs)} inputs: predicted {predicted}, made {signed.weight()}")
