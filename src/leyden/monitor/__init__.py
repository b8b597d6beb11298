"""The on-chain side of a channel: BOLT 5, from the same folded state as the off-chain side.

Nothing here is stored and nothing has to be kept in step: every answer follows from the channel's durable state, the
penalty log and a transaction. Read `commitments.py` (what may confirm), `revoked.py` (what justice needs),
`classify.py` (what a spend is), then `balances.py` (what of it is ours).
"""
