"""The edge that runs everything: the run loop, its wiring, configuration, logs, and what the API shows."""
