"""All models, by name."""

from typing import Final

from models import claim_journals, claiming, commitment, dependent, fence, forwarding, paying, proof, reoffer
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
}
