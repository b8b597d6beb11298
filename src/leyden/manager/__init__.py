"""The channel manager: routes inputs between machines and facts between journals. Rebuilt at start, never stored.

Read `outbox.py` (the output rule), `manager.py`, `handoff.py`, `rebuild.py`.
"""
