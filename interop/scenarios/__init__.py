"""The scenarios, one module for each subject of the matrix. Importing this package registers all of them in order."""

from interop.scenarios import (
    closing,
    connections,
    failing,
    fees,
    forced,
    forwarding,
    long_run,
    opening,
    paying,
    restarts,
)

__all__ = [
    "closing",
    "connections",
    "failing",
    "fees",
    "forced",
    "forwarding",
    "long_run",
    "opening",
    "paying",
    "restarts",
]
