"""Per-commitment secrets: what lets us punish an old commitment."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.crypto.shachain import FIRST_INDEX, Shachain, index_of_commitment, per_commitment_secret

FILE = Path(__file__).parent.parent / "vectors" / "bolt03" / "appendix-d-per-commitment-secrets.json"
VECTORS = json.loads(FILE.read_text())
SEED = bytes(range(32))


def filled(count: int) -> Shachain:
    """A store with the secrets of the first `count` commitments."""
    store = Shachain()
    for index in range(FIRST_INDEX, FIRST_INDEX - count, -1):
        store = store.insert(index, per_commitment_secret(SEED, index))
    return store


@pytest.mark.parametrize("case", VECTORS["generation"], ids=lambda case: case["name"])
def test_generation_vectors(case: dict[str, Any]) -> None:
    """The peer checks our secrets against its store: another derivation would fail every channel."""
    assert per_commitment_secret(bytes.fromhex(case["seed"]), case["I"]).hex() == case["output"]


@pytest.mark.parametrize("case", VECTORS["storage"], ids=lambda case: case["name"])
def test_storage_vectors(case: dict[str, Any]) -> None:
    """A store that takes a wrong secret cannot punish later."""
    store = Shachain()
    for insert in case["inserts"]:
        index, secret = insert["I"], bytes.fromhex(insert["secret"])
        if insert["ok"]:
            store = store.insert(index, secret)
            assert store.get(index) == secret
        else:
            with pytest.raises(ValueError, match="derive"):
                store.insert(index, secret)


@given(st.integers(0, 300), st.integers(0, 300))
def test_every_revealed_secret_comes_back(count: int, wanted: int) -> None:
    """Any earlier commitment may be published, not only the last."""
    store = filled(count)
    assert len(store.entries) == count.bit_length()
    assert store.next_index == FIRST_INDEX - count
    index = FIRST_INDEX - wanted
    if wanted < count:
        assert store.get(index) == per_commitment_secret(SEED, index)
    else:
        with pytest.raises(KeyError):
            store.get(index)


def test_snapshot_round_trip_and_immutability() -> None:
    """A snapshot must restore the same store, and a failed insert leave the old one usable."""
    store = filled(77)
    assert Shachain.from_list(store.to_list()) == store
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(store), type=Shachain) == store
    with pytest.raises(ValueError, match="derive"):
        store.insert(FIRST_INDEX - 77, bytes(32))
    assert store == filled(77)
    assert SEED.hex() not in repr(store)
    assert repr(store) == "Shachain(<7 entries>)"


@pytest.mark.parametrize("index", [FIRST_INDEX, FIRST_INDEX - 2, FIRST_INDEX - 4, 0, -1])
def test_only_the_next_secret_is_taken(index: int) -> None:
    """A secret taken twice or out of order would overwrite the ones that derive others."""
    with pytest.raises(ValueError, match="next"):
        filled(3).insert(index, bytes(32))


def test_the_last_index_ends_the_chain() -> None:
    """Index 0 derives all others and is the last."""
    entries = [(1 << bucket, per_commitment_secret(SEED, 1 << bucket)) for bucket in range(48)]
    store = Shachain.from_list(entries).insert(0, SEED)
    assert store.next_index == -1
    assert store.get(123456) == per_commitment_secret(SEED, 123456)
    with pytest.raises(ValueError, match="next"):
        store.insert(-1, SEED)


@pytest.mark.parametrize("entries", [[(1, SEED), (1, SEED)], [(2, SEED)], [(1, b"")], [(1 << 48, SEED)]])
def test_impossible_snapshots_are_refused(entries: list[tuple[int, bytes]]) -> None:
    """A damaged snapshot must not pass for a store."""
    with pytest.raises(ValueError, match=r"entries|48 bits"):
        Shachain.from_list(entries)


def test_bad_arguments_are_refused() -> None:
    """Out-of-range indices have no secret."""
    for seed, index in ((SEED, -1), (SEED, 1 << 48), (b"", 0)):
        with pytest.raises(ValueError, match=r"48 bits|32 bytes"):
            per_commitment_secret(seed, index)


def test_commitment_numbers_count_the_other_way() -> None:
    """An off-by-one here would reveal the secret of the commitment that is still valid."""
    assert [index_of_commitment(number) for number in (0, 1, FIRST_INDEX)] == [FIRST_INDEX, FIRST_INDEX - 1, 0]
