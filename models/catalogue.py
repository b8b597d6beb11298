"""All models, by name."""

from typing import Final

from models import (
    answers,
    batches,
    claim_journals,
    claiming,
    commitment,
    dependent,
    fence,
    forwarding,
    nonces,
    onchain,
    paying,
    penalty_log,
    proof,
    reoffer,
    stale_height,
)
from models.kernel import Reading

MODELS: Final[dict[str, tuple[Reading, ...]]] = {
    "forwarding": forwarding.READINGS,
    "paying": paying.READINGS,
    "proof": proof.READINGS,
    "claiming": claiming.READINGS,
    "claim_journals": claim_journals.READINGS,
    "commitment": commitment.READINGS,
    "fence": fence.READINGS,
    "dependent": dependent.READINGS,
    "reoffer": reoffer.READINGS,
    "penalty_log": penalty_log.READINGS,
    "batches": batches.READINGS,
    "stale_height": stale_height.READINGS,
    "onchain": onchain.READINGS,
    "answers": answers.READINGS,
    "nonces": nonces.READINGS,
}
