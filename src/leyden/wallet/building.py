"""Transactions that spend the wallet's coins: chosen, with exact fees, and signed."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from leyden.bitcoin.bip32 import BIP86_PURPOSE
from leyden.bitcoin.script import p2wpkh_script_code
from leyden.bitcoin.sighash import (
    SIGHASH_ALL,
    SIGHASH_DEFAULT,
    Bip143Midstate,
    Bip341Midstate,
    sighash_v0,
    sighash_v1,
)
from leyden.bitcoin.tx import Transaction, TxIn, TxOut
from leyden.crypto.ec import signature_to_der
from leyden.journal.wallet_records import KeyPath
from leyden.transactions.fees import dust_limit_for_script_sat
from leyden.wallet.keys import Keyring, SignRequest, WalletSigner
from leyden.wallet.selection import MAX_INPUTS, choose_coins
from leyden.wallet.state import Coin
from leyden.wallet.weights import fee_sat, input_fee_sat, transaction_weight

_VERSION = 2
# Below the final values, so that the transaction may be replaced by one with a higher fee (BIP 125).
_SEQUENCE = 0xFFFFFFFD


class SpendTerms(msgspec.Struct, frozen=True):
    """How to spend.

    change_path, change_script: the key that a remainder goes to, and its script.
    reserve_sat: what must be left in the wallet.
    entropy: 32 bytes, for the choice of coins and the place of the change.
    """

    feerate_per_kw: int
    change_path: KeyPath
    change_script: bytes
    reserve_sat: int
    entropy: bytes


class Draft(msgspec.Struct, frozen=True):
    """A transaction without signatures; its txid is final, since every input is segwit.

    coins: what its inputs spend, in order. output_indices: where the outputs asked for are, in the order asked.
    change_path: the key of the change output, None without change (change_sat 0).
    """

    transaction: Transaction
    coins: tuple[Coin, ...]
    fee_sat: int
    output_indices: tuple[int, ...]
    change_path: KeyPath | None
    change_sat: int


def build(coins: Sequence[Coin], outputs: Sequence[TxOut], terms: SpendTerms) -> Draft | None:
    """Return a draft that pays `outputs`, or None when the coins do not reach for it and the reserve.

    coins: all that may be spent; what is not spent of them counts towards the reserve.
    """
    draft = _build(coins, outputs, outputs, terms)
    if draft is None or _left_sat(coins, draft) >= terms.reserve_sat:
        return draft
    # The reserve as an output of its own makes the choice reach for it; it becomes the change.
    reserve = TxOut(terms.reserve_sat, terms.change_script)
    draft = _build(coins, [*outputs, reserve], outputs, terms)
    return draft if draft is not None and _left_sat(coins, draft) >= terms.reserve_sat else None


def _build(coins: Sequence[Coin], wanted: Sequence[TxOut], outputs: Sequence[TxOut], terms: SpendTerms) -> Draft | None:
    chosen = choose_coins(coins, wanted, terms.feerate_per_kw, terms.change_script, terms.entropy)
    return _with_change(chosen, outputs, terms) if chosen is not None else None


def build_all(coins: Sequence[Coin], script_pubkey: bytes, terms: SpendTerms) -> Draft | None:
    """Return a draft that pays everything but fee and reserve to a script, or None when too little is left for that.

    Coins that cost more than they hold stay, and no more than `MAX_INPUTS` are spent.
    """
    worth = [coin for coin in coins if coin.value_sat > input_fee_sat(coin, terms.feerate_per_kw)]
    worth.sort(key=lambda coin: (-coin.value_sat, coin.txid, coin.vout))
    chosen, rest = worth[:MAX_INPUTS], worth[MAX_INPUTS:]
    reserve_sat = max(terms.reserve_sat - sum(coin.value_sat for coin in rest), 0)
    if reserve_sat:
        reserve_sat = max(reserve_sat, dust_limit_for_script_sat(terms.change_script))
    change = [TxOut(reserve_sat, terms.change_script)] if reserve_sat else []
    total_sat = sum(coin.value_sat for coin in chosen)
    weight = transaction_weight(chosen, [TxOut(0, script_pubkey), *change])
    fee = fee_sat(weight, terms.feerate_per_kw)
    amount_sat = total_sat - reserve_sat - fee
    if amount_sat < max(dust_limit_for_script_sat(script_pubkey), 1):
        return None
    return _assemble(chosen, [TxOut(amount_sat, script_pubkey)], reserve_sat, fee, terms)


def _left_sat(coins: Sequence[Coin], draft: Draft) -> int:
    unspent_sat = sum(coin.value_sat for coin in coins) - sum(coin.value_sat for coin in draft.coins)
    return unspent_sat + draft.change_sat


def _with_change(chosen: Sequence[Coin], outputs: Sequence[TxOut], terms: SpendTerms) -> Draft | None:
    """Work out fee and change exactly; a remainder that is not worth an output goes to the fee."""
    total_sat = sum(coin.value_sat for coin in chosen)
    remainder_sat = total_sat - sum(out.value_sat for out in outputs)
    weight = transaction_weight(chosen, [*outputs, TxOut(0, terms.change_script)])
    fee_with_change = fee_sat(weight, terms.feerate_per_kw)
    change_sat = remainder_sat - fee_with_change
    if change_sat >= _least_change_sat(terms):
        return _assemble(chosen, outputs, change_sat, fee_with_change, terms)
    least_fee = fee_sat(transaction_weight(chosen, outputs), terms.feerate_per_kw)
    return _assemble(chosen, outputs, 0, remainder_sat, terms) if remainder_sat >= least_fee else None


def _least_change_sat(terms: SpendTerms) -> int:
    coin = Coin(b"", 0, 0, terms.change_script, terms.change_path, is_coinbase=False, height=0, spent_height=0)
    return max(dust_limit_for_script_sat(terms.change_script), input_fee_sat(coin, terms.feerate_per_kw))


def _assemble(chosen: Sequence[Coin], outputs: Sequence[TxOut], change_sat: int, fee: int, terms: SpendTerms) -> Draft:
    coins = sorted(chosen, key=lambda coin: (coin.txid, coin.vout))
    places = list(outputs)
    indices = list(range(len(outputs)))
    if change_sat:
        # The first bytes of the entropy only: a few places make no bias that matters.
        place = int.from_bytes(terms.entropy[:8], "big") % (len(outputs) + 1)
        places.insert(place, TxOut(change_sat, terms.change_script))
        indices = [index + (index >= place) for index in indices]
    transaction = Transaction(
        _VERSION, tuple([TxIn(coin.outpoint, b"", _SEQUENCE) for coin in coins]), tuple(places), 0
    )
    spent_sat = sum(out.value_sat for out in places) + fee
    assert spent_sat == sum(coin.value_sat for coin in coins), "inputs are outputs and fee"
    return Draft(transaction, tuple(coins), fee, tuple(indices), terms.change_path if change_sat else None, change_sat)


def sign(draft: Draft, keyring: Keyring, signer: WalletSigner) -> Transaction:
    """Return the draft's transaction with all its witnesses (BIP 143 with low R; BIP 341 key path)."""
    spent = [TxOut(coin.value_sat, coin.script_pubkey) for coin in draft.coins]
    return sign_coins(draft.transaction, draft.coins, spent, keyring, signer)


def sign_coins(
    tx: Transaction, coins: Sequence[Coin], spent: Sequence[TxOut], keyring: Keyring, signer: WalletSigner
) -> Transaction:
    """Return a transaction with the witnesses of its last inputs, which spend `coins`; the others stay as they are.

    spent: what all inputs spend, in order, since BIP 341 signs it.
    """
    midstate_v0 = Bip143Midstate(tx)
    midstate_v1 = Bip341Midstate(tx, spent)
    first = len(tx.inputs) - len(coins)
    requests: list[SignRequest] = []
    for index, coin in enumerate(coins, first):
        if coin.path.purpose == BIP86_PURPOSE:
            digest = sighash_v1(tx, index, SIGHASH_DEFAULT, midstate_v1)
        else:
            script_code = p2wpkh_script_code(coin.script_pubkey[2:])
            digest = sighash_v0(tx, index, script_code, coin.value_sat, SIGHASH_ALL, midstate_v0)
        requests.append(SignRequest(coin.path, digest))
    signatures = signer.sign(requests)
    assert len(signatures) == len(requests), "a signature for each input"
    signed = [
        replace(tx_in, witness=_witness(coin, keyring, signature))
        for tx_in, coin, signature in zip(tx.inputs[first:], coins, signatures, strict=True)
    ]
    return replace(tx, inputs=tx.inputs[:first] + tuple(signed))


def _witness(coin: Coin, keyring: Keyring, signature: bytes) -> tuple[bytes, ...]:
    if coin.path.purpose == BIP86_PURPOSE:
        return (signature,)
    return (signature_to_der(signature) + bytes((SIGHASH_ALL,)), keyring.public_key(coin.path))
