"""What a place can do unless its author says otherwise."""

from leyden.ports.store import Store
from leyden.sim.store_contract import StoreMaker, Trouble


class _Least(StoreMaker):
    def store(self) -> Store:
        raise NotImplementedError


def test_least_place_has_no_crashes_and_no_trouble() -> None:
    """Only `store` must be written; the rules that need more say so."""
    place = _Least()
    assert list(place.crashes()) == []
    assert not any(place.trouble(kind) for kind in Trouble)
    place.close()
