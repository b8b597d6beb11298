"""The on-chain wallet: coins from blocks, addresses from account keys, transactions for the signer to sign. Pure."""
