"""Names, errors and the shape of a transition; imports nothing else of Leyden."""
