"""Records of the `node` journal as bytes: every kind as it was first written is read for ever.

`python -m tests.journal.test_node_codec` writes the golden files that are missing and never changes one.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import cast, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.journal.node_codec import decode_node_record, encode_node_record
from leyden.journal.node_records import (
    BestBlock,
    CoreNodeRecord,
    EventsAcknowledged,
    FixedHop,
    FixedRoute,
    JournalArchived,
    NodeBorn,
    PartFailed,
    PartSent,
    PaymentFailed,
    PaymentReceived,
    PaymentSent,
    PaymentsForgotten,
    PaymentStarted,
    PaymentSummary,
    PeerRemembered,
    PeerStorageKept,
)
from leyden.manager.node_snapshot import decode_node_snapshot, encode_node_snapshot
from leyden.manager.state import NodeState, fold_node
from tests.journal.golden import FOLDER, load, readable

NODE_FOLDER = FOLDER / "node"
ID, HASH, PREIMAGE = bytes(range(32)), bytes(range(1, 33)), bytes(range(2, 34))
NODE = b"\x02" + bytes(range(32))
ROUTE = FixedRoute(bytes(range(3, 35)), [FixedHop(1 << 40, NODE, 1_000, 800_144)], bytes(range(4, 36)), 18)
SAMPLES: list[CoreNodeRecord] = [
    NodeBorn(bytes(range(5, 37)), NODE, 800_000, bytes(range(6, 38))),
    PaymentStarted(
        ID, HASH, 1_000, 50, 16, 1_800_000_000, 1_800_000_060, bytes(range(7, 39)), NODE, "lnbcrt1", b"",
        [(65537, b"custom")], [ROUTE],
    ),
    PartSent(ID, 3, [NODE, b"\x03" + bytes(range(32))]),
    PartFailed(ID, 3, bytes(range(8, 40)), 7, 0x1007, 1),
    PaymentSent(ID, PREIMAGE, 12, 1_800_000_001),
    PaymentFailed(ID, "no_route", 0x400F, -1, 1_800_000_002),
    PaymentReceived(bytes(range(9, 41)), HASH, 2_000, 1_800_000_003),
    EventsAcknowledged(["sent/00", "failed/01"]),
    PaymentsForgotten([ID], [bytes(range(9, 41))]),
    PeerRemembered(NODE, "127.0.0.1:9735", True),
    BestBlock(800_001, bytes(range(10, 42))),
    JournalArchived("channel/00"),
    PaymentSummary(ID, HASH, 1_000, 1_800_000_000, NODE, PREIMAGE, 12, "", 0, -1, 1_800_000_001, False),
    PeerStorageKept(NODE, b"a blob of the peer"),
]  # fmt: skip


def path_of(record: CoreNodeRecord) -> Path:
    """Where the golden file of a kind is."""
    return NODE_FOLDER / f"{type(record).__name__}.json"


def test_every_kind_has_a_golden_file() -> None:
    """A kind without one could change its bytes unnoticed, and payments of users would not be read any more."""
    kinds = sorted(kind.__name__ for kind in get_args(CoreNodeRecord))
    assert sorted(path.stem for path in NODE_FOLDER.glob("*.json")) == kinds
    assert sorted(type(sample).__name__ for sample in SAMPLES) == kinds


@pytest.mark.parametrize("record", SAMPLES, ids=lambda record: type(record).__name__)
def test_golden_bytes_decode_to_the_same_record_and_encode_to_the_same_bytes(record: CoreNodeRecord) -> None:
    """What an earlier version wrote keeps its meaning and its bytes."""
    encoded, fields = load(path_of(record))
    decoded = decode_node_record(encoded)
    assert decoded == record
    assert readable(decoded) == fields
    assert encode_node_record(decoded) == encoded


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_refused(raw: bytes) -> None:
    """A damaged journal is said to be damaged; nothing else happens."""
    with suppress(DecodeError):
        decode_node_record(raw)


def test_a_record_with_more_fields_is_refused() -> None:
    """A newer program meant something by them."""
    content = msgspec.msgpack.decode(encode_node_record(BestBlock(1, bytes(32))))
    with pytest.raises(DecodeError, match="newer"):
        decode_node_record(msgspec.msgpack.encode([*content, 1]))


def test_the_snapshot_rebuilds_what_the_records_said() -> None:
    """Compaction must change nothing that anybody can ask for."""
    state = NodeState()
    other = bytes(range(50, 82))
    for record in [
        *SAMPLES[:5],
        SAMPLES[6],
        *SAMPLES[9:12],
        msgspec.structs.replace(SAMPLES[1], payment_id=other, payment_hash=bytes(32)),
        PaymentFailed(other, "no_route", 0x400F, -1, 1_800_000_002),
        EventsAcknowledged([f"failed/{other.hex()}"]),
        SAMPLES[13],
        PeerStorageKept(ID, b"erased"),
        PeerStorageKept(ID, b""),
    ]:
        fold_node(state, record)
    records, wallet = decode_node_snapshot(encode_node_snapshot(state, b"wallet"))
    again = NodeState()
    for kept in records:
        fold_node(again, cast("CoreNodeRecord", kept))
    assert wallet == b"wallet"
    assert encode_node_snapshot(again, b"wallet") == encode_node_snapshot(state, b"wallet")
    assert again.unacknowledged == state.unacknowledged == {f"sent/{ID.hex()}": ID}
    assert again.ledger.payments[ID].sent == state.ledger.payments[ID].sent
    assert again.ledger.payments[other].failed == state.ledger.payments[other].failed
    assert again.storage == state.storage == {NODE: b"a blob of the peer"}
    assert (again.peers, again.received, again.archived, again.best) == (
        state.peers, state.received, state.archived, state.best,
    )  # fmt: skip


if __name__ == "__main__":
    NODE_FOLDER.mkdir(exist_ok=True)
    for sample in SAMPLES:
        if not path_of(sample).exists():
            content = {
                "kind": type(sample).__name__,
                "hex": encode_node_record(sample).hex(),
                "fields": readable(sample),
            }
            path_of(sample).write_text(json.dumps(content, indent=1) + "\n")
            print(f"wrote {path_of(sample).name}")
