"""Every mutant, by name: one for each guard of "Nothing is lost"."""

from tests.mutants import (
    batches,
    chain_fees,
    channels,
    claims,
    closed_channels,
    deadlines,
    handing_off,
    on_chain,
    output_rule,
    paying,
    stores,
)
from tests.mutants.mutant import Mutant

ALL: tuple[Mutant, ...] = (
    *output_rule.MUTANTS,
    *handing_off.MUTANTS,
    *claims.MUTANTS,
    *paying.MUTANTS,
    *channels.MUTANTS,
    *batches.MUTANTS,
    *stores.MUTANTS,
    *deadlines.MUTANTS,
    *on_chain.MUTANTS,
    *closed_channels.MUTANTS,
    *chain_fees.MUTANTS,
)
MUTANTS: dict[str, Mutant] = {mutant.name: mutant for mutant in ALL}
