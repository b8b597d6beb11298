"""The command line:

a client of the API. `leyden --help` must be fast, so commands import what they need when they run.
"""
