"""How fast and how big: `make bench` prints figures and ratios, the last line is one JSON object. Never a timed assertion."""
