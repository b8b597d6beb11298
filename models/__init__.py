"""Explicit-state models of the rules: small worlds in which every schedule is tried (models/README.md)."""
