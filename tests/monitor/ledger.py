"""A channel whose records are written by hand: thousands of states in a second, with the transactions of each."""

from typing import Any

import msgspec

from leyden.channel.build import ChannelKeys, channel_keys, remote_commitment
from leyden.channel.core import ChannelCore, new_core
from leyden.channel.fold import fold
from leyden.crypto.ec import public_key
from leyden.crypto.hashes import sha256
from leyden.crypto.shachain import index_of_commitment, per_commitment_secret
from leyden.journal.records import (
    AddedHtlc,
    HtlcSource,
    LocalReady,
    ReceivedCommitment,
    ReceivedRevocation,
    RemoteReady,
    RemovedHtlc,
    SentCommitment,
)
from leyden.transactions.commitment import Commitment
from tests.channel.pair import ready_pair

SEED = b"\x07" * 32
"""Of the peer's per-commitment secrets."""


def point(number: int) -> bytes:
    """The peer's per-commitment point."""
    return public_key(secret(number))


def secret(number: int) -> bytes:
    """The peer's per-commitment secret."""
    return per_commitment_secret(SEED, index_of_commitment(number))


class Ledger:
    """The opener's state, fed with records; `remote` keeps the peer's commitments when asked to."""

    def __init__(self, *, same_payment_point: bool = False, **request: Any) -> None:
        party = ready_pair(**request).a
        opened = msgspec.structs.replace(party.core.opened, remote_first_point=point(0))
        if same_payment_point:
            remote = msgspec.structs.replace(opened.remote, payment_basepoint=opened.local.payment_basepoint)
            opened = msgspec.structs.replace(opened, remote=remote)
        self.signer, self.keys_id = party.signer, party.keys_id
        self.keys: ChannelKeys = channel_keys(opened)
        self.core: ChannelCore = new_core(opened)
        self.remote: dict[int, Commitment] = {}
        self.penalty_log = b""
        fold(self.core, LocalReady(1))
        fold(self.core, RemoteReady(point(1), 0))
        self.keep()

    def keep(self) -> Commitment:
        """Remember the peer's latest commitment."""
        commitment = remote_commitment(self.keys, self.core.remote, self.core.remote_point)
        self.remote[commitment.commitment_number] = commitment
        return commitment

    def add(self, htlc_id: int, amount_msat: int, **changes: Any) -> AddedHtlc:
        """An HTLC, with a hash of its own unless changed. The onion is empty, to keep memory out of the figures."""
        fields: dict[str, Any] = {
            "htlc_id": htlc_id,
            "amount_msat": amount_msat,
            "payment_hash": sha256(b"hash %d %d" % (htlc_id, amount_msat)),
            "cltv_expiry": 500 + htlc_id % 100,
            "onion_routing_packet": b"",
            "source": None,
            "fee_msat": 0,
        }
        return AddedHtlc(**(fields | changes))

    def receive(self, adds: list[AddedHtlc], failed: list[int], feerate_per_kw: int = 0) -> None:
        """The peer signs our next commitment: its HTLCs, and its failures of ours."""
        removals = [RemovedHtlc(htlc_id, b"", b"", 0, b"") for htlc_id in failed]
        number = self.core.local.number + 1
        fold(self.core, ReceivedCommitment(number, bytes(64), b"", adds, removals, feerate_per_kw))

    def send(self, adds: list[AddedHtlc], failed: list[int], feerate_per_kw: int = 0) -> None:
        """We sign the peer's next commitment, and it revokes the one before."""
        source = HtlcSource(bytes(32), 0, forwarded=False)
        own = [msgspec.structs.replace(add, source=source) for add in adds]
        number = self.core.remote.number + 1
        fold(self.core, SentCommitment(number, own, failed, feerate_per_kw))
        fold(self.core, ReceivedRevocation(number - 1, secret(number - 1), point(number + 1)))
        self.core.outcomes.clear()

    def cut(self) -> None:
        """A snapshot moves the rows to the log."""
        self.penalty_log += b"".join(self.core.penalty_rows)
        self.core.penalty_rows.clear()
