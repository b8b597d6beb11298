"""The wallet's records as bytes: every kind as it was first written is read for ever.

`python -m tests.journal.test_wallet_records` writes the golden files that are missing and never changes one.
"""

import json
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from leyden.base.errors import DecodeError
from leyden.journal.node_codec import decode_node_record, encode_node_record
from leyden.journal.wallet_records import (
    AddressIssued,
    CoinsChanged,
    CreatedCoin,
    KeyPath,
    RescanFinished,
    SettledTransaction,
    SpentCoin,
    TransactionAbandoned,
    TransactionSent,
    WalletCreated,
    WalletDisconnected,
    WalletRecord,
)
from tests.journal.golden import FOLDER, load, readable

WALLET_FOLDER = FOLDER / "wallet"
PATH = KeyPath(84, 0, 1, 7)
SAMPLES: list[WalletRecord] = [
    WalletCreated("regtest", [b"\x02" + bytes(range(32)), b"\x03" + bytes(range(32, 64))], 800_000, restored=True),
    AddressIssued(PATH),
    CoinsChanged(
        800_001,
        bytes(range(100, 132)),
        [CreatedCoin(bytes(range(1, 33)), 2, 123_456_789, b"\x00\x14" + bytes(range(20)), PATH, is_coinbase=False)],
        [SpentCoin(bytes(range(2, 34)), 3)],
        [
            SettledTransaction(bytes(range(3, 35)), confirmed=True),
            SettledTransaction(bytes(range(4, 36)), confirmed=False),
        ],
    ),
    WalletDisconnected(799_999),
    TransactionSent(bytes(range(60))),
    TransactionAbandoned([bytes(range(5, 37)), bytes(range(6, 38))]),
    RescanFinished(800_002, [bytes(range(7, 39))]),
]


def path_of(record: WalletRecord) -> Path:
    """Where the golden file of a kind is."""
    return WALLET_FOLDER / f"{type(record).__name__}.json"


def test_every_kind_has_a_golden_file() -> None:
    """A kind without one could change its bytes unnoticed, and coins of users would not be read any more."""
    kinds = sorted(kind.__name__ for kind in get_args(WalletRecord))
    assert sorted(path.stem for path in WALLET_FOLDER.glob("*.json")) == kinds
    assert sorted(type(record).__name__ for record in SAMPLES) == kinds


@pytest.mark.parametrize("record", SAMPLES, ids=lambda record: type(record).__name__)
def test_golden_bytes_keep_their_meaning(record: WalletRecord) -> None:
    """What an earlier version wrote is read as it was meant, and written alike."""
    encoded, fields = load(path_of(record))
    assert decode_node_record(encoded) == record
    assert readable(record) == fields
    assert encode_node_record(record) == encoded


def test_tags_are_taken_for_ever() -> None:
    """The tag is the version of a kind."""
    assert {kind.__struct_config__.tag: kind.__name__ for kind in get_args(WalletRecord)} == {
        60: "WalletCreated", 61: "AddressIssued", 62: "CoinsChanged", 63: "WalletDisconnected", 64: "TransactionSent",
        65: "TransactionAbandoned", 66: "RescanFinished",
    }  # fmt: skip


@pytest.mark.parametrize("record", SAMPLES, ids=lambda record: type(record).__name__)
def test_damaged_or_newer_records_are_refused(record: WalletRecord) -> None:
    """Half a record is damage, and a field that this version does not know means something."""
    encoded = encode_node_record(record)
    for length in range(len(encoded)):
        with pytest.raises(DecodeError):
            decode_node_record(encoded[:length])
    with pytest.raises(DecodeError):
        decode_node_record(msgspec.msgpack.encode([*msgspec.msgpack.decode(encoded), "newer"]))


if __name__ == "__main__":
    for sample in SAMPLES:
        if not path_of(sample).exists():
            content = {
                "kind": type(sample).__name__,
                "hex": encode_node_record(sample).hex(),
                "fields": readable(sample),
            }
            path_of(sample).write_text(json.dumps(content, indent=1) + "\n")
