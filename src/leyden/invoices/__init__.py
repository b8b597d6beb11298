"""Invoices: BOLT 11 text to value and back."""
