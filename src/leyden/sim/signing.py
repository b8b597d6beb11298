"""A node's signer in a simulated world that answers when the world says so, like one on another machine."""

from typing import Any

from leyden.signer.in_memory import InMemorySigner
from leyden.signer.later import LateSigner


class LateNodeSigner:
    """Signatures and secrets of channels come by an action of their own; all else is answered at once."""

    def __init__(self, inner: InMemorySigner) -> None:
        self._inner = inner
        self.late = LateSigner(inner)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)  # asked of one that is only being copied: it has no `_inner` to ask
        return getattr(self.late if name in ("answer", "on_answer") else self._inner, name)
