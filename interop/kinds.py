"""Which peers there are, and how nodes of each are made."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from interop.builds import built
from interop.foreign import ForeignNode
from interop.ldk import LdkNode
from interop.leyden_peer import LeydenPeer
from interop.lnd import LndNode
from interop.world import PeerMaker, PeerPlace

FOREIGN: Final = ("lnd", "ldk")
KINDS: Final = (*FOREIGN, "leyden")


async def makers_of(kinds: Sequence[str], say: Callable[[str], None]) -> dict[str, PeerMaker]:
    """Build what is not built yet; return how nodes of each kind are made. say: takes lines of progress."""
    makers: dict[str, PeerMaker] = {}
    for kind in kinds:
        makers[kind] = _leyden if kind == "leyden" else partial(_MAKERS[kind], await built(kind, say))
    return makers


def _ldk(program: Path, place: PeerPlace) -> LdkNode:
    return LdkNode(place.name, place.folder, place.chain, place.options, program)


def _lnd(program: Path, place: PeerPlace) -> LndNode:
    return LndNode(place.name, place.folder, place.chain, place.options, program)


_MAKERS: Final[dict[str, Callable[[Path, PeerPlace], ForeignNode]]] = {"lnd": _lnd, "ldk": _ldk}


def _leyden(place: PeerPlace) -> LeydenPeer:
    assert place.processes is not None, "Leyden's nodes are children of a world of scenarios"
    return LeydenPeer(place.name, place.processes, place.options)
