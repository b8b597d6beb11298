"""All models, by name."""

from typing import Final

from models import claiming, forwarding, paying, proof
from models.kernel import Reading

MODELS: Final[dict[str, tuple[Reading, ...]]] = {
    "forwarding": forwarding.READINGS,
    "paying": paying.READINGS,
    "proof": proof.READINGS,
    "claiming": claiming.READINGS,
}
