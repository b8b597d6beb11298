"""How unconfirmed transactions may hang together."""

import pytest

from leyden.bitcoin.script import null_data
from leyden.bitcoin.tx import TxOut
from leyden.regtest.mempool import CLUSTER_COUNT_MAX
from leyden.regtest.policy import TransactionRejected
from tests.regtest.world import ANCHOR, SCRIPT, World, outputs_of, spend


def test_cluster_is_bounded_in_number(world: World) -> None:
    """Long chains are refused with one reason."""
    tx = world.send(spend([world.coinbase(1)]))
    for _ in range(CLUSTER_COUNT_MAX - 1):
        tx = world.send(spend(outputs_of(tx)))
    with pytest.raises(TransactionRejected, match="too-large-cluster"):
        world.send(spend(outputs_of(tx)))


def test_cluster_is_bounded_in_size(world: World) -> None:
    """Few but large transactions count too."""
    change = world.coinbase(1).value_sat - 60_000
    data = TxOut(0, null_data(bytes(59_000)))
    parent = world.send(spend([world.coinbase(1)], [TxOut(change, SCRIPT), data]))
    with pytest.raises(TransactionRejected, match="too-large-cluster"):
        world.send(spend(outputs_of(parent)[:1], [TxOut(change - 60_000, SCRIPT), data]))


def test_version_three_does_not_mix(world: World) -> None:
    """BIP 431: an unconfirmed parent and its child are both of version 3, or neither is."""
    old = world.send(spend([world.coinbase(1)]))
    with pytest.raises(TransactionRejected, match=r"TRUC-violation, version=3 tx .* cannot spend from non-version=3"):
        world.send(spend(outputs_of(old), version=3))
    new = world.send(spend([world.coinbase(2)], version=3))
    with pytest.raises(TransactionRejected, match=r"TRUC-violation, non-version=3 tx .* cannot spend from version=3"):
        world.send(spend(outputs_of(new)))
    world.mine(1)
    world.send(spend(outputs_of(new)))


def test_version_three_has_one_child_and_no_grandchild(world: World) -> None:
    """One parent and one child, so that a fee bump can always be paid for."""
    parent = world.send(spend([world.coinbase(1)], version=3))
    child = world.send(spend(outputs_of(parent), version=3))
    with pytest.raises(TransactionRejected, match="too many ancestors"):
        world.send(spend(outputs_of(child), version=3))


def test_version_three_sibling_is_evicted_for_a_better_fee(world: World) -> None:
    """Sibling eviction: either side may bump, without sharing an input."""
    parent = world.send(spend([world.coinbase(1)], [TxOut(1_000_000, SCRIPT)] * 2, version=3))
    one, two = outputs_of(parent)
    first = world.send(spend([one], version=3, fee_sat=1_000))
    with pytest.raises(TransactionRejected, match="insufficient fee"):
        world.send(spend([two], version=3, fee_sat=1_000))
    second = world.send(spend([two], version=3, fee_sat=2_000))
    assert world.pool_ids() == [parent.txid(), second.txid()]
    assert first.txid() not in world.backend.pool


def test_version_three_is_small(world: World) -> None:
    """10,000 vbytes, and 1,000 for a child."""
    value = world.coinbase(1).value_sat
    big = TxOut(0, null_data(bytes(10_000)))
    with pytest.raises(TransactionRejected, match=r"too big: .* > 10000"):
        world.send(spend([world.coinbase(1)], [TxOut(value - 10_000, SCRIPT), big], version=3))
    parent = world.send(spend([world.coinbase(1)], version=3))
    middling = TxOut(0, null_data(bytes(1_000)))
    with pytest.raises(TransactionRejected, match=r"child tx .* too big: .* > 1000"):
        world.send(spend(outputs_of(parent), [TxOut(value - 10_000, SCRIPT), middling], version=3))


def test_dust_must_be_free_of_fee(world: World) -> None:
    """Ephemeral dust: who makes dust pays no fee, so that a child must come and take it."""
    value = world.coinbase(1).value_sat
    with pytest.raises(TransactionRejected, match="dust, tx with dust output must be 0-fee"):
        world.send(spend([world.coinbase(1)], [ANCHOR, TxOut(value - 1_000, SCRIPT)], version=3))
    with pytest.raises(TransactionRejected, match="min relay fee not met"):
        world.send(spend([world.coinbase(1)], [ANCHOR, TxOut(value, SCRIPT)], version=3))
