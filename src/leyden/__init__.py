"""A modular Bitcoin Lightning library and node."""

if not __debug__:
    raise RuntimeError(
        "leyden does not run under python -O: its assertions guard money; start it without -O and PYTHONOPTIMIZE"
    )
