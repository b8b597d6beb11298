"""Drafts: sums, fees, change and reserve for any coins and any wish."""

from hypothesis import given
from hypothesis import strategies as st

from leyden.bitcoin.tx import TxOut
from leyden.transactions.fees import dust_limit_for_script_sat
from leyden.wallet.building import Draft, SpendTerms, build, build_all, sign
from leyden.wallet.keys import RECEIVE_P2TR, RECEIVE_P2WPKH
from leyden.wallet.state import Coin
from leyden.wallet.weights import fee_sat
from tests.wallet.coins import CHANGE_PATH, CHANGE_SCRIPT, KEYRING, coin
from tests.wallet.wallet_world import ELSEWHERE, wallet_signer

COINS = st.lists(st.tuples(st.integers(300, 10**7), st.booleans()), min_size=1, max_size=12).map(
    lambda values: [coin(n, v, RECEIVE_P2TR if taproot else RECEIVE_P2WPKH) for n, (v, taproot) in enumerate(values)]
)
FEERATES = st.integers(250, 30_000)
RESERVES = st.sampled_from([0, 10_000, 50_000])
ENTROPY = st.binary(min_size=32, max_size=32)


def terms_of(feerate_per_kw: int, reserve_sat: int, entropy: bytes = bytes(32)) -> SpendTerms:
    """Terms with the first change key."""
    return SpendTerms(feerate_per_kw, CHANGE_PATH, CHANGE_SCRIPT, reserve_sat, entropy)


def check(draft: Draft, coins: list[Coin], terms: SpendTerms) -> None:
    """What holds for every draft."""
    signed = sign(draft, KEYRING, wallet_signer())
    assert signed.txid() == draft.transaction.txid()
    total = sum(c.value_sat for c in draft.coins)
    assert total == sum(o.value_sat for o in signed.outputs) + draft.fee_sat
    assert [tx_in.prevout for tx_in in signed.inputs] == [c.outpoint for c in draft.coins]
    least = fee_sat(signed.weight(), terms.feerate_per_kw)
    short = fee_sat(signed.weight() + 4 * len(draft.coins), terms.feerate_per_kw)
    if draft.change_path is not None:
        assert least <= draft.fee_sat <= short, "with change the fee is exact but for short signatures"
        assert draft.change_sat >= dust_limit_for_script_sat(CHANGE_SCRIPT)
        assert [o for o in signed.outputs if o.script_pubkey == CHANGE_SCRIPT] == [
            TxOut(draft.change_sat, CHANGE_SCRIPT)
        ]
    else:
        assert draft.change_sat == 0
        # What is not worth an output: its own cost, and the least that it would have to hold.
        change_cost = fee_sat(124 + 271, terms.feerate_per_kw) + 294 + 2
        assert least <= draft.fee_sat <= short + change_cost
    left = sum(c.value_sat for c in coins) - total + draft.change_sat
    assert left >= terms.reserve_sat


@given(COINS, st.lists(st.integers(330, 10**7), min_size=1, max_size=4), FEERATES, RESERVES, ENTROPY)
def test_a_draft_adds_up(
    coins: list[Coin], amounts: list[int], feerate_per_kw: int, reserve_sat: int, entropy: bytes
) -> None:
    """A satoshi that appears or vanishes is a rejected transaction or lost money."""
    terms = terms_of(feerate_per_kw, reserve_sat, entropy)
    outputs = [TxOut(amount, ELSEWHERE) for amount in amounts]
    draft = build(coins, outputs, terms)
    if draft is None:
        # Every coin with its own rounded fee, the largest possible overhead and the reserve with its change output.
        cost = fee_sat(400 + 172 * len(amounts), feerate_per_kw) + sum(fee_sat(275, feerate_per_kw) + 1 for _ in coins)
        assert sum(c.value_sat for c in coins) < sum(amounts) + reserve_sat + cost + 294
        return
    check(draft, coins, terms)
    assert [draft.transaction.outputs[i] for i in draft.output_indices] == outputs


@given(COINS, FEERATES, RESERVES)
def test_sending_all_leaves_the_reserve_exactly(coins: list[Coin], feerate_per_kw: int, reserve_sat: int) -> None:
    """All means all: nothing is left that a second call could send."""
    terms = terms_of(feerate_per_kw, reserve_sat)
    draft = build_all(coins, ELSEWHERE, terms)
    if draft is None:
        return
    check(draft, coins, terms)
    assert draft.change_sat == reserve_sat
    left = [c for c in coins if c not in draft.coins]
    assert build_all(left, ELSEWHERE, terms_of(feerate_per_kw, 0)) is None


def test_the_change_may_stand_anywhere() -> None:
    """An observer must not know which output is ours by its place."""
    outputs = [TxOut(10_000, ELSEWHERE), TxOut(20_000, ELSEWHERE)]
    places = set()
    for n in range(30):
        draft = build([coin(1, 10**6)], outputs, terms_of(1_000, 0, bytes([n]) * 32))
        assert draft is not None
        places.add([o.script_pubkey for o in draft.transaction.outputs].index(CHANGE_SCRIPT))
    assert places == {0, 1, 2}


def test_a_payment_to_the_change_key_is_not_taken_for_change() -> None:
    """The reserve is judged by what is left, not by what looks like ours."""
    draft = build([coin(1, 100_000)], [TxOut(90_000, CHANGE_SCRIPT)], terms_of(253, 50_000))
    assert draft is None
