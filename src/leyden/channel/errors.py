"""How a peer can break BOLT 2, each with its reaction and the rule it breaks."""

from leyden.base.errors import PeerViolation, Reaction


class ChannelViolation(PeerViolation):
    """A violation after which this channel cannot go on."""

    reaction = Reaction.FAIL_CHANNEL


class UnexpectedMessage(ChannelViolation):
    """A message that this state of the channel does not allow."""


class NotReestablished(UnexpectedMessage):
    """BOLT 2, "Message Retransmission": a message before `channel_reestablish`. A new connection heals it."""

    reaction = Reaction.DISCONNECT


class InvalidHtlc(ChannelViolation):
    """BOLT 2, "Adding an HTLC: `update_add_htlc`": id, amount, expiry or limit broken."""


class InvalidRemoval(ChannelViolation):
    """BOLT 2, "Removing an HTLC": unknown id, uncommitted HTLC, wrong preimage or missing BADONION."""


class InvalidFeeUpdate(ChannelViolation):
    """BOLT 2, "Updating Fees: `update_fee`": from the wrong side, out of bounds or unaffordable."""


class InvalidCommitment(ChannelViolation):
    """BOLT 2, "Committing Updates So Far: `commitment_signed`": wrong signature or count, or unaffordable."""


class InvalidRevocation(ChannelViolation):
    """BOLT 2, "Completing the Transition to the Updated State: `revoke_and_ack`": wrong secret or point, or not asked
    for.
    """


class InvalidReestablish(ChannelViolation):
    """BOLT 2, "Message Retransmission": numbers that cannot be."""


class InvalidOpen(ChannelViolation):
    """BOLT 2, "Channel Establishment v1": parameters we cannot accept."""


class InvalidShutdown(PeerViolation):
    """BOLT 2, "Closing Initiation: `shutdown`": a script that is not allowed, or at the wrong time."""

    reaction = Reaction.DISCONNECT


class InvalidClosing(ChannelViolation):
    """BOLT 2, "Closing Negotiation: `closing_signed`": bad signature or fee."""
