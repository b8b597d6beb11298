"""The off-chain channel: BOLT 2 as `decide` and `evolve` over one journal.

Read `inputs.py`, `effects.py`, `states.py`, then `normal.py`.
"""
