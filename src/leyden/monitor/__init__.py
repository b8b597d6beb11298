"""The on-chain side of a channel: BOLT 5, from the same folded state as the off-chain side.

Nothing here is stored and nothing has to be kept in step: every answer follows from the channel's durable state, the
penalty log and a transaction. Read `commitments.py` (what may confirm), `revoked.py` (what justice needs),
`classify.py` (what a spend is), `watched.py` and `closed.py` (its outputs, and what became of them), `resolution.py`
(what the chain has decided), then `claimable.py`, `packages.py` and `feerates.py` (what is claimed, together with what,
for how much).
"""
