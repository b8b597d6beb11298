"""Data directories of two nodes that have many channels with each other: real records, real keys, the real codecs.

Every channel is one after 100,000 updates without an HTLC left: a snapshot, and a few records behind it.
"""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from leyden.bitcoin import bip39
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.channel.build import channel_keys, local_commitment
from leyden.channel.core import ChannelCore, new_core
from leyden.channel.fold import fold
from leyden.channel.snapshot import encode_core
from leyden.crypto.hashes import sha256
from leyden.crypto.shachain import Shachain, index_of_commitment
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.journal.codec import encode_record
from leyden.journal.node_codec import NodeRecord, encode_node_record
from leyden.journal.node_records import BestBlock, NodeBorn
from leyden.journal.records import (
    ChannelOpened,
    ChannelRecord,
    ForwardingPolicy,
    FundingConfirmed,
    LocalReady,
    PeerPolicy,
    ReceivedCommitment,
    ReceivedRevocation,
    RemoteReady,
    SentCommitment,
    SideParameters,
)
from leyden.node import boot, files
from leyden.ports.store import Append, Snapshot
from leyden.signer.channel_keys import ChannelKeys
from leyden.signer.derivation import SeedDerivation
from leyden.signer.in_memory import InMemorySigner
from leyden.transactions.scripts import funding_script

FUNDING_SAT = 10_000_000
UPDATES = 100_000
"""Commitments that each side has revoked. The journal's positions do not count their records, which it hides."""
POLICY = ForwardingPolicy(1_000, 100, 72, 1)


class End(msgspec.Struct):
    """One of the two nodes."""

    signer: InMemorySigner
    derivation: SeedDerivation
    entropy: bytes

    def keys(self, keys_id: bytes) -> ChannelKeys:
        """Return the secrets of a channel."""
        return self.derivation.channel_keys(keys_id)


class Grown(msgspec.Struct, frozen=True):
    """One channel's journal on disk: the records before the snapshot, the snapshot, the records behind it."""

    before: Append
    snapshot: Snapshot
    tail: Append


class Place(msgspec.Struct, frozen=True):
    """A block that the chain has."""

    height: int
    block_hash: bytes


def make_ends() -> list[End]:
    """Return two nodes with fixed seeds."""
    ends = []
    for name in (b"payer", b"payee"):
        entropy = sha256(name)[:16]
        seed = bip39.seed_from_mnemonic(bip39.mnemonic_from_entropy(entropy), "")
        ends.append(End(boot.signer_of_entropy(entropy, REGTEST), SeedDerivation(seed, REGTEST), entropy))
    return ends


async def write(directories: list[Path], channels: int, birth: Place) -> None:
    """Make the data directories of two nodes with `channels` channels between them; 0 makes them empty but born."""
    ends = make_ends()
    journals: list[list[Grown]] = [[], []]
    for number in range(channels):
        keys_ids = [sha256(b"keys %d %d" % (side, number)) for side in (0, 1)]
        opened = births(ends, keys_ids, number, birth.height)
        for side in (0, 1):
            journals[side].append(_journal(opened[side], ends[side], ends[1 - side], keys_ids[1 - side], number, birth))
    for directory, end, own in zip(directories, ends, journals, strict=True):
        directory.mkdir(mode=0o700)
        boot.create_key(directory / files.KEY_FILE, end.entropy, None, REGTEST)
        await _store(directory / files.STORE_FILE, end, own, birth)


def _side(end: End, keys_id: bytes) -> SideParameters:
    points = end.signer.channel_basepoints(keys_id)
    return SideParameters(
        points.funding_public_key,
        points.revocation_basepoint,
        points.payment_basepoint,
        points.delayed_payment_basepoint,
        points.htlc_basepoint,
        354,
        FUNDING_SAT * 1000,
        FUNDING_SAT // 100,
        1,
        144,
        483,
        b"",
    )


def births(ends: list[End], keys_ids: list[bytes], number: int, height: int) -> list[ChannelOpened]:
    """Return the first record of both journals; the first node opened the channel."""
    sides = [_side(end, keys_id) for end, keys_id in zip(ends, keys_ids, strict=True)]
    script = funding_script(sides[0].funding_pubkey, sides[1].funding_pubkey)
    spend = TxIn(OutPoint(sha256(b"coin %d" % number), 0), b"", 0xFFFFFFFF, (bytes(71), bytes(33)))
    transaction = Transaction(2, (spend,), (TxOut(FUNDING_SAT, p2wsh_of_script(script)),), 0)
    return [
        ChannelOpened(
            channel_id=transaction.txid(),
            channel_keys_id=keys_ids[side],
            counterparty_node_id=ends[1 - side].signer.node_id,
            is_opener=side == 0,
            anchors=True,
            scid_alias=False,
            zero_conf=False,
            announce_channel=False,
            funding_txid=transaction.txid(),
            funding_output_index=0,
            funding_satoshis=FUNDING_SAT,
            push_msat=FUNDING_SAT * 500,
            feerate_per_kw=1_000,
            minimum_depth=1,
            local=sides[side],
            remote=sides[1 - side],
            remote_first_point=ends[1 - side].signer.per_commitment_point(keys_ids[1 - side], 0),
            remote_signature=bytes(64),
            funding_transaction=transaction.serialize() if side == 0 else b"",
            batch=[],
            policy=POLICY,
            birth_height=height,
            user_channel_id=sha256(b"user %d" % number)[:16],
        )
        for side in (0, 1)
    ]


def journal_of(ends: list[End], keys_ids: list[bytes], number: int, birth: Place) -> Grown:
    """Return the opener's journal of one channel."""
    opened = births(ends, keys_ids, number, birth.height)
    return _journal(opened[0], ends[0], ends[1], keys_ids[1], number, birth)


def _journal(opened: ChannelOpened, own: End, peer: End, peer_keys_id: bytes, number: int, birth: Place) -> Grown:
    """Return one side's journal."""
    peer_keys = peer.keys(peer_keys_id)
    core = new_core(opened)
    core.local_signature = _peer_signature(core, own, peer, peer_keys_id)
    opened = core.opened = msgspec.structs.replace(opened, remote_signature=core.local_signature)
    scid = birth.height << 40 | (number + 1) << 16
    start: list[ChannelRecord] = [
        FundingConfirmed(birth.height, birth.block_hash, scid),
        LocalReady(_alias(opened.is_opener, number)),
        RemoteReady(peer_keys.per_commitment_point(1), _alias(not opened.is_opener, number)),
        PeerPolicy(scid, 1_000, 100, 72, 1, FUNDING_SAT * 990, 1_700_000_000, disabled=False),
    ]
    for record in start:
        fold(core, record)
    _grow(core, own, peer, peer_keys_id, UPDATES)
    journal = f"channel/{opened.channel_id.hex()}"
    snapshot = Snapshot(journal, core.position, encode_core(core), b"")
    tail = _update(core, own, peer, peer_keys_id, peer_keys)
    return Grown(_append(journal, 1, [opened, *start]), snapshot, _append(journal, snapshot.position + 1, tail))


def _append(journal: str, first: int, records: list[ChannelRecord]) -> Append:
    return Append(journal, first, [encode_record(record) for record in records])


def _alias(opener: bool, number: int) -> int:
    return (1 << 63) + (number << 1) + opener


def _grow(core: ChannelCore, own: End, peer: End, peer_keys_id: bytes, updates: int) -> None:
    """Put the state where `updates` commitments of each side without HTLCs would have brought it."""
    peer_keys = peer.keys(peer_keys_id)
    core.local.number = core.remote.number = updates
    core.remote_point = peer_keys.per_commitment_point(updates)
    core.remote_next_point = peer_keys.per_commitment_point(updates + 1)
    core.secrets = _revoked_secrets(peer_keys, updates)
    core.local_signature = _peer_signature(core, own, peer, peer_keys_id)


def _revoked_secrets(keys: ChannelKeys, number: int) -> Shachain:
    """Return what is kept of the secrets of commitments 0 to `number` - 1."""
    first, last = index_of_commitment(number - 1), index_of_commitment(0)
    entries = []
    for zeros in range(48):
        index = -(-first >> zeros) << zeros
        if not index >> zeros & 1:
            index += 1 << zeros
        if index > last:
            break
        entries.append((index, keys.per_commitment_secret(last - index)))
    return Shachain.from_list(entries)


def _peer_signature(core: ChannelCore, own: End, peer: End, peer_keys_id: bytes) -> bytes:
    point = own.signer.per_commitment_point(core.opened.channel_keys_id, core.local.number)
    commitment = local_commitment(channel_keys(core.opened), core.local, point, core.local.number)
    return peer.signer.sign_counterparty_commitment(peer_keys_id, commitment)[0]


def _update(core: ChannelCore, own: End, peer: End, peer_keys_id: bytes, peer_keys: ChannelKeys) -> list[ChannelRecord]:
    """Go one commitment further on each side."""
    number = core.remote.number
    sent = SentCommitment(number + 1, [], [], 0)
    revoked = ReceivedRevocation(
        number, peer_keys.per_commitment_secret(number), peer_keys.per_commitment_point(number + 2)
    )
    fold(core, sent)
    fold(core, revoked)
    core.local.number += 1
    received = ReceivedCommitment(core.local.number, _peer_signature(core, own, peer, peer_keys_id), b"", [], [], 0)
    return [sent, revoked, received]


async def _store(path: Path, end: End, journals: list[Grown], birth: Place) -> None:
    """Write everything; the records that snapshots replace are never written."""
    node: list[NodeRecord] = [
        NodeBorn(REGTEST.chain_hash, end.signer.node_id, birth.height, birth.block_hash),
        BestBlock(birth.height, birth.block_hash),
    ]
    store = SqliteStore(path)
    epoch = await store.open()
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    store.append(epoch, [Append("node", 1, [encode_node_record(one) for one in node])], lambda _appends, _failure: None)
    for grown in journals:
        store.append(epoch, [grown.before, grown.tail], lambda _appends, _failure: None)
        store.snapshot(epoch, [grown.snapshot], lambda _failure: None)
    store.append(epoch, [], lambda _appends, failure: done.set_result(failure))
    failure = await done
    await store.close()
    if failure is not None:
        raise failure
