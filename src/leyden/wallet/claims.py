"""Coins that pay the fee of a claim: added behind the inputs that are there, with a change output behind the outputs.

What is there stays in its place: signatures of a peer may commit to an input and the output beside it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from leyden.base.errors import CommandRejected
from leyden.bitcoin.tx import WITNESS_SCALE_FACTOR, Transaction, TxIn, TxOut, compact_size
from leyden.journal.wallet_records import KeyPath
from leyden.transactions.fees import dust_limit_for_script_sat, whole_vbytes
from leyden.wallet.state import Coin
from leyden.wallet.weights import (
    INPUT_WEIGHT_P2WPKH,
    fee_sat,
    input_fee_sat,
    input_weight,
    output_weight,
)

MAX_CLAIM_COINS = 50
"""A claim is to stay small; whoever has only smaller coins than that is told to send a larger one."""

_SEQUENCE = 0xFFFFFFFD


class ClaimTemplate(msgspec.Struct, frozen=True):
    """A claim without coins.

    transaction: unsigned; it may have no outputs. spent: what its inputs spend, in order. weight: of it as it is,
    signed. parent_weight, parent_fee_sat: of an unconfirmed transaction that it also pays for, 0 when there is none.
    """

    transaction: Transaction
    spent: tuple[TxOut, ...]
    weight: int
    parent_weight: int
    parent_fee_sat: int


class ClaimTerms(msgspec.Struct, frozen=True):
    """How to pay for it.

    feerate_per_kw: of it and its parent together, by virtual size; less when that is above fee_max_sat.
    rivals_fee_sat: what the transactions pay that it replaces; it pays more (BIP 125). 0 when it replaces none.
    fee_max_sat: what it may pay.
    change_path, change_script: the key that a remainder goes to, and its script.
    """

    feerate_per_kw: int
    rivals_fee_sat: int
    fee_max_sat: int
    change_path: KeyPath
    change_script: bytes


class ClaimDraft(msgspec.Struct, frozen=True):
    """A claim with coins, without signatures.

    spent: what its inputs spend, in order. coins: what the last of them spend. change_path: the key of the change
    output, which is the last, None without change (change_sat 0).
    """

    transaction: Transaction
    spent: tuple[TxOut, ...]
    coins: tuple[Coin, ...]
    fee_sat: int
    change_path: KeyPath | None
    change_sat: int


def fund(template: ClaimTemplate, coins: Iterable[Sequence[Coin]], terms: ClaimTerms) -> ClaimDraft | int:
    """Return a draft that pays what is asked for, or by how many satoshis the coins fall short of it.

    It pays more only by what is not worth a change output.

    Args:
        coins: groups of coins that may be spent, each ascending (`free_coins.place_of`), each asked for and used only
            when those before it do not suffice.

    Raises:
        CommandRejected: what it must pay to be relayed, or to replace others, is above `fee_max_sat` (`fee_too_high`).
    """
    chosen: list[Coin] = []
    draft = _with(template, chosen, terms)
    if isinstance(draft, int):
        for group in coins:
            draft = _with_group(template, chosen, group, terms, draft)
            if not isinstance(draft, int):
                break
    # Whatever is sent to make up for it costs an input.
    return draft + fee_sat(INPUT_WEIGHT_P2WPKH, terms.feerate_per_kw) if isinstance(draft, int) else draft


def _with_group(
    template: ClaimTemplate, chosen: list[Coin], group: Sequence[Coin], terms: ClaimTerms, short_sat: int
) -> ClaimDraft | int:
    """Use the smallest coin that suffices, else the largest ones together that are worth their input; what was used in
    vain goes to `chosen`.

    group: ascending in value. short_sat: how much is missing before.
    """
    room = MAX_CLAIM_COINS - len(chosen)
    if not room:
        return short_sat
    smallest = bisect_left(group, True, key=lambda coin: not isinstance(_with(template, [*chosen, coin], terms), int))
    if smallest < len(group):
        return _with(template, [*chosen, group[smallest]], terms)
    for coin in reversed(group[-room:]):
        if coin.value_sat <= input_fee_sat(coin, terms.feerate_per_kw):
            continue
        chosen.append(coin)
        draft = _with(template, chosen, terms)
        if not isinstance(draft, int):
            return draft
        short_sat = draft
    return short_sat


def _with(template: ClaimTemplate, chosen: Sequence[Coin], terms: ClaimTerms) -> ClaimDraft | int:
    """Return the draft with these coins, or how many satoshis are missing."""
    tx = template.transaction
    available_sat = sum(out.value_sat for out in template.spent) + sum(coin.value_sat for coin in chosen)
    remainder_sat = available_sat - sum(out.value_sat for out in tx.outputs)
    with_change_sat = _fee_sat(template, chosen, terms, with_change=True)
    change_sat = remainder_sat - with_change_sat
    if change_sat >= _least_change_sat(terms, is_needed=not tx.outputs):
        return _assemble(template, chosen, with_change_sat, change_sat, terms)
    if not tx.outputs:
        return _least_change_sat(terms, is_needed=True) - change_sat
    least_sat = _fee_sat(template, chosen, terms, with_change=False)
    if remainder_sat < least_sat:
        return least_sat - remainder_sat
    return _assemble(template, chosen, remainder_sat, 0, terms)


def _least_change_sat(terms: ClaimTerms, *, is_needed: bool) -> int:
    dust_sat = dust_limit_for_script_sat(terms.change_script)
    return dust_sat if is_needed else max(dust_sat, -(-INPUT_WEIGHT_P2WPKH * terms.feerate_per_kw // 1000))


def _fee_sat(template: ClaimTemplate, chosen: Sequence[Coin], terms: ClaimTerms, *, with_change: bool) -> int:
    tx = template.transaction
    counts = [(len(tx.inputs), len(chosen)), (len(tx.outputs), with_change)]
    grown = sum(len(compact_size(old + new)) - len(compact_size(old)) for old, new in counts)
    weight = template.weight + WITNESS_SCALE_FACTOR * grown + sum(input_weight(coin) for coin in chosen)
    if with_change:
        weight += output_weight(terms.change_script)
    # Mempools round the size of each transaction up by itself.
    whole = whole_vbytes(weight) + whole_vbytes(template.parent_weight)
    together_sat = fee_sat(whole, terms.feerate_per_kw) - template.parent_fee_sat
    # Alone it must relay; and a replacement adds what relaying itself costs to the fees of those that it replaces.
    least_sat = terms.rivals_fee_sat + fee_sat(weight, 0)
    if least_sat > terms.fee_max_sat:
        what = f"it would cost {least_sat} sat to be relayed, and may cost {terms.fee_max_sat} sat"
        raise CommandRejected(what, code="fee_too_high")
    return max(min(together_sat, terms.fee_max_sat), least_sat)


def _assemble(
    template: ClaimTemplate, chosen: Sequence[Coin], fee: int, change_sat: int, terms: ClaimTerms
) -> ClaimDraft:
    tx = template.transaction
    added = tuple([TxIn(coin.outpoint, b"", _SEQUENCE) for coin in chosen])
    change = (TxOut(change_sat, terms.change_script),) if change_sat else ()
    whole = replace(tx, inputs=tx.inputs + added, outputs=tx.outputs + change)
    spent = template.spent + tuple([TxOut(coin.value_sat, coin.script_pubkey) for coin in chosen])
    paid_sat = sum(out.value_sat for out in whole.outputs) + fee
    assert paid_sat == sum(out.value_sat for out in spent), "inputs are outputs and fee"
    return ClaimDraft(whole, spent, tuple(chosen), fee, terms.change_path if change_sat else None, change_sat)
