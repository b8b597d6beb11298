"""Weights that are predicted before anything is signed, against transactions with real signatures."""

from collections.abc import Sequence

import pytest

from leyden.bitcoin.script import p2pkh, p2sh, p2tr, p2wpkh, p2wsh, p2wsh_of_script
from leyden.bitcoin.sighash import SIGHASH_ALL
from leyden.bitcoin.tx import Transaction, TxOut, compact_size
from leyden.crypto.ec import sign_ecdsa, signature_to_der
from leyden.crypto.hashes import sha256
from leyden.regtest.kernel import VERIFY_CONSENSUS, Kernel
from leyden.transactions.claim_inputs import ClaimInput, ClaimKind
from leyden.transactions.claims import build_claim, claim_weight, signed_claim, to_sign
from leyden.transactions.closing import ClosingParameters, build_closing, closing_weight
from leyden.transactions.commitment import Commitment, build_commitment
from leyden.transactions.fees import ANCHOR_VALUE_SAT, commitment_weight
from leyden.transactions.funding import funding_output
from leyden.transactions.types import make_commitment_htlc
from leyden.wallet.building import SpendTerms, build, sign, sign_coins
from leyden.wallet.claims import ClaimDraft, ClaimTemplate, ClaimTerms, fund
from leyden.wallet.keys import RECEIVE_P2TR, RECEIVE_P2WPKH
from leyden.wallet.state import Coin
from leyden.wallet.weights import input_weight, output_weight, transaction_weight
from tests.signer.two_signers import KEYS_ID, signer
from tests.transactions.bolt03_vectors import (
    KEYS,
    LOCAL,
    LOCAL_FUNDING_SECRET,
    LOCAL_HTLC_SECRET,
    REMOTE,
    REMOTE_FUNDING_SECRET,
    REMOTE_HTLC_SECRET,
    parameters,
)
from tests.transactions.claim_shapes import shape, spent_output
from tests.wallet.coins import CHANGE_PATH, CHANGE_SCRIPT, KEYRING, coin
from tests.wallet.wallet_world import wallet_signer

PREIMAGE = b"\x05" * 32
FUNDING = parameters(anchors=True, dust_limit_sat=546)
COINS = [coin(1, 30_000, RECEIVE_P2WPKH), coin(2, 40_000, RECEIVE_P2TR), coin(3, 50_000, RECEIVE_P2WPKH)]


def commitment_with(count: int, *, anchors: bool) -> Commitment:
    """A commitment with so many HTLCs, offered and received in turn, with expiries of three bytes."""
    htlcs = [
        make_commitment_htlc(n, n % 2 == 0, 8_000_000 + 1_000 * n, sha256(PREIMAGE), 800_000 + n) for n in range(count)
    ]
    sides_msat = (10_000_000_000 - sum([htlc.amount_msat for htlc in htlcs])) // 2
    built = parameters(anchors=anchors, dust_limit_sat=546)
    return build_commitment(built, KEYS, 42, 500, sides_msat, sides_msat, htlcs)


def check_funding_spend(kernel: Kernel, signed: Transaction) -> None:
    """Assert that consensus takes a spend of the funding output."""
    spent = [(FUNDING.funding_value_sat, p2wsh_of_script(FUNDING.funding_script))]
    assert kernel.first_bad_input(signed.serialize(), spent, VERIFY_CONSENSUS) is None


@pytest.mark.parametrize("anchors", [True, False])
@pytest.mark.parametrize("count", [0, 1, 2, 30, 248, 483])
def test_commitments_weigh_no_more_than_bolt_3_says(kernel: Kernel, count: int, *, anchors: bool) -> None:
    """724 or 1124, and 172 for each HTLC; it counts signatures of 73 bytes.

    It counts the outputs in three bytes with anchors, and in one byte without, which does for 252.
    """
    commitment = commitment_with(count, anchors=anchors)
    digest = commitment.digest()
    signed = commitment.signed_transaction(
        sign_ecdsa(LOCAL_FUNDING_SECRET, digest), sign_ecdsa(REMOTE_FUNDING_SECRET, digest)
    )
    check_funding_spend(kernel, signed)
    assert len(commitment.htlcs) == count
    counted, needed = 3 if anchors else 1, len(compact_size(len(signed.outputs)))
    assert commitment_weight(count, anchors) == (1124 if anchors else 724) + 172 * count
    assert 0 <= commitment_weight(count, anchors) - 4 * (counted - needed) - signed.weight() <= 8


@pytest.mark.parametrize(
    ("anchors", "offered", "expected"), [(False, True, 663), (False, False, 703), (True, True, 666), (True, False, 706)]
)
def test_htlc_transactions_weigh_no_more_than_bolt_3_says(
    kernel: Kernel, expected: int, *, anchors: bool, offered: bool
) -> None:
    """It counts signatures of 73 bytes; ours and the peer's have 70 to 72."""
    commitment = commitment_with(2, anchors=anchors)
    (position,) = [n for n, (_, htlc) in enumerate(commitment.htlcs) if htlc.offered == offered]
    made = commitment.htlc_transaction(position)
    signed = made.signed_transaction(
        sign_ecdsa(LOCAL_HTLC_SECRET, made.digest(SIGHASH_ALL)),
        sign_ecdsa(REMOTE_HTLC_SECRET, made.digest(commitment.htlc_sighash_type)),
        None if offered else PREIMAGE,
    )
    spent = [(made.value_sat, p2wsh_of_script(made.witness_script))]
    assert kernel.first_bad_input(signed.serialize(), spent, VERIFY_CONSENSUS) is None
    assert 0 <= expected - signed.weight() <= 8


@pytest.mark.parametrize("ours", [p2pkh(bytes(20)), p2sh(bytes(20)), p2wpkh(bytes(20)), p2wsh(bytes(32))])
@pytest.mark.parametrize("theirs", [p2wpkh(b"\x01" * 20), p2tr(b"\x01" * 32)])
def test_closing_transactions_weigh_no_more_than_predicted(kernel: Kernel, ours: bytes, theirs: bytes) -> None:
    """The fee is negotiated for it before either side has signed."""
    value_msat = FUNDING.funding_value_sat * 500
    closing = build_closing(
        ClosingParameters(
            FUNDING.funding_outpoint, FUNDING.funding_value_sat, FUNDING.funding_script, value_msat, value_msat, ours,
            theirs, 546,
        ),
        1_000,
    )  # fmt: skip
    signed = closing.signed_transaction(
        (LOCAL.funding_public_key, sign_ecdsa(LOCAL_FUNDING_SECRET, closing.digest())),
        (REMOTE.funding_public_key, sign_ecdsa(REMOTE_FUNDING_SECRET, closing.digest())),
    )
    check_funding_spend(kernel, signed)
    assert 0 <= closing_weight(ours, theirs) - signed.weight() <= 8


# ------------------------------------------------------------------------------------------------ coins of the wallet


def shorter_than_usual(transaction: Transaction, first: int, coins: Sequence[Coin]) -> int:
    """Bytes that the ECDSA signatures of coins, the last inputs, lack of 71."""
    witnesses = [tx_in.witness for tx_in in transaction.inputs[first:]]
    missing = [71 - len(witness[0]) for witness in witnesses if len(witness) == 2]
    assert len(witnesses) == len(coins)
    assert min(missing, default=0) >= 0
    return sum(missing)


def test_a_funding_transaction_weighs_what_was_predicted(kernel: Kernel) -> None:
    """Its fee is paid before it is signed."""
    output = funding_output(80_000, LOCAL.funding_public_key, REMOTE.funding_public_key)
    draft = build(COINS, [output], SpendTerms(1_000, CHANGE_PATH, CHANGE_SCRIPT, 0, bytes(32)))
    assert draft is not None
    signed = sign(draft, KEYRING, wallet_signer())
    spent = [(one.value_sat, one.script_pubkey) for one in draft.coins]
    assert kernel.first_bad_input(signed.serialize(), spent, VERIFY_CONSENSUS) is None
    missing = shorter_than_usual(signed, 0, draft.coins)
    assert transaction_weight(draft.coins, signed.outputs) == signed.weight() + missing


def funded(inputs: list[ClaimInput], outputs: list[TxOut], parent: tuple[int, int]) -> ClaimDraft:
    """A claim with coins. parent: weight and fee of the transaction that it also pays for."""
    spent = tuple([TxOut(*spent_output(one)) for one in inputs])
    weight = claim_weight(inputs, [output.script_pubkey for output in outputs])
    template = ClaimTemplate(build_claim(inputs, outputs), spent, weight, *parent)
    draft = fund(template, [COINS], ClaimTerms(20_000, 0, 10**8, CHANGE_PATH, CHANGE_SCRIPT))
    assert isinstance(draft, ClaimDraft)
    return draft


TIMEOUTS = [shape(ClaimKind.HOLDER_TIMEOUT, n, value_sat=9_000 + n) for n in range(5)]
SUCCESS = [shape(ClaimKind.HOLDER_SUCCESS, 0, value_sat=9_000)]
ANCHOR = [shape(ClaimKind.ANCHOR, 0, value_sat=ANCHOR_VALUE_SAT)]


@pytest.mark.parametrize(
    ("inputs", "parent"), [(ANCHOR, (1_124, 300)), (ANCHOR, (4_000, 1_000)), (TIMEOUTS, (0, 0)), (SUCCESS, (0, 0))]
)
def test_coins_behind_claims_keep_their_witness_and_the_whole_weighs_what_was_predicted(
    kernel: Kernel, inputs: list[ClaimInput], parent: tuple[int, int]
) -> None:
    """The child of a commitment, and HTLC transactions with anchors: the wallet signs first, the channel then."""
    outputs = [one.paired_output for one in inputs if one.paired_output is not None]
    draft = funded(inputs, outputs, parent)
    with_coins = sign_coins(draft.transaction, draft.coins, draft.spent, KEYRING, wallet_signer())
    signatures = signer().sign_claim(KEYS_ID, with_coins, to_sign(inputs))
    signed = signed_claim(with_coins, inputs, signatures)
    assert signed.inputs[len(inputs) :] == with_coins.inputs[len(inputs) :]
    assert all(tx_in.witness for tx_in in signed.inputs)
    spent = [(one.value_sat, one.script_pubkey) for one in draft.spent]
    assert kernel.first_bad_input(signed.serialize(), spent, VERIFY_CONSENSUS) is None
    missing = shorter_than_usual(signed, len(inputs), draft.coins)
    missing += sum([70 - len(signature_to_der(signature)) for signature in signatures])
    predicted = claim_weight(inputs, [output.script_pubkey for output in outputs])
    predicted += sum([input_weight(one) for one in draft.coins])
    predicted += output_weight(CHANGE_SCRIPT) if draft.change_path is not None else 0
    assert predicted == signed.weight() + missing
    assert draft.fee_sat + parent[1] >= 20 * (signed.weight() + parent[0])


def test_a_claim_without_the_coins_that_were_signed_is_refused(kernel: Kernel) -> None:
    """The channel's signature covers the coins: none can be taken away."""
    draft = funded(ANCHOR, [], (1_124, 300))
    whole = draft.transaction
    signed = signed_claim(whole, ANCHOR, signer().sign_claim(KEYS_ID, whole, to_sign(ANCHOR)))
    alone = Transaction(2, signed.inputs[:1], signed.outputs, signed.locktime)
    assert kernel.first_bad_input(alone.serialize(), [spent_output(ANCHOR[0])], VERIFY_CONSENSUS) == 0
