"""Bitcoin itself, as values: transactions, scripts, addresses, keys, blocks; mirrors the BIPs."""
