"""`python -m leyden.cli`: the command line without its script."""

from leyden.cli.main import run

run()
