"""Which peers there are, and how nodes of each are made."""

from collections.abc import Callable, Sequence
from typing import Final

from interop.leyden_peer import LeydenPeer
from interop.world import PeerMaker, PeerPlace

FOREIGN: Final = ("lnd", "ldk")
KINDS: Final = (*FOREIGN, "leyden")


async def makers_of(kinds: Sequence[str], say: Callable[[str], None]) -> dict[str, PeerMaker]:
    """Build what is not built yet; return how nodes of each kind are made. say: takes lines of progress."""
    makers: dict[str, PeerMaker] = {}
    for kind in kinds:
        if kind == "leyden":
            makers[kind] = _leyden
        else:
            say(f"{kind}: there is no driver yet")
    return makers


def _leyden(place: PeerPlace) -> LeydenPeer:
    assert place.processes is not None, "Leyden's nodes are children of a world of scenarios"
    return LeydenPeer(place.name, place.processes, place.options)
