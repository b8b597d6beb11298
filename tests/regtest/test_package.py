"""Packages: zero-fee commitments live by them."""

import pytest

from leyden.bitcoin.script import null_data
from leyden.bitcoin.tx import Transaction, TxOut
from leyden.regtest.package import PackageOutcome, check_package_shape, is_child_with_parents
from leyden.regtest.policy import TransactionRejected
from tests.regtest.world import ANCHOR, SCRIPT, World, outputs_of, spend


def zero_fee(world: World, height: int = 1, version: int = 3) -> Transaction:
    """Return a transaction without fee and with an empty anchor, like a zero-fee commitment."""
    return spend([world.coinbase(height)], [TxOut(world.coinbase(height).value_sat, SCRIPT), ANCHOR], version=version)


def submit(world: World, *transactions: Transaction) -> PackageOutcome:
    """Submit a package without a feerate limit."""
    return world.backend.send_package(transactions, 0)


def test_child_pays_for_its_zero_fee_parent(world: World) -> None:
    """The case that zero-fee commitments are built on; both confirm together."""
    parent = zero_fee(world)
    child = spend(outputs_of(parent), version=3, fee_sat=1_000)
    outcome = submit(world, parent, child)
    assert outcome.message == "success"
    assert world.pool_ids() == [parent.txid(), child.txid()]
    sizes = sum(member.entry.vsize for member in outcome.members if member.entry)
    assert [member.feerate for member in outcome.members] == [1_000 * 1_000 // sizes] * 2
    assert [len(member.judged_with) for member in outcome.members] == [2, 2]
    world.mine(1)
    assert world.pool_ids() == []


def test_child_that_pays_too_little(world: World) -> None:
    """The package is judged by its common feerate."""
    parent = zero_fee(world)
    child = spend(outputs_of(parent), version=3, fee_sat=10)
    outcome = submit(world, parent, child)
    assert outcome.message == "transaction failed"
    assert any(member.rejection and "min relay fee not met" in str(member.rejection) for member in outcome.members)
    assert world.pool_ids() == []


def test_child_must_take_the_dust(world: World) -> None:
    """Else the anchor would stay in the coin set for ever."""
    parent = zero_fee(world)
    child = spend(outputs_of(parent)[:1], version=3)
    outcome = submit(world, parent, child)
    assert "missing-ephemeral-spends" in str(outcome.members[1].rejection)
    assert world.pool_ids() == []


def test_parent_that_pays_enters_alone(world: World) -> None:
    """A package is no licence: what can stand alone is judged alone."""
    parent = spend([world.coinbase(1)])
    child = spend(outputs_of(parent))
    outcome = submit(world, parent, child)
    assert outcome.message == "success"
    assert [member.feerate for member in outcome.members] == [None, None]


def test_known_parent_is_no_error(world: World) -> None:
    """A bump of a parent that is in the pool already."""
    parent = world.send(spend([world.coinbase(1)]))
    outcome = submit(world, parent, spend(outputs_of(parent)))
    assert outcome.message == "success"
    assert len(world.pool_ids()) == 2


def test_parent_with_another_witness_is_named(world: World) -> None:
    """Same txid, other signature: the one in the pool stays and is told."""
    parent = world.send(spend([world.coinbase(1)]))
    twisted = Transaction(
        2, tuple(type(i)(i.prevout, b"", i.sequence, (*i.witness, b"x")) for i in parent.inputs), parent.outputs, 0
    )
    outcome = submit(world, twisted, spend(outputs_of(parent)))
    assert outcome.members[0].other_wtxid == parent.wtxid()


def test_bad_parent_ends_the_package(world: World) -> None:
    """A fault other than the fee cannot be paid for."""
    parent = spend([world.coinbase(1)], locktime=500)
    child = spend(outputs_of(parent))
    outcome = submit(world, parent, child)
    assert outcome.message == "transaction failed"
    assert [str(member.rejection) for member in outcome.members] == ["non-final", "package-not-validated"]


def test_new_child_replaces_the_old_one(world: World) -> None:
    """Fee bumping of a zero-fee commitment: the parent is there, the child is replaced."""
    parent = zero_fee(world)
    first = spend(outputs_of(parent), version=3, fee_sat=1_000)
    second = spend(outputs_of(parent), version=3, fee_sat=3_000)
    submit(world, parent, first)
    outcome = submit(world, parent, second)
    assert outcome.message == "success"
    assert [entry.txid for entry in outcome.replaced] == [first.txid()]
    assert world.pool_ids() == [parent.txid(), second.txid()]


def test_package_replaces_a_rival_commitment(world: World) -> None:
    """Both sides publish their commitment: the better paid package wins."""
    rival = zero_fee(world)
    rival_child = spend(outputs_of(rival), version=3, fee_sat=1_000)
    submit(world, rival, rival_child)
    parent = spend([world.coinbase(1)], [*rival.outputs, TxOut(0, null_data(b"x"))], version=3)
    weak = spend(outputs_of(parent)[:2], version=3, fee_sat=1_001)
    assert submit(world, parent, weak).message == "transaction failed"
    assert world.pool_ids() == [rival.txid(), rival_child.txid()]
    strong = spend(outputs_of(parent)[:2], version=3, fee_sat=5_000)
    outcome = submit(world, parent, strong)
    assert outcome.message == "success"
    assert world.pool_ids() == [parent.txid(), strong.txid()]
    assert sorted(e.txid for e in outcome.replaced) == sorted([rival.txid(), rival_child.txid()])


def test_feerate_limit_of_the_caller(world: World) -> None:
    """`maxfeerate` holds for each member."""
    parent = spend([world.coinbase(1)], fee_sat=500_000)
    outcome = world.backend.send_package([parent], 10_000)
    assert "max-fee-exceeded" in str(outcome.members[0].rejection)


def test_shape_of_packages(world: World) -> None:
    """Faults of the list itself are told before anything is looked up."""
    parent = spend([world.coinbase(1)])
    child = spend(outputs_of(parent))
    other = spend([world.coinbase(2)])
    rival = spend([world.coinbase(1)], fee_sat=9_000)
    huge = Transaction(2, parent.inputs, (TxOut(0, bytes(110_000)),), 0)
    cases = [
        ("package-not-sorted", [child, parent]),
        ("package-contains-duplicates", [parent, parent]),
        ("conflict-in-package", [parent, rival]),
        ("package-too-many-transactions", [parent] * 26),
        ("package-too-large", [huge, child]),
    ]
    for reason, transactions in cases:
        with pytest.raises(TransactionRejected, match=reason):
            check_package_shape(transactions)
    assert is_child_with_parents([parent, child])
    with pytest.raises(TransactionRejected, match="package-not-child-with-parents"):
        submit(world, other, child)


def test_list_is_tested_without_being_taken(world: World) -> None:
    """`testmempoolaccept` of a chain: children see their parents; after a fault nothing is said."""
    parent = spend([world.coinbase(1)])
    child = spend(outputs_of(parent))
    verdicts = world.backend.test_many([parent, child])
    assert all(verdict is not None and not isinstance(verdict, TransactionRejected) for verdict in verdicts)
    poor = spend([world.coinbase(1)], fee_sat=1)
    verdicts = world.backend.test_many([poor, spend(outputs_of(poor))])
    assert isinstance(verdicts[0], TransactionRejected)
    assert verdicts[1] is None
    assert world.pool_ids() == []
