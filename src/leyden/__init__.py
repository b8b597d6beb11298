"""A modular Bitcoin Lightning library and node."""
