"""Snapshots: the encoded fold reads back as the same state at any moment, and as it was first written for ever."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.channel.core import WithdrawnCommitment, WithdrawnHtlc
from leyden.channel.fold import fold
from leyden.channel.inputs import ChangeFeerate, Commit, DecideHtlcs, Learn, QueueAdd, StartShutdown
from leyden.channel.snapshot import SNAPSHOT_VERSION, ChannelSnapshot, core_of, decode_core, encode_core, snapshot_of
from leyden.journal.records import (
    Acknowledged,
    AddedHtlc,
    CloseAgreed,
    Closing,
    ForwardingSwitched,
    FundingSpent,
    HtlcSource,
    HtlcsShown,
    OnchainResolved,
    OutputSpent,
    PeerPolicy,
    ShutdownReceived,
    SpendableOutput,
    SpendDisconnected,
)
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.channel.pair import Pair, failure, fulfil, pending_add, ready_pair
from tests.channel.test_commit import claim_of
from tests.journal import golden


def busy_pair(kind: CommitmentFormat) -> Pair:
    """A channel with something in every place between two commitments, on both sides, and every other field set."""
    pair = ready_pair(channel_type=ChannelType(kind))
    pair.offered(1, *[pending_add(index, 2_000_000 + index) for index in range(5)])
    pair.offered(0, *[pending_add(20 + index, 1_000 * index + 1) for index in range(4)])
    pair.give(0, DecideHtlcs([fulfil(0, 0)], [failure(1)], [claim_of(pair.a.core.opened.channel_id, 2, 2)]))
    pair.give(0, Learn(HtlcsShown(b"e" * 32, [3], b"h" * 32, b"s" * 32, "invoice", 1, 480, b"", [(65_537, b"c")])))
    pair.give(0, Learn(Acknowledged([(4, b"k" * 32)], [], [], [])))
    pair.give(0, Learn(PeerPolicy(77, 1, 2, 40, 1, 1_000, 5, disabled=True)))
    pair.finish_pass(0)  # own removals signed
    pair.resolve(1, fulfil(0, 20), failure(1))  # the peer's removals signed
    pair.deliver(1)  # a holds the peer's removals
    pair.deliver(0, 3)
    pair.give(0, ChangeFeerate(1_500))
    pair.give(0, QueueAdd(pending_add(50)))
    return pair


ON_CHAIN = ("output_spends", "undone_spend", "onchain_preimages", "onchain_failed", "spendable")
LATER = (*ON_CHAIN, "forwarding_disabled")
"""Fields at the end, in the order they came."""


@pytest.mark.parametrize("kind", list(CommitmentFormat))
def test_a_snapshot_at_any_record_and_the_tail_give_the_same_state(kind: CommitmentFormat) -> None:
    """Compaction may come at any moment (P4)."""
    pair = busy_pair(kind)
    pair.pump()
    for party in pair.parties:
        records = party.records
        core = core_of(snapshot_of(party.refolded))
        assert snapshot_of(core) == snapshot_of(party.core)
        for cut in range(1, len(records)):
            party.crash(lost=0)
            head = type(party)(party.seed, party.keys_id)
            head.be_born(records[0])  # type: ignore[arg-type]
            for record in records[1:cut]:
                fold(head.core, record)
            tail = decode_core(encode_core(head.core))
            for record in records[cut:]:
                fold(tail, record)
            assert snapshot_of(tail) == snapshot_of(party.core)
            break_even = (tail.local, tail.remote) == (party.core.local, party.core.remote)
            assert break_even


def test_a_snapshot_holds_what_the_chain_has_decided() -> None:
    """A closed channel may be compacted while its outputs are claimed (P4)."""
    pair = busy_pair(CommitmentFormat.ANCHORS)
    core, txid = pair.a.core, bytes(range(32))
    first, second = list(core.outbound)[:2]
    for record in (
        FundingSpent(b"one", 100, bytes(32)),
        SpendDisconnected(99),
        OutputSpent(b"two", 101, bytes(32)),
        OnchainResolved([(first, bytes(32))], [second], [SpendableOutput(txid, 1, 5, "to_local")]),
        ForwardingSwitched(core.policy, 5, is_disabled=True),
    ):
        fold(core, record)
    again = decode_core(encode_core(core))
    for name in LATER:
        assert getattr(again, name)
        assert getattr(again, name) == getattr(core, name)
    assert [again.outcomes[one].removal.preimage for one in (first, second)] == [bytes(32), b""]


def test_a_snapshot_holds_every_durable_field_and_no_volatile_one() -> None:
    """What is queued or received without a signature is not in it, and the penalty rows go to their own log (P25)."""
    pair = busy_pair(CommitmentFormat.ANCHORS)
    before = snapshot_of(pair.a.core)
    assert pair.a.session.queued_adds
    again = core_of(before)
    assert snapshot_of(again) == before
    assert again.penalty_rows == []
    unset = {
        name
        for name, value in msgspec.structs.asdict(before).items()
        if not value and name not in {"stale", "closed_height", "abandoned", "spent", "closing", "close_agreed"}
    }
    # Whatever is empty here would not be tested by this file.
    assert unset <= {
        "events", "forward_events", "policy_timestamp", "local_shutdown_script", "remote_shutdown_script",
        "closing_feerate_per_kw", "own_acked", "peer_signed", "remote_prior", "remote_prior_point",
        "revocation_is_last", "withdrawn", *LATER,
    }  # fmt: skip


def test_htlcs_are_shared_again_after_decoding() -> None:
    """One object for one HTLC: what a later record changes is seen everywhere."""
    pair = busy_pair(CommitmentFormat.ANCHORS)
    core = decode_core(encode_core(pair.a.core))
    for changes in (core.own_signed, core.own_acked):
        assert all(htlc is core.outbound[htlc.add.htlc_id] for htlc in changes.adds)
        assert all(htlc is core.inbound[htlc.add.htlc_id] for htlc, _fulfilled in changes.removals)
    for changes in (core.peer_local, core.peer_signed):
        assert all(htlc is core.inbound[htlc.add.htlc_id] for htlc in changes.adds)
        assert all(htlc is core.outbound[htlc.add.htlc_id] for htlc, _fulfilled in changes.removals)
    assert core.own_signed.removals
    assert core.peer_local.removals or core.peer_signed.removals


def full_core() -> Pair:
    """The golden state: as `busy_pair`, with the ends of a channel on top."""
    pair = busy_pair(CommitmentFormat.STATIC_REMOTEKEY)
    pair.give(0, Commit())
    pair.give(0, StartShutdown(pair.a.signer.shutdown_script_pubkey(), 2_000))
    core = pair.a.core
    for record in (
        ShutdownReceived(b"\x00\x14" + b"r" * 20, b"", 0),
        CloseAgreed(b"closing transaction", 1_000),
        Closing(core.local.number, "because"),
        FundingSpent(b"spending transaction", 300, b"b" * 32),
    ):
        fold(core, record)
    htlcs = [WithdrawnHtlc(True, 5, 1_000, b"h" * 32, 500), WithdrawnHtlc(False, 6, 1_001, b"i" * 32, 501)]
    add = AddedHtlc(5, 1_000, b"h" * 32, 500, b"onion", HtlcSource(b"o" * 32, 1, forwarded=True), 3)
    core.withdrawn = [WithdrawnCommitment(core.remote.number + 1, b"p" * 33, 1_500, 7, 8, htlcs, [add])]
    return pair


def test_golden_snapshot_keeps_its_meaning_and_its_bytes() -> None:
    """What an earlier version wrote is read as it was meant; fields that came later are at the end."""
    encoded, fields = golden.load(golden.path_of(ChannelSnapshot))
    core = decode_core(encoded)
    now = golden.readable(snapshot_of(core))
    assert {name: now[name] for name in fields} == fields
    assert all(not now[name] for name in now if name not in fields)
    written, again = (msgspec.msgpack.decode(raw[1:]) for raw in (encoded, encode_core(core)))
    assert again[: len(written)] == written


def test_a_snapshot_without_fields_that_were_added_later_is_read() -> None:
    """Fields are added at the end with a default: what was written before keeps its meaning."""
    encoded = encode_core(full_core().a.core)
    fields = msgspec.msgpack.decode(encoded[1:])
    older = decode_core(encoded[:1] + msgspec.msgpack.encode(fields[: -1 - len(LATER)]))
    assert older.withdrawn == []
    assert snapshot_of(older) == msgspec.structs.replace(snapshot_of(decode_core(encoded)), withdrawn=[])


def test_newer_and_damaged_snapshots_are_refused() -> None:
    """An old program stops at a newer one; a damaged one is named as such."""
    encoded = encode_core(ready_pair().a.core)
    for version in (0, SNAPSHOT_VERSION + 1, 255):
        with pytest.raises(DecodeError, match="version that this program does not read"):
            decode_core(bytes((version,)) + encoded[1:])
    for cut in (0, 1, 2, len(encoded) // 2, len(encoded) - 1):
        with pytest.raises(DecodeError):
            decode_core(encoded[:cut])
    with pytest.raises(DecodeError, match="damaged channel snapshot"):
        decode_core(encoded + b"\x00")
    snapshot = snapshot_of(busy_pair(CommitmentFormat.ANCHORS).a.core)
    damages: tuple[dict[str, Any], ...] = (
        {"outbound": []},
        {"inbound": []},
        {"secrets": [(1, b"short")]},
        {"secrets": [(1 << 60, bytes(32))]},
        {"local": msgspec.structs.replace(snapshot.local, htlcs=[999])},
        {"peer_local": msgspec.structs.replace(snapshot.peer_local, removals=[(999, True)])},
    )
    for damage in damages:
        damaged = msgspec.msgpack.encode(msgspec.structs.replace(snapshot, **damage))
        with pytest.raises(DecodeError, match="damaged channel snapshot"):
            decode_core(bytes((SNAPSHOT_VERSION,)) + damaged)


@given(st.binary(max_size=100), st.integers(0, 4_000))
def test_no_bytes_raise_anything_but_decode_error(garbage: bytes, place: int) -> None:
    """A damaged snapshot is reported, it does not crash the start with something else."""
    whole, _fields = golden.load(golden.path_of(ChannelSnapshot))
    encoded = whole[:place] + garbage + whole[place + len(garbage) :]
    for damaged in (encoded, bytes((SNAPSHOT_VERSION,)) + garbage):
        try:
            decode_core(damaged)
        except DecodeError:
            continue
