"""Fold and snapshot of the wallet's records, without a chain."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.bitcoin.tx import OutPoint
from leyden.journal.wallet_records import (
    AddressIssued,
    CoinsChanged,
    CreatedCoin,
    RescanFinished,
    SpentCoin,
    WalletCreated,
    WalletDisconnected,
    WalletRecord,
)
from leyden.wallet.keys import RECEIVE_P2WPKH
from leyden.wallet.state import FIRST_HEIGHT, NO_RESCAN, WalletState, fold, from_snapshot, to_snapshot

BIRTH = WalletCreated("regtest", [b"\x02" * 33], 0, restored=False)


def created(number: int, value_sat: int = 1_000) -> CreatedCoin:
    """A coin of a block."""
    return CreatedCoin(number.to_bytes(32, "big"), 0, value_sat, b"\x00\x14", RECEIVE_P2WPKH.path(number), False)


def block(height: int, made: list[int], spent: list[int], branch: int = 0) -> CoinsChanged:
    """A block that creates and spends coins by number."""
    block_hash = height.to_bytes(16, "big") + branch.to_bytes(16, "big")
    gone = [SpentCoin(n.to_bytes(32, "big"), 0) for n in spent]
    return CoinsChanged(height, block_hash, [created(n) for n in made], gone, [])


def unspent(state: WalletState) -> list[int]:
    """The numbers of the coins that are not spent."""
    return sorted(int.from_bytes(c.txid, "big") for c in state.coins.values() if not c.spent_height)


def born() -> WalletState:
    """A new wallet."""
    state = WalletState()
    fold(state, BIRTH)
    return state


def test_undoing_blocks_is_exact() -> None:
    """What was created goes, what was spent comes back, also a coin that lived in one block only."""
    state = born()
    fold(state, block(5, [1, 2], []))
    after_five = to_snapshot(state)
    fold(state, block(6, [3, 4], [1, 4]))
    fold(state, block(9, [5], [2, 3]))
    assert unspent(state) == [5]
    fold(state, WalletDisconnected(6))
    assert unspent(state) == [2, 3]
    fold(state, WalletDisconnected(5))
    assert unspent(state) == [1, 2]
    used = from_snapshot(after_five)
    assert state.coins == used.coins
    assert state.blocks == used.blocks
    assert state.chain(RECEIVE_P2WPKH).used_end == 6, "a key seen on a lost branch stays seen"
    fold(state, WalletDisconnected(0))
    assert unspent(state) == []


def test_a_block_at_a_known_height_replaces_what_was_there() -> None:
    """One record says it all: the fold does not need a second one before it."""
    state = born()
    fold(state, block(5, [1], []))
    fold(state, block(6, [2], [1]))
    fold(state, block(7, [3], [2]))
    fold(state, block(6, [4], [], branch=1))
    assert unspent(state) == [1, 4]
    assert list(state.blocks) == [5, 6]


def test_addresses_given_out() -> None:
    """Which were paid to is what decides whether a new one may be given."""
    state = born()
    for index in range(3):
        fold(state, AddressIssued(RECEIVE_P2WPKH.path(index)))
    fold(state, AddressIssued(RECEIVE_P2WPKH.path(1)))
    assert state.chain(RECEIVE_P2WPKH).unused == [0, 1, 2]
    fold(state, block(1, [1], []))
    use = state.chain(RECEIVE_P2WPKH)
    assert (use.unused, use.issued_end, use.used_end) == ([0, 2], 3, 2)


def test_a_restored_wallet_looks_at_every_block_once() -> None:
    """Nothing is known of a seed's past until the first block was looked at."""
    state = WalletState()
    fold(state, WalletCreated("regtest", [b"\x02" * 33], 500, restored=True))
    assert state.rescan_from == FIRST_HEIGHT
    fold(state, RescanFinished(500, []))
    assert state.rescan_from == NO_RESCAN


STEPS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=30)


@given(STEPS)
def test_snapshot_and_replay_agree_after_any_records(steps: list[tuple[int, int]]) -> None:
    """A snapshot replaces its records: what it forgets is forgotten for ever."""
    state, other = born(), born()
    height, number = 0, 0
    for kind, size in steps:
        if kind == 2:
            height = max(height - size, 0)
            records: list[WalletRecord] = [WalletDisconnected(height)]
        else:
            height += 1 + size
            made = list(range(number + 1, number + size + 1))
            number += size
            records = [block(height, made, unspent(state)[:kind], number)]
        for record in records:
            fold(state, record)
            fold(other, msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=type(record)))
        assert state == other
        other = from_snapshot(to_snapshot(other))
        assert state == other
        assert list(state.blocks) == sorted(state.blocks)
    assert all(OutPoint(c.txid, c.vout) == key for key, c in state.coins.items())


@pytest.mark.parametrize(
    "raw", [b"", b"\x00", b"\xc0", b"\x90", to_snapshot(born())[:-1], to_snapshot(born()) + b"\x00"]
)
def test_damaged_snapshots_are_refused(raw: bytes) -> None:
    """A wallet that starts from half a snapshot would show half the money."""
    with pytest.raises(DecodeError, match="not a snapshot of a wallet"):
        from_snapshot(raw)


def test_snapshots_of_a_newer_format_are_refused() -> None:
    """Whoever goes back to an older version must hear it, not lose coins."""
    parts = msgspec.msgpack.decode(to_snapshot(born()))
    with pytest.raises(DecodeError, match="format 99"):
        from_snapshot(msgspec.msgpack.encode([99, *parts[1:]]))


@given(st.binary(max_size=100))
def test_no_bytes_raise_anything_but_decode_error(raw: bytes) -> None:
    """A damaged store is reported in words."""
    try:
        from_snapshot(raw)
    except DecodeError:
        return
