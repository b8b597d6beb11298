"""What a node does on the chain for its closed channels (BOLT 5).

Read `views.py` (what closed a channel and what became of its outputs), `blocks.py` (blocks become records),
`outcomes.py` (what the chain has decided), `claims.py` and `signing.py` (transactions that claim), `bumping.py` (our
own commitment, paid for by its anchor), `sweeping.py` (what is ours alone goes to the wallet), `deadlines.py` (when a
channel must be closed). Claims wait for no record (invariant S3): they follow from durable state and the chain.
"""
