"""Mutants of what a node does on the chain: what counts when, what is claimed, what a reorganisation undoes."""

from typing import Any

import msgspec

from leyden.journal.records import FundingSpent, OutputSpent
from leyden.manager.onchain.views import take_in_spends, view_of
from leyden.monitor.resolution import revealed
from tests.mutants.mutant import Hit, Make, answering, early, mutant, nothing

HAZARDS_OUT = "tests.hazards.test_chain_outcomes:"
HAZARDS_CLAIM = "tests.hazards.test_chain_claims:"
OUTCOMES = "tests.manager.onchain.test_outcomes:"
BLOCKS = "tests.manager.onchain.test_blocks:"
SWEEPING = "tests.manager.onchain.test_sweeping:"
UNCONFIRMED = "tests.manager.onchain.test_unconfirmed_commitments:"
WITHDRAWING = "tests.manager.test_withdrawing:"
ARCHIVE = "tests.manager.test_archive:"


def _at(**depths: int) -> Make:
    """Other depths than those of the settings."""

    def make(original: Any, hit: Hit) -> Any:
        def depths_of(m: Any) -> Any:
            hit()
            return msgspec.structs.replace(original(m), **depths)

        return depths_of

    return make


def _not_those_of_the_chain(original: Any, hit: Hit) -> Any:
    """A preimage that the chain has shown is handed on when it is seen, and in no later life."""

    def on_outcomes(m: Any, slot: Any, htlc_ids: Any) -> None:
        shown = slot.state.core.onchain_preimages
        if any(htlc_id in shown for htlc_id in htlc_ids):
            hit()
        original(m, slot, tuple([htlc_id for htlc_id in htlc_ids if htlc_id not in shown]))

    return on_outcomes


def _as_in_a_block(_original: Any, hit: Hit) -> Any:
    def expect_spend(m: Any, slot: Any, transaction: Any) -> None:
        hit()
        m.learn(slot, FundingSpent(transaction.serialize(), m.env.block_height, bytes(32)))
        view_of(m, slot)

    return expect_spend


def _forgets_what_was_shown(original: Any, hit: Hit) -> Any:
    def received_revocation(core: Any, record: Any) -> None:
        if core.onchain_preimages:
            hit()
            core.onchain_preimages.clear()
        original(core, record)

    return received_revocation


def _keeps_what_was_shown(original: Any, hit: Hit) -> Any:
    def withdrawn(core: Any, record: Any) -> None:
        shown = dict(core.onchain_preimages)
        original(core, record)
        if shown != core.onchain_preimages:
            hit()
            core.onchain_preimages.update(shown)

    return withdrawn


def _forgets_fulfils(original: Any, hit: Hit) -> Any:
    """HTLCs that were fulfilled off chain are judged like any other."""

    def resolve(core: Any, keys: Any, view: Any, height: int, depths: Any) -> Any:
        kept = {htlc_id: htlc.removal for htlc_id, htlc in core.outbound.items()}
        before = original(core, keys, view, height, depths)
        for htlc in core.outbound.values():
            if htlc.removal is not None and htlc.removal.preimage:
                htlc.removal = None
        found = original(core, keys, view, height, depths)
        for htlc_id, removal in kept.items():
            core.outbound[htlc_id].removal = removal
        if found != before:
            hit()
        return found

    return resolve


def _shown_to_all_of_its_hash(original: Any, hit: Hit) -> Any:
    def preimages_of(core: Any, output: Any, spending: Any) -> Any:
        named = dict(original(core, output, spending))
        for htlc_id, htlc in core.outbound.items():
            preimage = revealed(spending, htlc.add.payment_hash)
            if preimage and htlc_id not in named:
                hit()
                named[htlc_id] = preimage
        return list(named.items())

    return preimages_of


def _any_of_its_hash(original: Any, hit: Hit) -> Any:
    def preimage(core: Any, htlc: Any, terms: Any) -> Any:
        found = original(core, htlc, terms)
        others = [one.preimage for one in core.inbound.values() if one.add.payment_hash == htlc.payment_hash]
        if not found and any(others):
            hit()
            return next(one for one in others if one)
        return found

    return preimage


def _waits_for_records(original: Any, hit: Hit) -> Any:
    def update(m: Any, slot: Any) -> None:
        if slot.tail.durable < slot.tail.position:
            hit()
            return
        original(m, slot)

    return update


def _acts_not_at_all(_original: Any, hit: Hit) -> Any:
    def act_without_store(self: Any) -> None:
        if self.manager.take_actions():
            hit()

    return act_without_store


def _takes_part_without_the_fence(original: Any, hit: Hit) -> Any:
    def is_fenced(self: Any) -> bool:
        if original.fget(self):
            hit()
        return False

    return property(is_fenced)


def _told_twice(_original: Any, hit: Hit) -> Any:
    def on_spend(m: Any, slot: Any, transaction: Any, height: int, block_hash: bytes) -> None:
        hit()
        m.learn(slot, OutputSpent(transaction.serialize(), height, block_hash))
        take_in_spends(m, slot)

    return on_spend


def _outcomes_wait_for_nobody(original: Any, hit: Hit) -> Any:
    def has_facts(slot: Any) -> Any:
        core = slot.state.core
        outcomes, core.outcomes = core.outcomes, {}
        found = original(slot)
        core.outcomes = outcomes
        if outcomes and not found:
            hit()
        return found

    return has_facts


def _without_delay(original: Any, hit: Hit) -> Any:
    def unlock_height(core: Any, keys: Any, output: Any) -> Any:
        if original(core, keys, output) > output.height:
            hit()
        return output.height

    return unlock_height


def _whatever_was_spent(_original: Any, hit: Hit) -> Any:
    def unspent(self: Any) -> Any:
        if self.spenders:
            hit()
        return list(self.outputs.values())

    return unspent


def _no_second_stage(_original: Any, hit: Hit) -> Any:
    def second_stages(*_values: Any) -> tuple[()]:
        hit()
        return ()

    return second_stages


def _stays_whole(original: Any, hit: Hit) -> Any:
    """A claim is kept as it was when an input of it is gone."""

    def wanted(m: Any, slot: Any) -> Any:
        found = original(m, slot)
        for claim in [claim for active in slot.onchain_claims for claim in active.claims]:
            if claim.input.outpoint not in found:
                hit()
                found[claim.input.outpoint] = claim
        return found

    return wanted


def _as_at_first(original: Any, hit: Hit) -> Any:
    """The fee stays what it was when the claim was made."""

    def wanted_feerate(m: Any, active: Any, weight: int, height: int) -> Any:
        feerate = original(m, active, weight, height)
        if active.feerate_per_kw and feerate > active.feerate_per_kw:
            hit()
            return active.feerate_per_kw
        return feerate

    return wanted_feerate


def _made_again_at_each_block(original: Any, hit: Hit) -> Any:
    """The sweep of this life is forgotten with each block."""

    def update(m: Any, feerate_per_kw: int | None = None) -> None:
        if m.sweep is not None:
            hit()
            m.sweep = None
        original(m, feerate_per_kw)

    return update


MUTANTS = (
    mutant(
        "preimage of the chain is told in one life alone",
        "manager.handoff:on_outcomes",
        _not_those_of_the_chain,
        why="the crash that loses the inbound decision loses the money",
        guards="P8; S15",
        scenarios=(f"{OUTCOMES}test_preimage_is_told_again_until_upstream_is_durable",),
    ),
    mutant(
        "preimage of the chain waits for its record",
        "manager.handoff:on_onchain_preimage",
        nothing,
        why="while the store hangs the HTLC upstream times out",
        guards="P12",
        scenarios=(f"{OUTCOMES}test_preimage_on_the_chain_settles_upstream_before_it_is_durable",),
    ),
    mutant(
        "preimage in the mempool is not looked at",
        "manager.onchain.blocks:_look_for_preimages",
        nothing,
        why="a peer whose transaction miners leave out is paid after the HTLC upstream has gone back",
        guards="P12",
        scenarios=(f"{OUTCOMES}test_preimage_in_the_mempool_settles_upstream_at_once",),
    ),
    mutant(
        "commitments in the mempool are not looked at",
        "manager.onchain.blocks:expect_spend",
        nothing,
        why="a claim behind a commitment that miners leave out is seen after the HTLC upstream has gone back",
        guards="P12",
        scenarios=(f"{UNCONFIRMED}test_commitment_and_claim_may_be_told_at_once_in_any_order[reverse=False]",),
    ),
    mutant(
        "commitment in the mempool counts as one in a block",
        "manager.onchain.blocks:expect_spend",
        _as_in_a_block,
        why="it is evicted, and what was a channel is waited for on the chain for ever",
        guards="S16; S17",
        scenarios=(f"{UNCONFIRMED}test_commitment_that_is_evicted_leaves_the_channel_as_it_was",),
    ),
    mutant(
        "failure of the peer wins over a preimage of the mempool",
        "channel.fold:_FOLDS[ReceivedRevocation]",
        _forgets_what_was_shown,
        why="what could be had upstream goes back, and a payment that its payee can prove is made again",
        guards="S15",
        scenarios=(f"{UNCONFIRMED}test_failure_after_the_preimage_takes_nothing_back[upstream='lost']",),
    ),
    mutant(
        "id is given again with the preimage of another HTLC",
        "channel.fold:_FOLDS[Withdrawn]",
        _keeps_what_was_shown,
        why="the failure of the HTLC that has the id next is taken for an old story, and upstream is left without it",
        guards="P18; S15",
        scenarios=(f"{WITHDRAWING}test_preimage_that_was_seen_goes_upstream_before_its_id_is_given_again",),
    ),
    mutant(
        "id is given again before the preimage of its HTLC is upstream",
        "manager.withdrawing:_has_outcomes",
        answering(False),
        why="the outcome of the HTLC that has the id next takes its place, and a crash the one that was upstream",
        guards="P8; P18",
        scenarios=(f"{WITHDRAWING}test_preimage_that_was_seen_goes_upstream_before_its_id_is_given_again",),
    ),
    mutant(
        "failed upstream with the first block",
        "manager.onchain.outcomes:depths_of",
        _at(failure=1),
        why="in the next branch of the chain the HTLC is claimed, and was given back",
        guards="S8",
        scenarios=(f"{OUTCOMES}test_forward_is_failed_upstream_when_the_timeout_is_deep",),
    ),
    mutant(
        "own payment failed six blocks deep",
        "manager.onchain.outcomes:depths_of",
        _at(own_failure=6),
        why="it is made again, and the first one is claimed in another branch",
        guards="S8; promise 4",
        scenarios=(f"{HAZARDS_OUT}test_own_payment_that_failed_on_chain_is_made_again_only_when_that_is_irrevocable",),
    ),
    mutant(
        "outcome of a new block handed on at start before it is durable",
        "manager.rebuild:start",
        early,
        why="upstream is failed, and the next life does not know why",
        guards="P7; P15",
        scenarios=(f"{HAZARDS_OUT}test_what_a_start_finds_in_new_blocks_waits_for_its_record",),
    ),
    mutant(
        "chain fails what was fulfilled",
        "manager.onchain.outcomes:resolve",
        _forgets_fulfils,
        why="a commitment without the output takes back what was paid",
        guards="S15",
        scenarios=(f"{OUTCOMES}test_fulfil_wins_over_what_the_chain_says",),
    ),
    mutant(
        "preimage on the chain fulfils all HTLCs of its hash",
        "monitor.resolution:preimages_of",
        _shown_to_all_of_its_hash,
        why="one is paid for, and two are claimed upstream",
        guards="S4",
        scenarios=(f"{OUTCOMES}test_twins_are_told_apart_by_their_ids[taken=0]",),
    ),
    mutant(
        "claims on the chain take HTLCs by hash",
        "monitor.claimable:_preimage",
        _any_of_its_hash,
        why="an HTLC is taken that nobody has decided to take",
        guards="S4",
        scenarios=(f"{HAZARDS_OUT}test_of_two_htlcs_that_are_alike_one_is_taken_and_one_comes_back[restarts=False]",),
    ),
    mutant(
        "claims wait for records",
        "manager.onchain.claims:update",
        _waits_for_records,
        why="whoever waits for our store to hang takes what is ours",
        guards="S3",
        scenarios=(f"{HAZARDS_CLAIM}test_known_preimage_is_claimed_without_a_store[how='hangs']",),
    ),
    mutant(
        "nothing leaves when the store is lost",
        "node.runtime:Runtime._act_without_store",
        _acts_not_at_all,
        why="a lost disk lets the peer cheat",
        guards="S3; P24",
        scenarios=(f"{HAZARDS_CLAIM}test_penalty_goes_out_without_a_store[how='is lost']",),
    ),
    mutant(
        "claims go on without the fence",
        "node.runtime:Runtime.is_fenced",
        _takes_part_without_the_fence,
        why="two lives bid against each other for every output with the coins of one wallet",
        guards="S3; P23",
        scenarios=(f"{HAZARDS_CLAIM}test_life_that_lost_the_store_leaves_the_chain_to_the_next_one[what='penalty']",),
    ),
    mutant(
        "preimage on the chain before all parts have the claim",
        "manager.onchain.claims:_is_held_back",
        answering(False),
        why="one part is taken, and the others fail back",
        guards="P11; S3",
        scenarios=(f"{HAZARDS_CLAIM}test_preimage_of_one_part_is_in_no_transaction_before_every_part_has_the_claim",),
    ),
    mutant(
        "decided preimage is not used on the chain",
        "monitor.claimable:_preimage",
        answering(b""),
        why="what was taken from a closed channel goes back at its expiry",
        guards="S3",
        scenarios=(f"{HAZARDS_CLAIM}test_late_preimage_takes_what_is_left",),
    ),
    mutant(
        "what was spent is claimed again",
        "monitor.closed:ClosedView.unspent",
        _whatever_was_spent,
        why="a claim with one input that is gone takes none of the others",
        guards="S3",
        scenarios=("tests.monitor.test_claimable:test_what_was_spent_is_not_claimed_again",),
    ),
    mutant(
        "penalty log is not read",
        "node.runtime:Runtime._penalty_rows",
        answering(b""),
        why="HTLCs of an old state stay with the peer that published it",
        guards="P25",
        scenarios=(f"{HAZARDS_CLAIM}test_old_state_is_taken_with_its_htlcs[compacted=True]",),
    ),
    mutant(
        "second stages are not watched",
        "monitor.closed:second_stages",
        _no_second_stage,
        why="a cheat takes its HTLCs one step on, and is safe; our own second stages are lost",
        guards="S3",
        scenarios=("tests.monitor.test_watched:test_outputs_of_htlc_transactions_are_watched_too",),
    ),
    mutant(
        "undone spends of outputs are kept",
        "manager.onchain.blocks:disconnect",
        nothing,
        why="an output that is unspent again is not claimed again",
        guards="P16; S3; promise 11",
        scenarios=(f"{BLOCKS}test_what_a_reorganisation_undid_is_undone_in_the_journal",),
    ),
    mutant(
        "spend of an output is recorded again",
        "manager.onchain.blocks:on_spend",
        _told_twice,
        why="a journal grows with each rescan",
        guards="P9",
        scenarios=(f"{BLOCKS}test_spend_is_recorded_once",),
    ),
    mutant(
        "journal dropped while an outcome of it waits",
        "manager.archive:_has_facts",
        _outcomes_wait_for_nobody,
        # Whoever owns a forward names its channel too, and nothing is archived while a journal hangs.
        ("manager.archive:_named", answering({})),
        why="the preimage is gone with the journal that had it",
        guards="P26; P8",
        scenarios=(f"{HAZARDS_OUT}test_outcome_for_a_channel_that_has_stopped_keeps_its_journal",),
    ),
    mutant(
        "journal dropped while an output of it is unspent",
        "monitor.resolution:open_outputs",
        answering(()),
        why="nobody knows any more how to spend it",
        guards="P26",
        scenarios=(f"{ARCHIVE}test_output_that_is_ours_keeps_it_until_it_is_swept_for_good[forced_by='alice']",),
    ),
    mutant(
        "outputs are ours before their delay",
        "monitor.resolution:unlock_height",
        _without_delay,
        why="the user is told of money that cannot be spent yet",
        guards="S3",
        scenarios=(f"{SWEEPING}test_output_waits_for_its_lock_and_for_its_depth",),
    ),
    mutant(
        "events of channels are told in one life alone",
        "manager.handoff:raise_events_again",
        nothing,
        why="outputs that became ours are known to a handler that never came to its end",
        guards="P20",
        scenarios=(f"{OUTCOMES}test_spendable_outputs_are_told_until_they_are_acknowledged",),
    ),
    mutant(
        "claim stays whole though an input of it was taken",
        "manager.onchain.claims:_wanted",
        _stays_whole,
        why="whoever takes one output of a penalty keeps all the others too",
        guards="S3",
        scenarios=(f"{HAZARDS_CLAIM}test_what_is_left_of_a_batch_is_claimed_again",),
    ),
    mutant(
        "fee of a claim does not rise towards its deadline",
        "manager.onchain.claims:wanted_feerate",
        _as_at_first,
        why="the output is open to the other side before miners take our claim",
        guards="S3",
        scenarios=(f"{HAZARDS_CLAIM}test_claim_that_waits_pays_more_the_nearer_its_deadline_is",),
    ),
    mutant(
        "other branch is not noticed by what it has at a height",
        "manager.chain:_forget_other_block",
        nothing,
        why="a node that was down while the chain changed rests on blocks that are gone",
        guards="P16; promise 11",
        scenarios=("tests.manager.test_chain:test_reorganisation_while_the_node_was_down[kept=True]",),
    ),
    mutant(
        "other branch of an output's spend is not noticed",
        "manager.onchain.blocks:forget_other_block",
        nothing,
        why="an output counts as spent by a block that is gone",
        guards="P16; promise 11",
        scenarios=(f"{HAZARDS_OUT}test_spend_of_an_output_that_no_branch_has_any_more_is_undone_at_the_start",),
    ),
    mutant(
        "claims and sweeps are not taken up at start",
        "manager.onchain.blocks:go_on",
        nothing,
        why="until the next block nobody claims, and it may be the last one before a deadline",
        guards="P15; S3",
        scenarios=(f"{HAZARDS_CLAIM}test_claim_is_published_again_at_the_start",),
    ),
    mutant(
        "sweep is made anew at each block",
        "manager.onchain.sweeping:update",
        _made_again_at_each_block,
        why="what waits is never offered twice with one feerate, and pays less than what it should replace",
        guards="S3",
        scenarios=(f"{SWEEPING}test_sweep_that_waits_long_pays_more_now_and_then",),
    ),
)
