"""The choice of coins by the library."""

from hypothesis import given
from hypothesis import strategies as st

from leyden.bitcoin.tx import TxOut
from leyden.wallet.keys import RECEIVE_P2TR, RECEIVE_P2WPKH
from leyden.wallet.selection import MAX_INPUTS, choose_coins
from leyden.wallet.weights import fee_sat, input_fee_sat, output_weight, transaction_weight
from tests.wallet.coins import CHANGE_SCRIPT, coin
from tests.wallet.wallet_world import ELSEWHERE

ENTROPY = bytes(range(32))


def test_an_exact_match_makes_no_change() -> None:
    """Change is an output to pay for now and an input to pay for later."""
    coins = [coin(n, value) for n, value in enumerate([100_000, 250_000, 400_000, 3_000_000])]
    weight = transaction_weight(coins[1:3], [TxOut(0, ELSEWHERE)])
    wanted = [TxOut(650_000 - fee_sat(weight, 1_000) - 20, ELSEWHERE)]
    chosen = choose_coins(coins, wanted, 1_000, CHANGE_SCRIPT, ENTROPY)
    assert chosen is not None
    assert sorted(c.value_sat for c in chosen) == [250_000, 400_000]


def test_the_same_entropy_draws_the_same_coins() -> None:
    """A replay must make the same transaction."""
    coins = [coin(n, 100_000 + n) for n in range(60)]
    wanted = [TxOut(1_234_567, ELSEWHERE)]
    draws = [choose_coins(coins, wanted, 1_000, CHANGE_SCRIPT, bytes([n]) * 32) for n in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    assert draws[0] == choose_coins(coins[::-1], wanted, 1_000, CHANGE_SCRIPT, bytes([1]) * 32)


def test_coins_that_cost_more_than_they_hold_are_left() -> None:
    """Adding one makes the payment dearer, never possible."""
    coins = [coin(1, 5_000), coin(2, 60_000)]
    assert choose_coins(coins, [TxOut(10_000, ELSEWHERE)], 20_000, CHANGE_SCRIPT, ENTROPY) == [coins[1]]
    assert choose_coins(coins[:1], [TxOut(1_000, ELSEWHERE)], 20_000, CHANGE_SCRIPT, ENTROPY) is None
    assert choose_coins([], [TxOut(1_000, ELSEWHERE)], 1_000, CHANGE_SCRIPT, ENTROPY) is None


def test_a_transaction_stays_relayable_however_many_coins_there_are() -> None:
    """Above the standard weight nobody takes it."""
    coins = [coin(n, 1_000 + n) for n in range(MAX_INPUTS + 500)]
    everything = sum(c.value_sat - input_fee_sat(c, 253) for c in coins)
    assert choose_coins(coins, [TxOut(everything - 1_000, ELSEWHERE)], 253, CHANGE_SCRIPT, ENTROPY) is None
    chosen = choose_coins(coins, [TxOut(1_100_000, ELSEWHERE)], 253, CHANGE_SCRIPT, ENTROPY)
    assert chosen is not None
    assert transaction_weight(chosen, [TxOut(0, ELSEWHERE)]) <= 400_000


@given(
    st.lists(st.tuples(st.integers(300, 10**7), st.booleans()), max_size=25),
    st.integers(330, 10**8),
    st.integers(250, 50_000),
    st.binary(min_size=32, max_size=32),
)
def test_coins_are_found_exactly_when_they_reach(
    values: list[tuple[int, bool]], amount_sat: int, feerate_per_kw: int, entropy: bytes
) -> None:
    """A payment that the wallet can make must not be refused, and one it cannot make must not be tried."""
    coins = [coin(n, v, RECEIVE_P2TR if taproot else RECEIVE_P2WPKH) for n, (v, taproot) in enumerate(values)]
    wanted = [TxOut(amount_sat, ELSEWHERE)]
    chosen = choose_coins(coins, wanted, feerate_per_kw, CHANGE_SCRIPT, entropy)
    worth = [c for c in coins if c.value_sat > input_fee_sat(c, feerate_per_kw)]
    if chosen is None:
        # Rounding of the fee of each input, and nothing else, may stand between.
        missing = amount_sat + fee_sat(transaction_weight(worth, wanted), feerate_per_kw)
        assert sum(c.value_sat for c in worth) < missing + 4 + 2 * len(worth)
        return
    assert len({c.outpoint for c in chosen}) == len(chosen)
    assert all(c in worth for c in chosen)
    fee = fee_sat(transaction_weight(chosen, wanted), feerate_per_kw)
    assert sum(c.value_sat for c in chosen) >= amount_sat + fee
    assert output_weight(ELSEWHERE) == 172
