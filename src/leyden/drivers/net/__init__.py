"""Drivers of the `Transport` port: TCP with BOLT 8, and memory for tests and simulations."""
