"""`python -m leyden.sim`."""

from leyden.sim.cli import app

if __name__ == "__main__":
    app(prog_name="python -m leyden.sim")
