"""How the demo fails."""

from leyden.base.errors import LeydenError


class DemoFailed(LeydenError):
    """A step did not come out as it must. The sentence says what was seen."""
