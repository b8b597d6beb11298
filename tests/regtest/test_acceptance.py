"""What enters the pool, and bitcoind's word for everything that does not."""

import pytest

from leyden.bitcoin.script import P2A_SCRIPT
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.regtest.policy import TransactionRejected
from tests.regtest.world import ANYONE_P2WSH, SCRIPT, World, outputs_of, spend


def verdict(world: World, tx: Transaction) -> str:
    """Return the reject reason, empty when the pool would take it; nothing changes."""
    before = world.pool_ids()
    try:
        world.backend.test(tx)
    except TransactionRejected as rejection:
        return rejection.reason
    finally:
        assert world.pool_ids() == before
    return ""


def test_chain_of_unconfirmed_transactions_enters_and_confirms(world: World) -> None:
    """The plain life of transactions."""
    first = world.send(spend([world.coinbase(1)]))
    second = world.send(spend(outputs_of(first)))
    assert world.pool_ids() == [first.txid(), second.txid()]
    world.mine(1)
    assert world.pool_ids() == []
    assert world.backend.chain.find_transaction(second.txid()) is not None


def test_known_transactions(world: World) -> None:
    """lnd tells these three apart when it rebroadcasts."""
    tx = world.send(spend([world.coinbase(1)]))
    assert verdict(world, tx) == "txn-already-in-mempool"
    other = Transaction(tx.version, spend([world.coinbase(1)]).inputs, tx.outputs, tx.locktime)
    stripped = Transaction(
        tx.version, (TxIn(tx.inputs[0].prevout, b"", 0xFFFFFFFD, (b"\x01", b"\x02")),), tx.outputs, 0
    )
    assert other.wtxid() == tx.wtxid()
    assert verdict(world, stripped) == "txn-same-nonwitness-data-in-mempool"
    world.mine(1)
    assert verdict(world, tx) == "txn-already-known"


def test_missing_and_spent_inputs(world: World) -> None:
    """The parent may come later: the rejection says so."""
    parent = spend([world.coinbase(1)])
    child = spend(outputs_of(parent))
    with pytest.raises(TransactionRejected) as caught:
        world.backend.test(child)
    assert (caught.value.reason, caught.value.missing_inputs) == ("bad-txns-inputs-missingorspent", True)
    world.send(parent)
    world.send(child)
    world.mine(1)
    rival = spend([world.coinbase(1)], fee_sat=5_000)
    assert verdict(world, rival) == "bad-txns-inputs-missingorspent"


def test_coinbase_matures_at_one_hundred(world: World) -> None:
    """The block after next decides: depth is counted at the next block."""
    height = world.backend.chain.tree.height
    assert verdict(world, spend([world.coinbase(height - 99)])) == ""
    with pytest.raises(TransactionRejected, match="tried to spend coinbase at depth 99"):
        world.backend.test(spend([world.coinbase(height - 98)]))


def test_lock_time_is_compared_with_the_next_height(world: World) -> None:
    """A commitment's timeout may enter exactly one block before it can be mined."""
    next_height = world.backend.chain.tree.height + 1
    assert verdict(world, spend([world.coinbase(1)], locktime=next_height - 1)) == ""
    assert verdict(world, spend([world.coinbase(1)], locktime=next_height)) == "non-final"
    assert verdict(world, spend([world.coinbase(1)], locktime=next_height, sequence=0xFFFFFFFF)) == ""


def test_lock_time_is_compared_with_the_median_time(world: World) -> None:
    """Time locks look at the median of eleven blocks, not at the clock."""
    median = world.backend.chain.tree.tip.median_time
    assert verdict(world, spend([world.coinbase(1)], locktime=median - 1)) == ""
    assert verdict(world, spend([world.coinbase(1)], locktime=median)) == "non-final"


def test_relative_lock_in_blocks(world: World) -> None:
    """BIP 68: an unconfirmed parent counts as confirmed in the next block."""
    parent = world.send(spend([world.coinbase(1)]))
    money = outputs_of(parent)
    assert verdict(world, spend(money, sequence=0)) == ""
    assert verdict(world, spend(money, sequence=1)) == "non-BIP68-final"
    assert verdict(world, spend(money, sequence=1, version=1)) == ""
    world.mine(1)
    assert verdict(world, spend(money, sequence=1)) == ""
    assert verdict(world, spend(money, sequence=2)) == "non-BIP68-final"


def test_relative_lock_in_time(world: World) -> None:
    """BIP 68 in units of 512 seconds of median time."""
    money = outputs_of(world.send(spend([world.coinbase(1)])))
    world.mine(1)
    lock = (1 << 22) | 1
    assert verdict(world, spend(money, sequence=lock)) == "non-BIP68-final"
    world.clock.now += 2_000
    world.mine(12)
    assert verdict(world, spend(money, sequence=lock)) == ""


def test_fee_floor(world: World) -> None:
    """0.1 satoshi per vbyte by default, as bitcoind 30 and later."""
    vsize = spend([world.coinbase(1)]).vsize()
    least = (vsize + 9) // 10
    assert verdict(world, spend([world.coinbase(1)], fee_sat=least)) == ""
    with pytest.raises(TransactionRejected, match=f"min relay fee not met, {least - 1} < {least}") as caught:
        world.backend.test(spend([world.coinbase(1)], fee_sat=least - 1))
    assert caught.value.too_cheap


def test_fee_above_what_the_caller_allows(world: World) -> None:
    """A slip of the hand must not pay a fortune."""
    tx = spend([world.coinbase(1)], fee_sat=100_000)
    with pytest.raises(TransactionRejected, match="max-fee-exceeded"):
        world.backend.send(tx, 10_000)
    assert world.pool_ids() == []
    world.backend.send(tx, 0)


def test_overspent_and_malformed(world: World) -> None:
    """Consensus faults have their own reasons."""
    assert verdict(world, spend([world.coinbase(1)], fee_sat=-1)) == "bad-txns-in-belowout"
    money = world.coinbase(1)
    twice = Transaction(2, spend([money]).inputs * 2, (TxOut(1_000, SCRIPT),), 0)
    assert verdict(world, twice) == "bad-txns-inputs-duplicate"
    assert verdict(world, Transaction(2, twice.inputs[:1], (), 0)) == "bad-txns-vout-empty"


def test_anyone_may_spend_an_anchor(world: World) -> None:
    """P2A outputs relay and are spent without a witness."""
    tx = world.send(spend([world.coinbase(1)], [TxOut(240, P2A_SCRIPT), TxOut(10_000, SCRIPT)], fee_sat=0))
    child = spend(outputs_of(tx))
    assert child.inputs[0].witness == ()
    stuffed_input = TxIn(child.inputs[0].prevout, b"", 0xFFFFFFFD, (b"\x01",))
    stuffed = Transaction(2, (stuffed_input, child.inputs[1]), child.outputs, 0)
    assert verdict(world, stuffed) == "bad-witness-nonstandard"
    world.send(child)


def test_output_of_a_pool_transaction_must_exist(world: World) -> None:
    """An index beyond the outputs is a missing input, not a crash."""
    parent = world.send(spend([world.coinbase(1)], [TxOut(10_000, ANYONE_P2WSH)], fee_sat=0))
    money = outputs_of(parent)[0]
    missing = TxIn(OutPoint(money.outpoint.txid, 9), b"", 0, (b"\x51",))
    wrong = Transaction(2, (missing,), (TxOut(5_000, SCRIPT),), 0)
    assert verdict(world, wrong) == "bad-txns-inputs-missingorspent"
