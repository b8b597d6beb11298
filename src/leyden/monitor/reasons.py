"""How a channel ended, in a sentence for its user."""

from leyden.channel.core import ChannelCore
from leyden.monitor.classify import Spend, SpendKind

_SENTENCES = {
    SpendKind.MUTUAL_CLOSE: "cooperative close",
    SpendKind.LOCAL: "this node published its commitment",
    SpendKind.LOCAL_REVOKED: "a revoked commitment of this node was published, from an old copy of its data",
    SpendKind.LOCAL_FUTURE: "a newer commitment of this node was published: the data here are an old copy",
    SpendKind.REMOTE: "the peer published its commitment",
    SpendKind.REMOTE_PRIOR: "the peer published its commitment",
    SpendKind.REMOTE_WITHDRAWN: "the peer published a commitment whose signature this node had taken back",
    SpendKind.REMOTE_REVOKED: "the peer published a revoked commitment",
    SpendKind.REMOTE_UNKNOWN: "the peer published a commitment that is newer than the data of this node",
    SpendKind.OTHER: "an unknown transaction spent the funding output",
}


def close_reason(core: ChannelCore, spend: Spend) -> str:
    """Say why the channel is closed, given what spent its funding output.

    A close that we forced for a reason keeps the reason, unless another transaction was first.
    """
    if spend.kind is SpendKind.LOCAL and core.closing is not None:
        return core.closing.reason
    return _SENTENCES[spend.kind]


def is_alarming(spend: Spend) -> bool:
    """Return whether the user should look: money may be at stake that only a look at the node can save."""
    return spend.kind in _ALARMING


_ALARMING = (
    SpendKind.LOCAL_REVOKED,
    SpendKind.LOCAL_FUTURE,
    SpendKind.REMOTE_REVOKED,
    SpendKind.REMOTE_WITHDRAWN,
    SpendKind.REMOTE_UNKNOWN,
    SpendKind.OTHER,
)
