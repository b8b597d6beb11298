"""Preimages behind a commitment that no block has: they go upstream, and nothing else of that commitment counts."""

import pytest

from leyden.bitcoin.tx import Transaction, TxIn
from leyden.channel.states import Normal
from leyden.manager import claiming
from leyden.manager import events as ev
from leyden.manager.onchain import blocks
from leyden.manager.state import Slot
from leyden.monitor.classify import SpendKind
from leyden.sim.books import balance_msat
from leyden.sim.consensus import Consensus
from leyden.sim.scenario import combinations
from tests.manager.onchain import scenes
from tests.manager.onchain.ending import Ending
from tests.manager.stage import Stage

CAROLS_MSAT = 490_000_000
"""What carol has in the channel, less what it costs to take it."""
PEER = {"bob": "carol", "carol": "bob"}


def chained(publisher: str) -> tuple[Transaction, Transaction]:
    """What `publisher` would publish of the channel of bob and carol, and carol's claim of the HTLC behind it."""
    twin = scenes.forwarded()
    scenes.close(twin, publisher, PEER[publisher])
    twin.mine()
    view = scenes.view(twin.slot("bob", "carol"))
    [htlc] = view.by_htlc[0]
    scenes.claim(twin)
    claim = twin.world.chain.pool_spends(htlc.outpoint)
    assert claim is not None
    return view.spend.transaction, claim


def link(stage: Stage, *, is_open: bool) -> None:
    """Open or close the link of bob and carol."""
    stage.world.links[("bob", "carol")] = is_open
    if not is_open:
        stage.world.cut("bob", "carol")


def parted(consensus: Consensus | None = None, *, with_later: bool = False) -> Stage:
    """bob and carol cannot reach each other, and an HTLC of alice's is between them.

    with_later: states came since, which revoked that in which the HTLC was new.
    """
    stage = scenes.forwarded()
    if consensus is not None:
        stage.world.validate = consensus
    if with_later:
        later = stage.invoice("carol", tag="later")
        stage.pay("alice", "carol", later, "later", deadline_seconds=scenes.PATIENT)
        stage.seconds(3)
    link(stage, is_open=False)
    stage.act()
    return stage


def offer(stage: Stage, *transactions: Transaction) -> None:
    """Somebody publishes these; nobody has seen them yet."""
    for one in transactions:
        result = stage.world.broadcast(one, "somebody's")
        assert result.accepted, result.reject_reason


def bobs_look(stage: Stage) -> None:
    """bob looks into the mempool until nothing there is new; nothing else happens."""
    while bob_can_look(stage):
        stage.world.perform(next(one for one in stage.world.enabled() if (one.kind, one.node) == ("mempool", "bob")))


def bob_can_look(stage: Stage) -> bool:
    """Whether something new waits for bob in the mempool."""
    return any((one.kind, one.node) == ("mempool", "bob") for one in stage.world.enabled())


def is_untouched(stage: Stage) -> bool:
    """Whether bob's channel with carol is what it was, apart from the preimage."""
    slot = stage.slot("bob", "carol")
    core, funding = slot.state.core, slot.state.keys.local_parameters.funding_outpoint
    watched = [outpoint for outpoint, known in stage.m("bob").watched.items() if known is slot]
    return (
        type(slot.state) is Normal
        and (core.spent, core.closing, slot.closed_view) == (None, None, None)
        and not (core.onchain_failed or core.output_spends or slot.onchain_claims or slot.anchor_claim)
        and watched == [funding]
    )


def paid_upstream(stage: Stage) -> bool:
    """Whether bob has what alice owed him for the HTLC, off chain."""
    return stage.payment("alice").sent is not None and not scenes.core(stage, "bob", "alice").inbound


# --- what is seen ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("publisher", ["bob", "carol"])
def test_preimage_behind_an_unconfirmed_commitment_settles_upstream_at_once(
    publisher: str, consensus: Consensus
) -> None:
    """The peer may chain its claim to either commitment; no block is waited for, and the channel is what it was."""
    parent, claim = chained(publisher)
    stage = parted(consensus)
    valid = consensus.valid
    offer(stage, parent, claim)
    assert consensus.valid == valid + 2
    height, broadcasts = stage.world.chain.tip.height, len(stage.world.broadcasts)
    stage.seconds(2)
    assert paid_upstream(stage)
    assert is_untouched(stage)
    assert (stage.world.chain.tip.height, len(stage.world.broadcasts)) == (height, broadcasts)
    scenes.claim(stage)
    stage.mine()
    stage.world.closes_asked[stage.slot("bob", "carol").channel_id] = True
    kind = {"bob": SpendKind.LOCAL, "carol": SpendKind.REMOTE}[publisher]
    assert scenes.view(stage.slot("bob", "carol")).spend.kind is kind
    assert not stage.told("alice", ev.PaymentFailed)
    scenes.finish(stage)


def test_claim_is_asked_for_once_its_commitment_is_known(consensus: Consensus) -> None:
    """Before, one question for each channel with an HTLC of ours; none when its preimage is known."""
    parent, claim = chained("carol")
    stage = parted(consensus)
    m, slot = stage.m("bob"), stage.slot("bob", "carol")
    funding, htlc = slot.state.keys.local_parameters.funding_outpoint, claim.inputs[0].prevout
    assert blocks.mempool_watch_list(m) == [funding]
    assert not blocks.mempool_watch_list(stage.m("carol")), "the HTLC is not hers"
    offer(stage, parent)
    bobs_look(stage)
    assert blocks.mempool_watch_list(m) == [funding, htlc]
    assert htlc not in m.watched, "blocks do not look for it"
    offer(stage, claim)
    bobs_look(stage)
    assert not blocks.mempool_watch_list(m)


def test_what_is_settled_off_chain_is_asked_for_no_more() -> None:
    """Not from the moment at which the peer has told the preimage; nor are outputs of HTLCs that are gone."""
    stage = parted()
    m, slot = stage.m("bob"), stage.slot("bob", "carol")
    funding = slot.state.keys.local_parameters.funding_outpoint
    offer(stage, chained("carol")[0])
    bobs_look(stage)
    assert len(blocks.mempool_watch_list(m)) == 2
    stage.world.evict()
    link(stage, is_open=True)
    question = stage.question("carol")
    stage["carol"].run(lambda m: claiming.claim_payment(m, question.set_id, b""))
    while blocks.mempool_watch_list(m):
        stage.world.perform(stage.world.enabled()[0])
    [htlc] = slot.state.core.outbound.values()
    assert htlc.removal is not None
    stage.seconds(2)
    assert not slot.state.core.outbound
    stage.pay("alice", "carol", stage.invoice("carol", tag="next"), "next", deadline_seconds=scenes.PATIENT)
    stage.seconds(3)
    assert slot.state.core.outbound
    assert blocks.mempool_watch_list(m) == [funding]


@pytest.mark.parametrize("reverse", [False, True])
def test_commitment_and_claim_may_be_told_at_once_in_any_order(reverse: bool) -> None:
    """Whoever looks has them as the mempool gives them."""
    found = chained("carol")
    stage = parted()
    told = tuple(reversed(found)) if reverse else found
    stage["bob"].run(lambda m: blocks.on_mempool_transactions(m, told))
    assert list(scenes.core(stage, "bob", "carol").onchain_preimages) == [0]


def test_preimage_behind_a_revoked_commitment_counts_too(consensus: Consensus) -> None:
    """The HTLC is still open; the store is not read before the commitment is in a block, and then all of it is ours."""
    parent, claim = chained("carol")
    stage = parted(consensus, with_later=True)
    m, slot = stage.m("bob"), stage.slot("bob", "carol")
    read: list[str] = []
    log = m.penalty_log

    def penalty_log(journal: str) -> bytes:
        read.append(journal)
        return log(journal)

    m.penalty_log = penalty_log
    stage.world.cheats[slot.channel_id] = ("carol", "bob")
    offer(stage, parent, claim)
    stage.seconds(2)
    assert stage.payment("alice").sent is not None
    assert stage.payment("alice", "later").is_live
    assert is_untouched(stage)
    assert not read
    before = balance_msat(stage["bob"])
    stage.mine()
    assert scenes.view(slot).spend.kind is SpendKind.REMOTE_REVOKED
    assert read == [slot.tail.journal]
    scenes.settle(stage)
    assert stage.payment("alice", "later").failed is not None
    assert not stage.slots("bob", "carol")
    assert balance_msat(stage["bob"]) > before + CAROLS_MSAT


def test_what_shows_nothing_is_no_preimage(consensus: Consensus) -> None:
    """A commitment alone, a spend by timeout or with another preimage, and a close that both have agreed on."""
    parent, claim = chained("carol")
    stage = parted(consensus)
    slot = stage.slot("bob", "carol")
    before = slot.tail.position
    [one] = claim.inputs
    others = [
        Transaction(2, (TxIn(one.prevout, b"", 0, (b"s", *witness)),), claim.outputs, 0)
        for witness in ((b"",), (b"p" * 32,), (bytes(32),))
    ]
    stage["bob"].run(lambda m: blocks.on_mempool_transactions(m, [parent, *others]))
    assert slot.tail.position == before
    assert is_untouched(stage)
    funding = slot.state.keys.local_parameters.funding_outpoint
    cooperative = Transaction(2, (TxIn(funding, b"", 0xFFFFFFFF, ()),), parent.outputs, 0)
    stage["bob"].run(lambda m: blocks.on_mempool_transactions(m, [cooperative]))
    assert not slot.unconfirmed_outputs
    assert slot.tail.position == before


@pytest.mark.parametrize("publisher", ["alice", "bob"])
def test_with_anchors_nothing_can_be_seen_before_the_commitment_is_in_a_block(
    publisher: str, consensus: Consensus
) -> None:
    """Every spend of an HTLC with its preimage waits for a block behind it, so nothing is asked for."""

    def begin() -> Ending:
        stage = Ending("anchors").held(1, 0)
        stage.world.validate = consensus
        assert not blocks.mempool_watch_list(stage.m("alice"))
        stage.part()
        stage.force(publisher)
        stage.world.closes_asked[stage.channel_id] = True
        return stage

    twin = begin()
    twin.mine()
    [htlc] = twin.htlcs(offered=True)
    assert blocks.mempool_watch_list(twin.m("alice")) == [htlc.outpoint]
    twin.claim("bob")
    claim = twin.waiting(htlc.outpoint)
    assert claim is not None
    stage = begin()
    commitment = stage.world.chain.pool_spends(stage.ours.state.keys.local_parameters.funding_outpoint)
    assert commitment is not None
    assert commitment.txid() == htlc.outpoint.txid
    for coin in claim.inputs[1:]:
        assert stage.world.chain.unspent(coin.prevout, include_mempool=False) is not None
    assert stage.world.broadcast(claim, "too early").reject_reason == "non-BIP68-final"
    assert not blocks.mempool_watch_list(stage.m("alice"))
    stage.mine()
    assert stage.world.broadcast(claim, "now").accepted
    stage.seconds(2)
    assert stage.payment("alice", "alice 0").sent is not None


# --- what becomes of it ----------------------------------------------------------------------------------------------


def test_commitment_that_is_evicted_leaves_the_channel_as_it_was() -> None:
    """Payments go on; the peer takes the HTLC off chain, and everybody has what is theirs."""
    stage = parted()
    offer(stage, *chained("carol"))
    stage.seconds(2)
    assert paid_upstream(stage)
    stage.world.evict()
    link(stage, is_open=True)
    scenes.claim(stage)
    stage.seconds(2)
    core = scenes.core(stage, "bob", "carol")
    assert not any((core.outbound, core.onchain_preimages, core.outcomes))
    assert is_untouched(stage)
    stage.prompt("carol", "claim")
    stage.pay("alice", "carol", stage.invoice("carol", tag="next"), "next")
    stage.check()
    assert stage.payment("alice", "next").sent is not None
    assert is_untouched(stage)


def test_preimage_stays_when_another_commitment_is_mined(consensus: Consensus) -> None:
    """carol showed it behind her own; ours is mined instead. Nothing is failed, and we have the refund of the HTLC that
    she does not take again.
    """
    stage = parted(consensus)
    parent, claim = chained("carol")
    offer(stage, parent, claim)
    stage.seconds(2)
    assert paid_upstream(stage)
    scenes.confirm(stage, scenes.commitment_of(stage, "bob", "carol"))
    slot = stage.slot("bob", "carol")
    assert scenes.view(slot).spend.kind is SpendKind.LOCAL
    assert not stage.world.chain.pool, "both are gone"
    [htlc] = scenes.view(slot).by_htlc[0]
    scenes.mine_to(stage, scenes.expiry(stage, "bob", "carol") + 20)
    assert scenes.view(slot).spenders[htlc.outpoint].transaction.inputs[0].witness[-2:-1] == (b"",), "the refund"
    scenes.settle(stage)
    assert not slot.state.core.onchain_failed
    assert not stage.told("alice", ev.PaymentFailed)


@pytest.mark.parametrize("first", ["bob", "carol"])
def test_outputs_of_the_last_spend_are_asked_for(first: str, consensus: Consensus) -> None:
    """One commitment takes the place of the other in the mempool, and comes back."""
    stage = parted(consensus)
    m, slot = stage.m("bob"), stage.slot("bob", "carol")
    parents = {publisher: chained(publisher)[0] for publisher in PEER}
    claims = {publisher: chained(publisher)[1].inputs[0].prevout for publisher in PEER}
    for publisher in (first, PEER[first], first):
        stage.world.evict()
        offer(stage, parents[publisher])
        bobs_look(stage)
        funding = slot.state.keys.local_parameters.funding_outpoint
        assert blocks.mempool_watch_list(m) == [funding, claims[publisher]]


def test_reorganisation_brings_the_commitment_back_to_the_mempool(consensus: Consensus) -> None:
    """What was closed is open again, and what is chained to its commitment is seen as before."""
    parent, claim = chained("carol")
    stage = parted(consensus)
    slot = stage.slot("bob", "carol")
    offer(stage, parent)
    stage.mine()
    assert slot.state.core.spent is not None
    scenes.replace(stage, 1)
    stage.act()
    assert slot.state.core.spent is None
    offer(stage, parent, claim)
    stage.seconds(2)
    assert paid_upstream(stage)
    assert slot.state.core.spent is None


def mempool_of_the_past() -> Stage:
    """bob has seen a preimage in the mempool this moment, nothing of it is durable, and the mempool has lost it."""
    stage = parted()
    offer(stage, *chained("carol"))
    bobs_look(stage)
    assert list(scenes.core(stage, "bob", "carol").onchain_preimages) == [0]
    stage.world.evict()
    return stage


def test_preimage_survives_every_crash_that_leaves_a_record_of_it() -> None:
    """The mempool shows it once; a crash after each step, with every prefix of every journal kept."""
    base = mempool_of_the_past()
    journals = [base.slot("bob", peer).tail.journal for peer in ("carol", "alice")]
    under_way: list[dict[str, int]] = [base["bob"].disk.under_way()]
    assert all(under_way[0][journal] for journal in journals)
    while base.world.enabled() and len(under_way) < 12:
        base.world.perform(base.world.enabled()[0])
        under_way.append(base["bob"].disk.under_way())
    forgotten, tried = 0, 0
    for step, counts in enumerate(under_way):
        for kept in combinations(counts):
            stage = mempool_of_the_past()
            for _ in range(step):
                stage.world.perform(stage.world.enabled()[0])
            stage.world.restart("bob", dict(kept))
            stage.act()
            stage.seconds(2)
            tried += 1
            if step == 0 and not any(dict(kept).get(journal) for journal in journals):
                forgotten += 1
                assert stage.payment("alice").is_live, "nobody has said anything"
            else:
                assert paid_upstream(stage)
            assert is_untouched(stage)
    assert forgotten
    assert tried > 12


def test_preimage_upstream_waits_for_no_record(consensus: Consensus) -> None:
    """It is its own proof (invariant P12): the journal of the channel that learnt it may hang."""
    stage = parted(consensus)
    slot = stage.slot("bob", "carol")
    stage["bob"].disk.held[slot.tail.journal] = None
    offer(stage, *chained("carol"))
    stage.seconds(2)
    assert slot.tail.durable < slot.tail.position
    assert paid_upstream(stage)
    stage["bob"].disk.held.clear()
    stage.act()
    assert is_untouched(stage)


# --- what the peer says later ----------------------------------------------------------------------------------------


def failed_off_chain(stage: Stage) -> None:
    """The mempool forgets; carol, who comes back, refuses the payment."""
    stage.world.evict()
    link(stage, is_open=True)
    question = stage.question("carol")
    stage["carol"].run(lambda m: claiming.fail_payment(m, question.set_id))
    stage.seconds(2)
    core = scenes.core(stage, "bob", "carol")
    assert not core.outbound
    assert is_untouched(stage)


@pytest.mark.parametrize("upstream", ["quick", "slow", "lost"])
def test_failure_after_the_preimage_takes_nothing_back(upstream: str) -> None:
    """bob has told it upstream and keeps what carol gives back, also when the record of that was still on its way."""
    stage = parted()
    before = balance_msat(stage["bob"])
    [inbound] = scenes.core(stage, "bob", "alice").inbound.values()
    journal = stage.slot("bob", "alice").tail.journal
    if upstream != "quick":
        stage["bob"].disk.held[journal] = None
    offer(stage, *chained("carol"))
    stage.seconds(2)
    assert (stage.payment("alice").sent is not None) == (upstream == "quick")
    failed_off_chain(stage)
    if upstream == "lost":
        stage.world.crash("bob", {stage.slot("bob", "carol").tail.journal: 99, journal: 0})
    stage["bob"].disk.held.clear()
    if upstream == "lost":
        stage["bob"].start()
    stage.act()
    stage.seconds(3)
    assert paid_upstream(stage)
    assert not stage.told("alice", ev.PaymentFailed)
    core = scenes.core(stage, "bob", "carol")
    assert not any((core.outcomes, core.onchain_preimages))
    assert not stage.m("bob").forwards
    assert balance_msat(stage["bob"]) - before == inbound.add.amount_msat + scenes.AMOUNT_MSAT


def refused_after_the_preimage() -> Stage:
    """bob has just seen the preimage in the mempool, which has lost it, and carol is about to refuse the payment."""
    stage = mempool_of_the_past()
    question = stage.question("carol")
    stage["carol"].run(lambda m: claiming.fail_payment(m, question.set_id))
    link(stage, is_open=True)
    return stage


def test_any_crash_between_the_preimage_and_the_failure_loses_nothing() -> None:
    """A crash after each step, with every prefix of every journal: while one has the preimage, upstream gets it."""
    base = refused_after_the_preimage()
    [inbound] = scenes.core(base, "bob", "alice").inbound.values()
    journals = [base.slot("bob", peer).tail.journal for peer in ("carol", "alice")]
    before = balance_msat(base["bob"])
    plan = [base["bob"].disk.under_way()]
    while base.world.enabled():
        base.world.perform(base.world.enabled()[0])
        plan.append(base["bob"].disk.under_way())
    assert len(plan) > 15
    for step, counts in enumerate(plan):
        for kept in combinations(counts):
            stage = refused_after_the_preimage()
            for _ in range(step):
                stage.world.perform(stage.world.enabled()[0])
            stage.world.restart("bob", dict(kept))
            stage.act()
            stage.seconds(2)
            won_msat = balance_msat(stage["bob"]) - before
            if step == 0 and not any(dict(kept).get(journal) for journal in journals):
                assert stage.payment("alice").failed is not None, "nobody has said anything else"
                assert won_msat == scenes.AMOUNT_MSAT
            else:
                assert paid_upstream(stage)
                assert won_msat == inbound.add.amount_msat + scenes.AMOUNT_MSAT
            assert is_untouched(stage)
            assert not scenes.core(stage, "bob", "carol").outcomes
            assert not stage.m("bob").forwards


@pytest.mark.parametrize("restarts", [False, True])
def test_own_payment_is_sent_once_whatever_the_peer_says_later(*, restarts: bool, consensus: Consensus) -> None:
    """The payer has its proof: a failure that follows is no reason to pay again."""

    def begin() -> tuple[Stage, Slot]:
        stage = scenes.held(scenes.double(), "bob")
        [slot] = [one for one in stage.slots("alice", "bob") if one.state.core.outbound]
        return stage, slot

    twin, slot = begin()
    twin.world.validate = consensus
    commitment = scenes.close(twin, "bob", "alice", twin.slots("alice", "bob").index(slot))
    twin.mine()
    scenes.claim(twin, "bob")
    view = scenes.view(slot)
    claim = twin.world.chain.pool_spends(view.by_htlc[0][0].outpoint)
    assert claim is not None
    assert commitment.own_commitment == view.spend.transaction.serialize()
    stage, slot = begin()
    stage.world.validate = consensus
    if restarts:
        stage["alice"].disk.held["node"] = None
    offer(stage, view.spend.transaction, claim)
    stage.seconds(2)
    assert list(slot.state.core.onchain_preimages) == [0]
    assert bool(stage.told("alice", ev.PaymentSent)) != restarts
    stage.world.evict()
    question = stage.question("bob")
    stage["bob"].run(lambda m: claiming.fail_payment(m, question.set_id))
    stage.seconds(2)
    assert not slot.state.core.outbound
    if restarts:
        stage.world.crash("alice", {slot.tail.journal: 99, "node": 0})
        stage["alice"].disk.held.clear()
        stage["alice"].start()
        stage.act()
    stage.seconds(3)
    assert stage.payment("alice").sent is not None
    assert len(stage.told("alice", ev.PaymentSent)) == 1
    assert not stage.told("alice", ev.PaymentFailed)
    cores = [one.state.core for one in stage.slots("alice", "bob")]
    assert not any(core.outbound or core.outcomes or core.onchain_preimages for core in cores)
    assert sum(core.next_outbound_id for core in cores) == 1, "it was offered once"
