"""Mutants of what a node pays on the chain: for its commitment, for claims, against the other side."""

from typing import Any

import msgspec

from tests.mutants.mutant import Hit, answering, mutant

CLAIMS = "tests.manager.onchain.test_claims:"
BUMPING = "tests.manager.onchain.test_bumping:"
RIVALS = "tests.manager.onchain.test_rival_commitments:"


def _for_whatever_reason(original: Any, hit: Hit) -> Any:
    """Each refusal asks for more."""

    def on_result(active: Any, txid: bytes, accepted: bool, reason: str) -> None:
        original(active, txid, accepted, reason)
        if active.outbid:
            hit()
            active.outbid = False

    return on_result


def _a_hundredth(original: Any, hit: Hit) -> Any:
    def reach_sat(balance_sat: int, waited_blocks: int) -> int:
        if original(balance_sat, waited_blocks) > balance_sat // 100:
            hit()
        return balance_sat // 100

    return reach_sat


def _since_this_life(original: Any, hit: Hit) -> Any:
    """The curve begins when this life has published."""

    def stake(m: Any, slot: Any, possible: Any) -> Any:
        found = original(m, slot, possible)
        dues = tuple([due._replace(start_height=slot.published_height) for due in found.dues])
        if dues != found.dues:
            hit()
        return found._replace(dues=dues)

    return stake


def _one_for_all(original: Any, hit: Hit) -> Any:
    """The first deadline is that of all."""

    def due_sat(self: Any) -> Any:
        found = [(self.deadline_height, self.value_sat)]
        if found != original(self):
            hit()
        return found

    return due_sat


def _whoever_is_richest(original: Any, hit: Hit) -> Any:
    """The part that holds the most takes the place of the whole."""

    def heir(m: Any, active: Any, groups: Any) -> Any:
        found = original(m, active, groups)
        richest = max(groups, key=lambda group: sum(claim.input.value_sat for claim in group))
        if found is not None and found != richest:
            hit()
            return richest
        return found

    return heir


def _whoever_holds_one(original: Any, hit: Hit) -> Any:
    def parts(m: Any, active: Any, claims: Any) -> Any:
        outbid, active.outbid = active.outbid, False
        found = original(m, active, claims)
        active.outbid = outbid
        if found != original(m, active, claims):
            hit()
        return found

    return parts


def _by_weight(original: Any, hit: Hit) -> Any:
    def whole_vbytes(weight: int) -> int:
        if original(weight) != weight:
            hit()
        return weight

    return whole_vbytes


def _whatever_it_costs(original: Any, hit: Hit) -> Any:
    def fee_sat(template: Any, chosen: Any, terms: Any, *, with_change: bool) -> int:
        hit()
        return original(template, chosen, msgspec.structs.replace(terms, fee_max_sat=1 << 60), with_change=with_change)

    return fee_sat


MUTANTS = (
    mutant(
        "refusals ask for more while the peer's commitment waits",
        "manager.onchain.bumping:on_result",
        _for_whatever_reason,
        why="two honest ends outbid each other up to half of what is at stake",
        guards="S3",
        scenarios=(f"{RIVALS}test_two_honest_ends_do_not_outbid_each_other",),
    ),
    mutant(
        "the peer's commitment is left alone up to the deadline",
        "monitor.feerates:patience_height",
        answering(1 << 32),
        why="whoever holds our place with what no miner takes gets the HTLC",
        guards="S3",
        scenarios=(f"{RIVALS}test_commitment_that_nobody_mines_is_replaced_in_time_to_claim_behind_ours",),
    ),
    mutant(
        "commitment without HTLCs stays below the minimum",
        "monitor.feerates:reach_sat",
        _a_hundredth,
        why="a balance stays locked while fees are high",
        guards="S3",
        scenarios=(f"{BUMPING}test_commitment_without_an_htlc_gets_in_above_a_high_minimum",),
    ),
    mutant(
        "fee of a child begins anew with each life",
        "manager.onchain.bumping:_stake",
        _since_this_life,
        why="after a restart near a deadline there is no time to rise",
        guards="S3; P15",
        scenarios=(
            f"{BUMPING}test_restart_shortly_before_the_deadline_pays_what_the_life_before_would_have_paid[blocks_left=2]",
        ),
    ),
    mutant(
        "packages are paid for by weight",
        "wallet.claims:whole_vbytes",
        _by_weight,
        why="a package at the minimum of the mempool is refused by a rounding",
        guards="S3",
        scenarios=("tests.wallet.test_claims:test_each_transaction_is_counted_in_whole_vbytes",),
    ),
    mutant(
        "claims replace older ones whatever that costs",
        "wallet.claims:_fee_sat",
        _whatever_it_costs,
        why="the wallet pays more for a claim than the claim may cost",
        guards="S3",
        scenarios=(
            "tests.wallet.test_claims:test_fee_is_no_more_than_it_may_be_and_what_cannot_be_relayed_for_that_is_not_made",
        ),
    ),
    mutant(
        "small outputs spend what large ones are worth",
        "manager.onchain.active:ActiveClaim.due_sat",
        _one_for_all,
        why="a peer adds an HTLC that expires early, and miners get half of the others",
        guards="S3",
        scenarios=(f"{CLAIMS}test_output_that_is_due_first_spends_half_of_itself_and_then_goes_alone",),
    ),
    mutant(
        "batches stay whole while mempools have another spend of one output",
        "manager.onchain.claims:_parts",
        _whoever_holds_one,
        why="who pays for one output holds all of them up to their deadline",
        guards="S3",
        scenarios=(f"{CLAIMS}test_batch_of_which_the_peer_takes_one_in_mempools_parts_for_nothing",),
    ),
    mutant(
        "the richest part takes the place of a batch",
        "manager.onchain.claims:_heir",
        _whoever_is_richest,
        why="what may wait pays for what is urgent, and the urgent part pays once more",
        guards="S3",
        scenarios=(f"{CLAIMS}test_most_urgent_part_takes_the_place_of_a_batch",),
    ),
)
