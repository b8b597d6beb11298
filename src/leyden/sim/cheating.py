"""The operator of a node publishes a commitment that the node has revoked: what a penalty is for."""

from collections.abc import Iterator

from leyden.base.ids import ChannelId, channel_journal
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import Transaction
from leyden.channel.build import channel_keys, local_commitment
from leyden.channel.core import ChannelCore
from leyden.channel.fold import fold
from leyden.journal.batch import StoredJournal
from leyden.journal.codec import decode_record
from leyden.manager.rebuild import fold_channel
from leyden.signer.in_memory import InMemorySigner
from leyden.sim.node import SimNode


class NoSuchState(LookupError):
    """What is durable does not show that commitment. The text says what it shows."""


def old_commitment(node: SimNode, channel_id: bytes, commitment_number: int) -> Transaction:
    """Return a commitment of the node's own, signed, as it was when it was the latest.

    The channel's journal is folded as far as that state; a signer made anew from the seed has seen no revocation.
    Raises: NoSuchState.
    """
    stored = _stored(node, channel_id)
    numbers: list[int] = []
    for core in _states(stored):
        number = core.local.number
        if number != commitment_number:
            numbers.append(number)
            continue
        signer, keys_id = InMemorySigner(node.seed, REGTEST), core.opened.channel_keys_id
        point = signer.per_commitment_point(keys_id, number)
        commitment = local_commitment(channel_keys(core.opened), core.local, point, number)
        return commitment.signed_transaction(signer.sign_holder_commitment(keys_id, commitment), core.local_signature)
    raise NoSuchState(f"{node.name} has kept its commitments {min(numbers)} to {max(numbers)} of that channel")


def _stored(node: SimNode, channel_id: bytes) -> StoredJournal:
    journal = channel_journal(ChannelId(channel_id))
    stored = next((one for one in node.disk.journals() if one.journal == journal), None)
    if stored is None:
        raise NoSuchState(f"{node.name} has nothing of that channel")
    return stored


def _states(stored: StoredJournal) -> Iterator[ChannelCore]:
    """Yield the state of a channel after the first record that is kept, or the snapshot, and after each that follows.

    It is one state that grows.
    """
    first = 0 if stored.state else 1
    core = fold_channel(StoredJournal(stored.journal, stored.position, stored.state, stored.records[:first]))
    yield core
    for raw in stored.records[first:]:
        fold(core, decode_record(raw))
        yield core
