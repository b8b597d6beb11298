"""Transactions of a channel: BOLT 3, for either side, without secrets."""
