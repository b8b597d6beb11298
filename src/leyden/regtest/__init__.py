"""A regtest chain in a box: Bitcoin Core's consensus rules in this process, a mempool, and bitcoind's JSON-RPC.

`RegtestService` (service.py) is what other packages use; `python -m leyden.regtest` runs it alone.
"""
