"""Chain sources: bitcoind's JSON-RPC (the embedded service speaks it too), and memory."""
