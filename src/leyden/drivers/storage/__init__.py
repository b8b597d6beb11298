"""Drivers of the `Store` port: SQLite for nodes, memory for simulations, and stores that are late or refuse."""
