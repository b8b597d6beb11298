"""Who paid, and who took what: chains made by hand, in which the answer is known."""

from collections.abc import Sequence

import pytest

from leyden.bitcoin.script import p2wpkh, p2wpkh_of_key, p2wsh_of_script
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.crypto.hashes import hash160
from leyden.demo.errors import DemoFailed
from leyden.demo.onchain.ledger import FIRST_SUBSIDY_SAT, Channel, Ledger, PaidFee, kind_of
from leyden.transactions.fees import ANCHOR_VALUE_SAT
from leyden.transactions.keys import CommitmentKeys
from leyden.transactions.scripts import anchor_script, htlc_scripts, revocable_script, to_remote_anchors_script

KEY, REVOCATION = b"\x02" + bytes(32), b"\x03" + bytes(32)
SIGNATURE = bytes(71)
KEYS = CommitmentKeys(KEY, REVOCATION, KEY, KEY, KEY, KEY, KEY, KEY)
HTLCS = htlc_scripts(KEYS, anchors=True)
OFFERED, RECEIVED = HTLCS.offered(bytes(20)), HTLCS.received(bytes(20), 500)
DELAYED = revocable_script(REVOCATION, 12, KEY)
PURSES = {p2wpkh(bytes([number]) * 20): name for number, name in enumerate(("alice", "bob"), 1)}
SCRIPTS = {name: script for script, name in PURSES.items()}


def coinbase(height: int, value_sat: int, script: bytes = b"\x51") -> Transaction:
    """The first transaction of a block."""
    return Transaction(2, (TxIn(OutPoint(bytes(32), height), b"", 0),), (TxOut(value_sat, script),), 0)


def spend(coins: Sequence[tuple[Transaction, int, tuple[bytes, ...]]], outputs: Sequence[TxOut]) -> Transaction:
    """Coins: transaction, index of the output, witness."""
    inputs = [TxIn(OutPoint(of.txid(), index), b"", 0, witness) for of, index, witness in coins]
    return Transaction(2, tuple(inputs), tuple(outputs), 0)


def of_script(value_sat: int, script: bytes) -> TxOut:
    """An output that a witness script guards."""
    return TxOut(value_sat, p2wsh_of_script(script))


PURSE = coinbase(1, FIRST_SUBSIDY_SAT, SCRIPTS["alice"])
BOBS_PURSE = coinbase(2, FIRST_SUBSIDY_SAT, SCRIPTS["bob"])
FUNDING = spend(
    [(PURSE, 0, ())],
    [TxOut(100_000, p2wsh_of_script(b"funding")), TxOut(FIRST_SUBSIDY_SAT - 100_300, SCRIPTS["alice"])],
)
COMMITMENT = spend(
    [(FUNDING, 0, (b"",))],
    [
        of_script(ANCHOR_VALUE_SAT, anchor_script(KEY)),
        of_script(ANCHOR_VALUE_SAT, anchor_script(REVOCATION)),
        of_script(20_000, DELAYED),
        of_script(30_000, to_remote_anchors_script(KEY)),
        of_script(9_000, OFFERED),
        of_script(8_000, RECEIVED),
    ],
)
COMMITMENT_FEE_SAT = 100_000 - 2 * ANCHOR_VALUE_SAT - 67_000
CHILD = spend(
    [(COMMITMENT, 0, (SIGNATURE, anchor_script(KEY))), (BOBS_PURSE, 0, ())],
    [TxOut(FIRST_SUBSIDY_SAT + ANCHOR_VALUE_SAT - 5_000, SCRIPTS["bob"])],
)
FIRST_STAGE = spend([(COMMITMENT, 4, (b"", SIGNATURE, SIGNATURE, b"", OFFERED))], [of_script(8_900, DELAYED)])
"""Signed whole, without a coin of a wallet: nothing in it says whose it is."""
PREIMAGE_CLAIM = spend(
    [(COMMITMENT, 5, (SIGNATURE, bytes(32), RECEIVED)), (COMMITMENT, 3, (SIGNATURE, to_remote_anchors_script(KEY)))],
    [TxOut(37_800, SCRIPTS["alice"])],
)
SWEEP = spend(
    [(COMMITMENT, 2, (SIGNATURE, b"", DELAYED)), (FIRST_STAGE, 0, (SIGNATURE, b"", DELAYED))],
    [TxOut(28_500, SCRIPTS["bob"])],
)
PENALTY = spend(
    [(COMMITMENT, 2, (SIGNATURE, b"\x01", DELAYED)), (FIRST_STAGE, 0, (SIGNATURE, b"\x01", DELAYED))],
    [TxOut(28_500, SCRIPTS["alice"])],
)
CHANNEL = Channel("alice", "bob", OutPoint(FUNDING.txid(), 0))


def ledger(*transactions: Transaction) -> Ledger:
    """The books of a chain whose last block holds these, and whose miner collected what they pay."""
    fees_sat = {
        FUNDING.txid(): 300,
        COMMITMENT.txid(): COMMITMENT_FEE_SAT,
        CHILD.txid(): 5_000,
        FIRST_STAGE.txid(): 100,
        PREIMAGE_CLAIM.txid(): 200,
        SWEEP.txid(): 400,
        PENALTY.txid(): 400,
    }
    collected_sat = FIRST_SUBSIDY_SAT + sum([fees_sat.get(one.txid(), 0) for one in transactions])
    blocks = [[PURSE], [BOBS_PURSE], [coinbase(3, collected_sat), *transactions]]
    return Ledger(blocks, PURSES.get, [CHANNEL])


def paid(fees: Sequence[PaidFee]) -> list[tuple[str, str, int]]:
    """What matters of them."""
    return [(one.kind, one.payer, one.fee_sat) for one in fees]


def test_each_transaction_is_paid_for_by_the_one_whose_value_goes_in() -> None:
    """Opening and commitment by the opener; a child by whose coins it spends; claims by whom they pay."""
    books = ledger(FUNDING, COMMITMENT, CHILD, FIRST_STAGE, PREIMAGE_CLAIM, SWEEP)
    assert paid(books.fees) == [
        ("open", "alice", 300),
        ("close", "alice", COMMITMENT_FEE_SAT),
        ("claim", "bob", 5_000),
        ("claim", "bob", 100),
        ("claim", "alice", 200),
        ("claim", "bob", 400),
    ]
    assert [one.from_coins for one in books.fees] == [True, False, True, False, False, False]
    assert books.miners_sat == sum([one.fee_sat for one in books.fees])
    assert (books.fees_sat("bob", "claim"), books.fees_sat("bob", "close")) == (5_500, 0)


def test_anchors_are_the_openers_until_somebody_takes_them() -> None:
    """Their value is no fee: it is still there, or another one's."""
    books = ledger(FUNDING, COMMITMENT, CHILD, FIRST_STAGE, PREIMAGE_CLAIM, SWEEP)
    assert books.anchors_sat == {"alice": -2 * ANCHOR_VALUE_SAT, "bob": ANCHOR_VALUE_SAT}
    assert books.left_sat == ANCHOR_VALUE_SAT


def test_all_that_is_there_is_somebodys() -> None:
    """What wallets own, what miners got and what is left in anchors is what was put in."""
    books = ledger(FUNDING, COMMITMENT, CHILD, FIRST_STAGE, PREIMAGE_CLAIM, SWEEP)
    assert sum(books.owned_sat.values()) + books.miners_sat + books.left_sat == 2 * FIRST_SUBSIDY_SAT
    assert books.owned_sat["alice"] == FIRST_SUBSIDY_SAT - 100_300 + 37_800


def test_first_stage_that_is_punished_was_the_other_ones() -> None:
    """The victim takes its output, and has not published it."""
    books = ledger(FUNDING, COMMITMENT, FIRST_STAGE, PREIMAGE_CLAIM, PENALTY)
    assert ("claim", "bob", 100) in paid(books.fees)
    punished = [(one.kind, one.by, one.value_sat) for one in books.taken if one.by_revocation]
    assert punished == [("to_local", "alice", 20_000), ("second_stage", "alice", 8_900)]


def test_outputs_are_told_apart_by_their_scripts() -> None:
    """An HTLC that a cheater offered, and one that it received, must both be seen to be punished."""
    outputs = COMMITMENT.outputs
    scripts = [anchor_script(KEY), anchor_script(KEY), DELAYED, to_remote_anchors_script(KEY), OFFERED, RECEIVED]
    witnesses = [TxIn(OutPoint(bytes(32), 0), b"", 0, (SIGNATURE, script)) for script in scripts]
    kinds = [kind_of(output, one) for output, one in zip(outputs, witnesses, strict=True)]
    assert kinds == ["anchor", "anchor", "to_local", "to_remote", "offered_htlc", "received_htlc"]
    of_a_key = TxIn(OutPoint(bytes(32), 0), b"", 0, (SIGNATURE, KEY))
    assert kind_of(TxOut(1, p2wpkh_of_key(KEY)), of_a_key) == "to_remote"
    plain = htlc_scripts(KEYS, anchors=False)
    for script, kind in ((plain.offered(bytes(20)), "offered_htlc"), (plain.received(bytes(20), 500), "received_htlc")):
        assert kind_of(of_script(1, script), TxIn(OutPoint(bytes(32), 0), b"", 0, (SIGNATURE, script))) == kind


@pytest.mark.parametrize("script", [OFFERED, RECEIVED])
def test_punished_htlc_shows_the_revocation_key(script: bytes) -> None:
    """The same output taken with a preimage is a payment, not a punishment."""
    assert hash160(REVOCATION) in script
    index = 4 if script == OFFERED else 5
    rest: list[tuple[Transaction, int, tuple[bytes, ...]]] = [
        (COMMITMENT, 9 - index, (SIGNATURE, REVOCATION, OFFERED if index == 5 else RECEIVED))
    ]
    rest += [
        (COMMITMENT, 2, (SIGNATURE, b"\x01", DELAYED)),
        (COMMITMENT, 3, (SIGNATURE, to_remote_anchors_script(KEY))),
    ]
    for second, is_punished in ((REVOCATION, True), (bytes(32), False)):
        claim = spend([(COMMITMENT, index, (SIGNATURE, second, script)), *rest], [TxOut(60_000, SCRIPTS["alice"])])
        books = ledger(FUNDING, COMMITMENT, claim)
        assert [one.by_revocation for one in books.taken] == [is_punished, True, True, False]


def test_output_that_nobody_has_taken_is_seen() -> None:
    """At the end nothing may be left but anchors."""
    with pytest.raises(DemoFailed, match="nobody has taken"):
        ledger(FUNDING, COMMITMENT, CHILD, PREIMAGE_CLAIM)
    with pytest.raises(DemoFailed, match="nobody has taken"):
        ledger(FUNDING, COMMITMENT, CHILD, FIRST_STAGE)


def test_transaction_of_two_nodes_is_refused() -> None:
    """Who pays its fee cannot be said; no node makes one."""
    both = spend([(COMMITMENT, 0, (SIGNATURE, anchor_script(KEY))), (BOBS_PURSE, 0, ())], [TxOut(1, SCRIPTS["alice"])])
    with pytest.raises(DemoFailed, match="bob and alice"):
        ledger(FUNDING, COMMITMENT, both)


def test_transaction_of_no_channel_is_refused() -> None:
    """Nobody was asked to make it."""
    with pytest.raises(DemoFailed, match="of no channel"):
        ledger(spend([(PURSE, 0, ())], [TxOut(1, SCRIPTS["alice"])]))
