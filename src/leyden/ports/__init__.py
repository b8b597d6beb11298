"""The seams to the outside world: small protocols, each with a default driver (docs/architecture.md)."""
