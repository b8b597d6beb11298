"""Coins of the wallet for a claim that cannot pay its own fee. Works without a store too: nothing of it is durable."""

from leyden.base.errors import CommandRejected
from leyden.manager.actions import FundClaim
from leyden.manager.onchain import claims
from leyden.node.runtime import Runtime
from leyden.wallet.claims import ClaimTemplate


def fund_claim(runtime: Runtime, action: FundClaim) -> None:
    """Add coins and change, sign the coins, and tell the manager; what it no longer wants costs no coins."""
    wallet, claim_id = runtime.wallet, action.claim_id
    template = ClaimTemplate(
        action.transaction, action.spent, action.weight, action.parent_weight, action.parent_fee_sat
    )
    try:
        draft = wallet.fund_claim(claim_id, template, action.feerate_per_kw, action.fee_max_sat)
        transaction = wallet.sign(draft)
    except CommandRejected as error:
        reason, too_dear, in_use = error.what, error.code == "fee_too_high", error.code == "coins_in_use"
        runtime.run_on_chain(lambda m: claims.claim_not_funded(m, claim_id, reason, too_dear=too_dear, in_use=in_use))
        return
    wanted: list[bool] = []
    runtime.run_on_chain(lambda m: wanted.append(claims.claim_funded(m, claim_id, transaction, draft.fee_sat)))
    if not wanted[0]:
        wallet.release(claim_id)
