"""Weights against those of real transactions."""

import pytest

from leyden.bitcoin.script import p2pkh, p2wpkh, p2wsh
from leyden.bitcoin.tx import TxOut
from leyden.wallet.building import SpendTerms, build_all, sign
from leyden.wallet.keys import RECEIVE_P2TR, RECEIVE_P2WPKH
from leyden.wallet.weights import fee_sat, input_fee_sat, transaction_weight
from tests.wallet.coins import CHANGE_PATH, CHANGE_SCRIPT, KEYRING, coin
from tests.wallet.wallet_world import wallet_signer


@pytest.mark.parametrize("count", [1, 2, 30, 252, 253, 300])
@pytest.mark.parametrize("chain", [RECEIVE_P2WPKH, RECEIVE_P2TR])
def test_the_weight_is_known_before_signing(count: int, chain) -> None:  # type: ignore[no-untyped-def]
    """The counts of inputs grow by two bytes at 253."""
    coins = [coin(n, 100_000, chain) for n in range(count)]
    draft = build_all(coins, p2wsh(bytes(32)), SpendTerms(1_000, CHANGE_PATH, CHANGE_SCRIPT, 0, bytes(32)))
    assert draft is not None
    weight = sign(draft, KEYRING, wallet_signer()).weight()
    expected = transaction_weight(coins, draft.transaction.outputs)
    # About one ECDSA signature in 128 is a byte short, and a few are two.
    assert 0 <= expected - weight <= (0 if chain is RECEIVE_P2TR else 1 + count // 16)


@pytest.mark.parametrize(
    ("script", "weight"), [(p2wpkh(bytes(20)), 437), (p2wsh(bytes(32)), 485), (p2pkh(bytes(20)), 449)]
)
def test_known_weights(script: bytes, weight: int) -> None:
    """The figures that everybody knows: 110 vbytes for one P2WPKH input and output, 109.25 with a low R."""
    assert transaction_weight([coin(1, 1)], [TxOut(1, script)]) == weight


def test_fees_are_rounded_up_and_never_below_one_sat_per_vbyte() -> None:
    """Rounded down, a fee at the minimum does not relay."""
    assert fee_sat(438, 1_000) == fee_sat(440, 1_000) == 440
    assert fee_sat(439, 253) == 112
    assert fee_sat(437, 250) == 110
    assert fee_sat(437, 0) == 110
    assert input_fee_sat(coin(1, 1), 250) == 68
