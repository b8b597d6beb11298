"""The seam: what is supplied fits the protocols."""

from leyden.signer.interface import ChannelSigner, KeysManager
from leyden.signer.later import LateSigner
from tests.signer.two_signers import signer


def test_supplied_signers_fit_the_protocols() -> None:
    """The type checker sees this; so does whoever reads which class stands behind which seam."""
    at_once: ChannelSigner = signer()
    later: ChannelSigner = LateSigner(at_once)
    keys: KeysManager = signer()
    for protocol, implementation in ((ChannelSigner, at_once), (ChannelSigner, later), (KeysManager, keys)):
        wanted = [name for name in vars(protocol) if not name.startswith("_")]
        assert wanted
        assert [name for name in wanted if not hasattr(implementation, name)] == []
