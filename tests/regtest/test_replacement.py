"""Full RBF: who pays more, absolutely and by rate, takes the place of whoever is there."""

from typing import Any

import pytest

from leyden.bitcoin.tx import TxOut
from leyden.regtest.policy import TransactionRejected
from tests.regtest.world import SCRIPT, World, outputs_of, spend


def refusal(world: World, **fields: Any) -> str:
    """Return why a spend of the first coinbase is refused, empty when it replaces what is there."""
    before = world.pool_ids()
    try:
        world.send(spend([world.coinbase(1)], **fields))
    except TransactionRejected as rejection:
        assert world.pool_ids() == before
        return str(rejection)
    return ""


def test_replacement_takes_the_place_also_without_signalling(world: World) -> None:
    """Every transaction is replaceable now; commitments too."""
    first = world.send(spend([world.coinbase(1)], fee_sat=1_000, sequence=0xFFFFFFFF))
    assert refusal(world, fee_sat=2_000) == ""
    assert first.txid() not in world.pool_ids()
    assert len(world.pool_ids()) == 1


def test_descendants_leave_with_what_is_replaced(world: World) -> None:
    """The children have lost their input."""
    first = world.send(spend([world.coinbase(1)], fee_sat=1_000))
    child = world.send(spend(outputs_of(first), fee_sat=1_000))
    grandchild = world.send(spend(outputs_of(child), fee_sat=1_000))
    assert refusal(world, fee_sat=2_999).startswith("insufficient fee, rejecting replacement")
    assert refusal(world, fee_sat=3_100) == ""
    assert grandchild.txid() not in world.pool_ids()
    assert len(world.pool_ids()) == 1


def test_each_rule_has_its_sentence(world: World) -> None:
    """lnd and others look for these words."""
    first = world.send(spend([world.coinbase(1)], fee_sat=1_000))
    assert "new feerate" in refusal(world, fee_sat=1_000, locktime=1)
    world.send(spend(outputs_of(first), fee_sat=5_000))
    assert "less fees than conflicting txs; 0.00002000 < 0.00006000" in refusal(world, fee_sat=2_000)
    assert "not enough additional fees to relay; 0.00000001 < 0.00000011" in refusal(world, fee_sat=6_001)


def test_low_rate_does_not_replace_even_with_a_higher_fee(world: World) -> None:
    """A large transaction may pay more in all and still be worth less to a miner."""
    world.send(spend([world.coinbase(1)], fee_sat=2_000))
    bulky = spend([world.coinbase(1)], [TxOut(1_000_000, SCRIPT)] * 100, fee_sat=0)
    value_in = world.coinbase(1).value_sat
    outputs = [*bulky.outputs, TxOut(value_in - 100_000_000 - 5_000, SCRIPT)]
    with pytest.raises(TransactionRejected, match=r"insufficient fee.*new feerate"):
        world.send(spend([world.coinbase(1)], outputs))


def test_replacement_must_not_spend_what_it_replaces(world: World) -> None:
    """It would lose its own input."""
    first = world.send(spend([world.coinbase(1)], fee_sat=1_000))
    both = spend([world.coinbase(1), *outputs_of(first)], fee_sat=50_000)
    with pytest.raises(TransactionRejected, match="bad-txns-spends-conflicting-tx"):
        world.send(both)


def test_replacing_too_many_is_refused(world: World) -> None:
    """Work per replacement is bounded."""
    money = outputs_of(world.send(spend([world.coinbase(1)], [TxOut(1_000_000, SCRIPT)] * 110)))
    world.mine(1)
    for one in money:
        world.send(spend([one], fee_sat=20))
    with pytest.raises(TransactionRejected, match="too many potential replacements"):
        world.send(spend(money, fee_sat=1_000_000))
