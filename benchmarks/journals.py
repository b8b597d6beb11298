"""The journal of a channel that carries payments, as its payer writes it, made without a node."""

from benchmarks import grown
from leyden.channel.core import ChannelCore, new_core
from leyden.channel.fold import fold
from leyden.crypto.hashes import sha256
from leyden.journal.codec import encode_record
from leyden.journal.records import (
    Acknowledged,
    AddedHtlc,
    ChannelRecord,
    FundingConfirmed,
    HtlcSource,
    LocalReady,
    ReceivedCommitment,
    ReceivedRevocation,
    RemoteReady,
    RemovedHtlc,
    SentCommitment,
)
from leyden.signer.channel_keys import ChannelKeys

AMOUNT_MSAT = 10_000_000


class PayerJournal:
    """Grows by rounds of payments. `records` are encoded as a store holds them, the birth first."""

    def __init__(self) -> None:
        ends = grown.make_ends()
        self.own, self.peer = ends
        self.keys_ids = [sha256(b"keys %d" % side) for side in (0, 1)]
        opened = grown.births(ends, self.keys_ids, 0, 1)[0]
        self.peer_keys: ChannelKeys = self.peer.keys(self.keys_ids[1])
        self.core: ChannelCore = new_core(opened)
        self.records = [encode_record(opened)]
        self._append(FundingConfirmed(1, bytes(32), 1 << 40))
        self._append(LocalReady(1 << 63))
        self._append(RemoteReady(self.peer_keys.per_commitment_point(1), 1 << 62))

    def _append(self, record: ChannelRecord) -> None:
        fold(self.core, record)
        self.records.append(encode_record(record))

    def offer(self, payments: int) -> list[int]:
        """Offer HTLCs and let them be committed on both sides; return their ids."""
        first = self.core.next_outbound_id
        ids = list(range(first, first + payments))
        self._sign_and_be_revoked([_added(one) for one in ids])
        self._receive(payments, [])
        return ids

    def settle(self, ids: list[int]) -> None:
        """The peer fulfils them; everything is acknowledged."""
        self._receive(0, [RemovedHtlc(one, _preimage(one), b"", 0, b"") for one in ids])
        self._sign_and_be_revoked([])
        self._append(Acknowledged([], ids, [], []))

    def _sign_and_be_revoked(self, adds: list[AddedHtlc]) -> None:
        number = self.core.remote.number
        self._append(SentCommitment(number + 1, adds, [], 0))
        keys = self.peer_keys
        secret, point = keys.per_commitment_secret(number), keys.per_commitment_point(number + 2)
        self._append(ReceivedRevocation(number, secret, point))

    def _receive(self, signatures: int, removals: list[RemovedHtlc]) -> None:
        number = self.core.local.number + 1
        self._append(ReceivedCommitment(number, bytes(64), bytes(64 * signatures), [], removals, 0))


def _added(htlc_id: int) -> AddedHtlc:
    source = HtlcSource(sha256(b"payment %d" % htlc_id), 0, forwarded=False)
    return AddedHtlc(htlc_id, AMOUNT_MSAT, sha256(_preimage(htlc_id)), 144, bytes(1366), source, 0)


def _preimage(number: int) -> bytes:
    return sha256(b"preimage %d" % number)
