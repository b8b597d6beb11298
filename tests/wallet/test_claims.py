"""Coins for claims: fees that are reached and not exceeded, replacement, lost races, the mempool that takes them."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from leyden.base.errors import CommandRejected
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.transactions.fees import ANCHOR_VALUE_SAT, dust_limit_for_script_sat, whole_vbytes
from leyden.wallet.building import sign_coins
from leyden.wallet.claims import MAX_CLAIM_COINS, ClaimDraft, ClaimTemplate, ClaimTerms, fund
from leyden.wallet.keys import RECEIVE_P2TR, RECEIVE_P2WPKH
from leyden.wallet.state import Coin
from leyden.wallet.wallet import ANCHOR_RESERVE_SAT, AddressKind
from leyden.wallet.weights import fee_sat, output_weight
from tests.wallet.coins import CHANGE_PATH, CHANGE_SCRIPT, KEYRING, coin
from tests.wallet.wallet_world import ELSEWHERE, FEERATE, WalletWorld, wallet_signer

COIN = 5_000_000_000
ANYBODY = b"\x51"
CHANGE_WEIGHT = output_weight(CHANGE_SCRIPT)
OWNER, OTHER = b"o" * 32, b"p" * 32


def with_witnesses(tx: Transaction, foreign: int) -> Transaction:
    """The transaction with what its first inputs need: anybody may spend them."""
    inputs = [replace(tx_in, witness=(ANYBODY,)) if n < foreign else tx_in for n, tx_in in enumerate(tx.inputs)]
    return replace(tx, inputs=tuple(inputs))


def template_of(
    prevouts: list[OutPoint], values: list[int], outputs: list[TxOut], parent: tuple[int, int] = (0, 0)
) -> ClaimTemplate:
    """A claim of outputs that anybody may spend. parent: its weight and fee."""
    tx = Transaction(2, tuple([TxIn(prevout, b"", 1) for prevout in prevouts]), tuple(outputs), 0)
    weight = with_witnesses(tx, len(prevouts)).weight()
    return ClaimTemplate(tx, tuple([TxOut(value, ELSEWHERE) for value in values]), weight, *parent)


def terms_of(feerate_per_kw: int, rivals_fee_sat: int = 0, fee_max_sat: int = COIN) -> ClaimTerms:
    """Terms with the first change key."""
    return ClaimTerms(feerate_per_kw, rivals_fee_sat, fee_max_sat, CHANGE_PATH, CHANGE_SCRIPT)


COINS = st.lists(st.tuples(st.integers(300, 10**6), st.booleans()), max_size=6)
TEMPLATES = st.builds(
    lambda values, paid, parent: template_of(
        [OutPoint(b"\xfe" * 32, n) for n in range(len(values))],
        values,
        [TxOut(value - value // 10 * cut, ELSEWHERE) for value, cut in zip(values, paid, strict=False)],
        parent,
    ),
    st.lists(st.integers(ANCHOR_VALUE_SAT, 10**6), min_size=1, max_size=4),
    st.lists(st.integers(0, 1), max_size=4),
    st.sampled_from([(0, 0), (1124, 300), (83_000, 21_000), (1124, 100_000)]),
)


def coins_of(first: int, values: list[tuple[int, bool]]) -> list[Coin]:
    """Coins with numbers from `first`; True is a taproot coin."""
    return [coin(first + n, value, RECEIVE_P2TR if tr else RECEIVE_P2WPKH) for n, (value, tr) in enumerate(values)]


def test_parent_is_paid_for() -> None:
    """A commitment below the mempool's minimum gets in with its child, at the feerate of both."""
    template = template_of([OutPoint(b"\xfe" * 32, 0)], [ANCHOR_VALUE_SAT], [], (1_124, 284))
    draft = fund(template, [[coin(1, 100_000)]], terms_of(10_000))
    assert isinstance(draft, ClaimDraft)
    weight = template.weight + CHANGE_WEIGHT + 271
    assert draft.fee_sat == (whole_vbytes(weight) + 1_124) * 10 - 284


def test_each_transaction_is_counted_in_whole_vbytes() -> None:
    """As mempools do: one sat/vB less by a rounding and the package is refused."""
    made = template_of([OutPoint(b"\xfe" * 32, 0)], [ANCHOR_VALUE_SAT], [])
    for weight, parent_weight in product(range(made.weight, made.weight + 4), range(1_124, 1_128)):
        template = replace(made, weight=weight, parent_weight=parent_weight, parent_fee_sat=284)
        draft = fund(template, [[coin(1, 100_000)]], terms_of(12_500))
        assert isinstance(draft, ClaimDraft)
        vsize = -(-(template.weight + CHANGE_WEIGHT + 271) // 4) + -(-parent_weight // 4)
        assert draft.fee_sat == 50 * vsize - 284


def test_fee_is_no_more_than_it_may_be_and_what_cannot_be_relayed_for_that_is_not_made() -> None:
    """The feerate gives way; what a replacement must pay cannot."""
    template = template_of([OutPoint(b"\xfe" * 32, 0)], [ANCHOR_VALUE_SAT], [], (1_124, 284))
    vsize = -(-(template.weight + CHANGE_WEIGHT + 271) // 4)
    draft = fund(template, [[coin(1, 100_000)]], terms_of(10_000, 3_000, 3_000 + vsize))
    assert isinstance(draft, ClaimDraft)
    assert draft.fee_sat == 3_000 + vsize
    with pytest.raises(CommandRejected, match=f"cost {3_000 + vsize} sat .* may cost {2_999 + vsize} sat") as refused:
        fund(template, [[coin(1, 100_000)]], terms_of(10_000, 3_000, 2_999 + vsize))
    assert refused.value.code == "fee_too_high"


def test_child_of_a_rich_parent_pays_for_itself() -> None:
    """Alone it must relay, whatever the parent pays."""
    template = template_of([OutPoint(b"\xfe" * 32, 0)], [ANCHOR_VALUE_SAT], [], (1_124, 10**6))
    draft = fund(template, [[coin(1, 100_000)]], terms_of(1_000))
    assert isinstance(draft, ClaimDraft)
    assert draft.fee_sat == -(-(template.weight + CHANGE_WEIGHT + 271 * len(draft.coins)) // 4)


@given(TEMPLATES, COINS, COINS, st.integers(250, 30_000), st.sampled_from([0, 0, 5_000]))
def test_the_fee_is_reached_and_no_more_than_dust_above(
    template: ClaimTemplate,
    first: list[tuple[int, bool]],
    second: list[tuple[int, bool]],
    feerate_per_kw: int,
    rivals_fee_sat: int,
) -> None:
    """A claim that pays too little is late; one that pays too much burns what it rescues."""
    groups = [coins_of(1, first), coins_of(100, second)]
    terms = terms_of(feerate_per_kw, rivals_fee_sat)
    draft = fund(template, groups, terms)
    foreign, paid = len(template.spent), len(template.transaction.outputs)

    def needed_sat(weight: int) -> int:
        vsize = -(-weight // 4) + -(-template.parent_weight // 4)
        together = -(-4 * vsize * feerate_per_kw // 1000) - template.parent_fee_sat
        return max(together, rivals_fee_sat - (-weight // 4))

    surplus_sat = sum(o.value_sat for o in template.spent) - sum(o.value_sat for o in template.transaction.outputs)
    if isinstance(draft, int):
        everything = [c for group in groups for c in group]
        cost = needed_sat(template.weight + CHANGE_WEIGHT + 8) + sum(fee_sat(275, feerate_per_kw) for _ in everything)
        assert sum(c.value_sat for c in everything) + surplus_sat < cost + 294
        # With that much more, in one coin, it works.
        assert isinstance(fund(template, [*groups, [coin(200, draft + 5 + paid)]], terms), ClaimDraft)
        return
    signed = with_witnesses(sign_coins(draft.transaction, draft.coins, draft.spent, KEYRING, wallet_signer()), foreign)
    assert draft.fee_sat == sum(o.value_sat for o in draft.spent) - sum(o.value_sat for o in signed.outputs)
    assert signed.inputs[:foreign] == with_witnesses(template.transaction, foreign).inputs
    assert signed.outputs[:paid] == template.transaction.outputs
    assert [i.prevout for i in signed.inputs[foreign:]] == [c.outpoint for c in draft.coins]
    assert signed.outputs, "a transaction without outputs is none"
    least = needed_sat(signed.weight())
    exact = needed_sat(signed.weight() + 4 * len(draft.coins))
    if draft.change_sat:
        assert least <= draft.fee_sat <= exact
        assert signed.outputs[paid:] == (TxOut(draft.change_sat, CHANGE_SCRIPT),)
        assert draft.change_sat >= dust_limit_for_script_sat(CHANGE_SCRIPT)
    else:
        assert signed.outputs[paid:] == ()
        assert least <= draft.fee_sat < exact + fee_sat(CHANGE_WEIGHT + 271, feerate_per_kw) + 294 + 2
    if surplus_sat >= needed_sat(template.weight) and paid:
        assert draft.coins == (), "what pays enough alone needs no coin"
    if draft.coins and draft.coins[-1] in groups[1]:
        without = [c for c in groups[0] if c not in draft.coins and c.value_sat > fee_sat(271, feerate_per_kw) + 1]
        assert without == [], "later coins come only when earlier ones do not suffice"


def test_the_smallest_coin_that_suffices_is_taken() -> None:
    """Large coins stay free for channels."""
    template = template_of([OutPoint(b"\xfe" * 32, 0)], [ANCHOR_VALUE_SAT], [])
    coins = [coin(n, value) for n, value in enumerate([50_000, 500, 4_000, 10**6], 1)]
    draft = fund(template, [coins], terms_of(1_000))
    assert isinstance(draft, ClaimDraft)
    assert [c.value_sat for c in draft.coins] == [4_000]


def test_no_more_coins_than_a_bound_are_taken() -> None:
    """A claim of a thousand dusty coins is no claim that a miner likes."""
    template = template_of([OutPoint(b"\xfe" * 32, 0)], [ANCHOR_VALUE_SAT], [])
    coins = [coin(n, 1_000) for n in range(1, 200)]
    draft = fund(template, [coins[:100], coins[100:]], terms_of(1_000, rivals_fee_sat=60_000))
    assert isinstance(draft, int)
    enough = fund(template, [coins], terms_of(1_000, rivals_fee_sat=MAX_CLAIM_COINS * 700))
    assert isinstance(enough, ClaimDraft)
    assert len(enough.coins) <= MAX_CLAIM_COINS


# ----------------------------------------------------------------------------------------------------------- on a chain


def anchors(world: WalletWorld, count: int, value_sat: int = ANCHOR_VALUE_SAT) -> list[OutPoint]:
    """Outputs in a block that anybody may spend."""
    draft = world.wallet.build_funding(b"anchors", [TxOut(value_sat, ELSEWHERE)] * count, FEERATE, 0, world.entropy())
    tx = world.publish(draft)
    world.mine(1)
    return [OutPoint(tx.txid(), vout) for vout in draft.output_indices]


def claim(
    world: WalletWorld, prevouts: list[OutPoint], feerate_per_kw: int = FEERATE, owner: bytes = OWNER
) -> tuple[ClaimDraft, Transaction]:
    """Fund, sign and give the wallet a claim without outputs."""
    template = template_of(prevouts, [ANCHOR_VALUE_SAT] * len(prevouts), [])
    draft = world.wallet.fund_claim(owner, template, feerate_per_kw, COIN)
    return draft, with_witnesses(world.wallet.sign(draft), len(prevouts))


def publish(world: WalletWorld, tx: Transaction) -> None:
    """As the node does it; the mempool must take it."""
    world.wallet.pending_transaction(tx)
    world.broadcast(tx)
    world.check()


@pytest.mark.parametrize("kind", list(AddressKind))
def test_claims_are_valid_and_come_home(world: WalletWorld, kind: AddressKind) -> None:
    """Bitcoin Core's rules look at the wallet's signatures beside a foreign input, of both kinds of keys."""
    world.fund(1)
    (anchor,) = anchors(world, 1)
    world.publish(world.wallet.send_all(ELSEWHERE, FEERATE, world.entropy()))
    script = world.fund(1, kind)
    before = world.wallet.balance().confirmed_sat
    draft, tx = claim(world, [anchor])
    assert [c.script_pubkey for c in draft.coins] == [script]
    assert [i.witness for i in world.wallet.sign(draft).inputs[:1]] == [()]
    assert world.wallet.balance().locked_sat == draft.coins[0].value_sat
    publish(world, tx)
    assert world.wallet.balance().locked_sat == 0
    world.mine(1)
    assert world.wallet.balance().confirmed_sat == before + ANCHOR_VALUE_SAT - draft.fee_sat


def test_claims_may_spend_the_reserve_of_anchor_channels(world: WalletWorld) -> None:
    """This is what it is kept for."""
    world.fund(1)
    (anchor,) = anchors(world, 1)
    world.wallet.anchor_channels = COIN // ANCHOR_RESERVE_SAT + 1
    assert world.wallet.balance().spendable_sat == 0
    publish(world, claim(world, [anchor])[1])


def test_newer_version_replaces_the_older_with_its_own_coins(world: WalletWorld) -> None:
    """The mempool takes the second for the first (BIP 125), and no balance counts both."""
    world.fund(3)
    (anchor,) = anchors(world, 1)
    total = world.wallet.balance().confirmed_sat
    first, tx = claim(world, [anchor])
    publish(world, tx)
    second, newer = claim(world, [anchor], FEERATE + 10)
    assert second.coins == first.coins
    assert second.change_path == first.change_path
    assert second.fee_sat >= first.fee_sat + newer.vsize()
    publish(world, newer)
    assert tx.txid() not in world.backend.pool
    balance = world.wallet.balance()
    assert balance.confirmed_sat + balance.unconfirmed_sat == total + ANCHOR_VALUE_SAT - second.fee_sat
    world.wallet.forget_pending(tx.txid())
    world.check()
    world.mine(1)
    assert world.wallet.balance().confirmed_sat == total + ANCHOR_VALUE_SAT - second.fee_sat


def test_claim_that_takes_an_input_of_another_one_replaces_that(world: WalletWorld) -> None:
    """Claims are grouped anew as deadlines near: fee and coins are those of all that fall away."""
    world.fund(4)
    outputs = anchors(world, 2)
    made = [claim(world, [outputs[n]], owner=(OWNER, OTHER)[n]) for n in range(2)]
    for _, tx in made:
        publish(world, tx)
    both, tx = claim(world, outputs, owner=b"q" * 32)
    assert both.coins[0] in made[0][0].coins + made[1][0].coins
    assert both.fee_sat >= made[0][0].fee_sat + made[1][0].fee_sat + tx.vsize()
    publish(world, tx)
    assert world.own_pending() == {tx.txid()}


def test_draft_that_is_made_again_frees_its_coins(world: WalletWorld) -> None:
    """Whatever was never published must not keep a coin."""
    world.fund(1)
    (anchor,) = anchors(world, 1)
    first, _ = claim(world, [anchor])
    second, tx = claim(world, [anchor], 2 * FEERATE)
    assert second.coins == first.coins
    with pytest.raises(CommandRejected, match="locked for fundings and claims") as refused:
        claim(world, [anchor], owner=OTHER)
    assert refused.value.code == "coins_in_use"
    world.wallet.forget_pending(tx.txid())
    assert world.wallet.balance().locked_sat == 0
    claim(world, [anchor], owner=OTHER)


def test_claim_that_loses_a_race_gives_its_coins_back(world: WalletWorld) -> None:
    """The peer's transaction spends the foreign input in a block; ours can never be mined, until a reorganisation."""
    world.fund(1)
    (anchor,) = anchors(world, 1)
    before = world.wallet.balance()
    _, tx = claim(world, [anchor])
    world.wallet.pending_transaction(tx)
    assert world.wallet.balance().confirmed_sat == 0
    assert world.wallet.balance().spendable_sat == 0, "change of a claim may be replaced"
    rival = Transaction(2, (TxIn(anchor, b"", 1, (ANYBODY,)),), (TxOut(0, b"\x6a" + bytes(40)),), 0)
    world.backend.submit_block(world.backend.make_block(ELSEWHERE, [rival]))
    world.sync()
    assert world.wallet.balance() == before
    world.leave(1)
    world.drop_pool()
    world.broadcast(tx)
    world.backend.mine(ELSEWHERE, 2)
    world.sync()
    assert world.own_pending() == set()


def test_change_of_a_claim_is_not_spent_before_a_block_holds_it(world: WalletWorld) -> None:
    """A payment that rests on a claim would vanish with the claim's next version."""
    world.fund(1)
    (anchor,) = anchors(world, 1)
    publish(world, claim(world, [anchor])[1])
    with pytest.raises(CommandRejected, match="more than can be spent"):
        world.send(10_000)
    world.mine(1)
    world.send(10_000)


def test_own_change_on_its_way_is_the_last_resort(world: WalletWorld) -> None:
    """A replacement that brings new unconfirmed inputs is refused by many; without any coin it must do."""
    world.fund(2)
    (anchor,) = anchors(world, 1)
    sent = world.send(10_000)
    draft, _ = claim(world, [anchor])
    assert all(c.height for c in draft.coins)
    world.wallet.release(OWNER)
    sent = world.send(COIN)
    draft, tx = claim(world, [anchor])
    assert [c.txid for c in draft.coins] == [sent.txid()]
    publish(world, tx)


def test_what_is_missing_is_said(world: WalletWorld) -> None:
    """The sentence is all that a user has when a deadline nears."""
    template = template_of([OutPoint(b"\xfe" * 32, 0)], [ANCHOR_VALUE_SAT], [], (1124, 0))
    with pytest.raises(CommandRejected, match=r"\d+ sat more than the coins .*0 sat in the wallet.*send") as refused:
        world.wallet.fund_claim(OWNER, template, 10_000, COIN)
    assert refused.value.code == "insufficient_funds"
    with pytest.raises(CommandRejected) as refused:
        world.wallet.fund_claim(OWNER, template, 10**6, COIN)
    assert refused.value.code == "feerate_too_high"


def test_coins_that_wait_for_a_block_are_told_apart_from_coins_that_are_missing(world: WalletWorld) -> None:
    """For these nobody has to send anything."""
    world.fund(1)
    first, second = anchors(world, 2)
    publish(world, claim(world, [first])[1])
    with pytest.raises(CommandRejected, match="wait for a block") as refused:
        claim(world, [second], owner=OTHER)
    assert refused.value.code == "coins_in_use"
    dear = template_of([second], [ANCHOR_VALUE_SAT], [], (60_000_000, 0))
    for blocks in (0, 1):
        world.mine(blocks)
        with pytest.raises(CommandRejected, match="send at least that") as refused:
            world.wallet.fund_claim(OTHER, dear, 100_000, 100 * COIN)
        assert refused.value.code == "insufficient_funds"
    claim(world, [second], owner=OTHER)


def test_rival_of_a_send_of_our_own_does_not_forget_it(world: WalletWorld) -> None:
    """What the wallet sent is durable, and what rests on it waits for a block or the user too."""
    world.fund(1)
    tx = world.send(10_000)
    change = next(c for c in world.wallet.coins() if not c.height)
    child = Transaction(2, (TxIn(change.outpoint, b"", 0),), (TxOut(5_000, world.address()),), 0)
    world.wallet.pending_transaction(child)
    world.wallet.pending_transaction(Transaction(2, tx.inputs, (TxOut(1_000, ELSEWHERE),), 0))
    assert {tx.txid(), child.txid()} <= world.own_pending()


def test_send_that_rests_on_a_loser_is_kept_as_an_orphan(world: WalletWorld) -> None:
    """Its record is durable; forgetting it in memory alone would bring it back at the next start."""
    world.fund(1)
    tx = world.wallet.sign(world.wallet.build_funding(OTHER, [TxOut(10_000, ELSEWHERE)], FEERATE, 0, world.entropy()))
    world.wallet.pending_transaction(tx)
    sent = world.wallet.sign(world.wallet.send(ELSEWHERE, 20_000, FEERATE, world.entropy()))
    world.record(world.wallet.sent(sent))
    world.wallet.pending_transaction(Transaction(2, tx.inputs, (TxOut(7_000, world.address()),), 0))
    assert world.wallet.balance().unconfirmed_sat == 7_000
    assert world.wallet.unconfirmed_transactions() == []
    assert sent.txid() in world.own_pending()


def test_version_with_other_inputs_still_replaces_the_older(world: WalletWorld) -> None:
    """What the older one claimed may be resolved; the coin makes the two exclude each other."""
    world.fund(3)
    outputs = anchors(world, 2)
    first, tx = claim(world, outputs[:1])
    publish(world, tx)
    second, newer = claim(world, outputs[1:], 2 * FEERATE)
    assert second.coins == first.coins
    publish(world, newer)
    assert world.own_pending() == {newer.txid()}


def test_older_version_published_again_does_not_forget_the_newer(world: WalletWorld) -> None:
    """A remote signer may take its time between draft and signature."""
    world.fund(1)
    (anchor,) = anchors(world, 1)
    _, tx = claim(world, [anchor])
    publish(world, tx)
    second, newer = claim(world, [anchor], 2 * FEERATE)
    world.wallet.pending_transaction(tx)
    publish(world, newer)
    third, _ = claim(world, [anchor], 253)
    assert third.fee_sat > second.fee_sat


def test_what_a_block_has_settled_replaces_nothing(world: WalletWorld) -> None:
    """A claim that lost long ago may be shown again after a restart, beside the one that goes on."""
    world.fund(2)
    outputs = anchors(world, 2)
    _, lost = claim(world, outputs)
    world.wallet.release(OWNER)
    rival = claim(world, outputs[:1])[1]
    publish(world, rival)
    world.mine(1)
    goes_on = Transaction(2, (TxIn(outputs[1], b"", 0),), (TxOut(300, world.address()),), 0)
    world.wallet.pending_transaction(goes_on)
    world.wallet.pending_transaction(lost)
    assert world.own_pending() == {goes_on.txid()}


@pytest.mark.parametrize("change_sat", [294, 2_000])
def test_claim_without_outputs_may_have_small_change(change_sat: int) -> None:
    """It needs an output; one that would cost more than it holds is better than no claim."""
    template = template_of([OutPoint(b"\xfe" * 32, 0)], [ANCHOR_VALUE_SAT], [])
    fee = (template.weight + CHANGE_WEIGHT + 271) * 10
    draft = fund(template, [[coin(1, fee + change_sat - ANCHOR_VALUE_SAT)]], terms_of(10_000))
    assert isinstance(draft, ClaimDraft)
    assert (draft.fee_sat, draft.change_sat) == (fee, change_sat)
