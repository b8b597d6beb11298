"""The lane with nodes that nobody here wrote: `make interop`. See `docs/interop.md`."""
