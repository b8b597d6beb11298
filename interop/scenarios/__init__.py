"""The scenarios, one module for each subject of the matrix. Importing this package registers all of them in order."""

from interop.scenarios import closing, connections, forced, opening

__all__ = ["closing", "connections", "forced", "opening"]
