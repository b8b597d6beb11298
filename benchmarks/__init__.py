"""How fast and how big: `make bench` prints figures and ratios, the last line is one JSON object.

Nothing here asserts a time: a slow machine is no fault.
"""
