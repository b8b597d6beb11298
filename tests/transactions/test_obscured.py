"""The hidden commitment number."""

from hypothesis import given
from hypothesis import strategies as st

from leyden.bitcoin.tx import Transaction
from leyden.transactions.obscured import COMMITMENT_NUMBER_MAX, obscure, obscuring_factor, reveal
from tests.transactions.bolt03_vectors import APPENDIX_C, LOCAL, PARAMS, REMOTE

NUMBERS = st.integers(0, COMMITMENT_NUMBER_MAX)


def test_factor_and_number_equal_appendix_c() -> None:
    """The opener's basepoint comes first; the other order hides another number."""
    factor = obscuring_factor(LOCAL.payment_basepoint, REMOTE.payment_basepoint)
    assert f"{factor:012x}" == PARAMS["obscure_factor"]
    assert factor != obscuring_factor(REMOTE.payment_basepoint, LOCAL.payment_basepoint)
    for test in APPENDIX_C["tests"]:
        tx = Transaction.parse(bytes.fromhex(test["commit_tx"]))
        assert reveal(tx.locktime, tx.inputs[0].sequence, factor) == PARAMS["commitment_number"]


@given(NUMBERS, NUMBERS)
def test_number_comes_back(number: int, factor: int) -> None:
    """A revoked commitment on chain is recognised by this number only."""
    locktime, sequence = obscure(number, factor)
    assert locktime >> 24 == 0x20
    assert sequence >> 24 == 0x80
    assert reveal(locktime, sequence, factor) == number


def test_other_transactions_are_not_commitments() -> None:
    """A cooperative close spends the funding output too and has no number."""
    assert reveal(0, 0xFFFFFFFF, 5) is None
    assert reveal(0x20000001, 0xFFFFFFFD, 5) is None
    assert reveal(800_000, 0x80000001, 5) is None
