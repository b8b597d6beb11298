"""All models, by name."""

from typing import Final

from models import claim_journals, claiming, forwarding, paying, proof
from models.kernel import Reading

MODELS: Final[dict[str, tuple[Reading, ...]]] = {
    "forwarding": forwarding.READINGS,
    "paying": paying.READINGS,
    "proof": proof.READINGS,
    "claiming": claiming.READINGS,
    "claim_journals": claim_journals.READINGS,
}
