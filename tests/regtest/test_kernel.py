"""The adapter: every way in which the library reports a fault becomes one outcome, and no argument can abort us."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import msgspec
import pytest

from leyden.base.errors import ChainUnavailable
from leyden.bitcoin.block import Block, BlockHeader, merkle_root
from leyden.bitcoin.tx import Transaction, TxOut
from leyden.regtest.chain import BlockTree
from leyden.regtest.kernel import VERIFY_CONSENSUS, Kernel, Verdict, short_reason
from leyden.regtest.template import build_block, find_work
from tests.regtest.world import ANYONE, NOW, SCRIPT, World, outputs_of, spend


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    """An empty chain."""
    made = Kernel(tmp_path / "kernel")
    yield made
    made.close()


class Builder:
    """Builds blocks on any block, good or bad."""

    def __init__(self) -> None:
        """Start at the genesis block."""
        self.tree = BlockTree()
        self.parent = self.tree.tip

    def block(self, transactions: tuple[Transaction, ...] = (), fee_sat: int = 0, nonce: bytes = b"12") -> Block:
        """Return a block on the current parent and make it the parent."""
        time = max(NOW, self.parent.median_time + 1)
        block = Block.parse(build_block(self.parent, time, ANYONE, fee_sat, transactions, nonce))
        self.parent = self.tree.add(block.header.hash(), block.header, 1, 0, 0)
        return block


def changed(block: Block, header: BlockHeader) -> bytes:
    """Return the block with another header, worked."""
    return Block(find_work(header), block.transactions).serialize()


def with_header(block: Block, **fields: object) -> bytes:
    """Return the block with some header fields changed, worked."""
    return changed(block, msgspec.structs.replace(block.header, **fields))


def test_valid_block_moves_the_tip(kernel: Kernel) -> None:
    """The plain case: VALID, no reason, new tip."""
    block = Builder().block()
    outcome = kernel.process_block(block.serialize())
    assert (outcome.verdict, outcome.reason, outcome.invalid) == (Verdict.VALID, "", ())
    assert kernel.tip() == (1, block.header.hash())


def test_side_block_is_stored_but_not_called_valid(kernel: Kernel) -> None:
    """The library says yes to a block whose scripts it has not run; we must not."""
    kernel.process_block(Builder().block().serialize())
    assert kernel.process_block(Builder().block(nonce=b"34").serialize()).verdict is Verdict.SIDE


def test_second_copy_is_a_duplicate(kernel: Kernel) -> None:
    """Feeding a block again, as replay may, is no error."""
    raw = Builder().block().serialize()
    kernel.process_block(raw)
    assert kernel.process_block(raw).verdict is Verdict.DUPLICATE


def test_undecodable_bytes(kernel: Kernel) -> None:
    """Truncated bytes end in a verdict, not in an exception of the library."""
    assert kernel.process_block(Builder().block().serialize()[:-1]).verdict is Verdict.UNDECODABLE


def bad_blocks() -> list[tuple[str, bytes]]:
    """Each kind of fault with the reason that Core names."""
    overpaid = Builder().block(fee_sat=1).serialize()
    good = Builder().block()
    builder = Builder()
    builder.parent = builder.tree.add(bytes(32), good.header, 1, 0, 0)
    no_parent = builder.block().serialize()
    return [
        ("bad-cb-amount", overpaid),
        ("prev-blk-not-found", no_parent),
        ("bad-txnmrklroot", with_header(good, merkle_root=bytes(32))),
        ("time-too-old", with_header(good, time=1)),
        ("time-too-new", with_header(good, time=0xFFFFFFF0)),
        ("bad-diffbits", with_header(good, bits=0x207FFFFE)),
        ("bad-version(0x00000001)", with_header(good, version=1)),
    ]


@pytest.mark.parametrize(("reason", "raw"), bad_blocks(), ids=[name for name, _ in bad_blocks()])
def test_every_fault_is_invalid_with_its_reason(kernel: Kernel, reason: str, raw: bytes) -> None:
    """The library reports these by a return value, an exception or only a log line: one verdict must come out."""
    outcome = kernel.process_block(raw)
    assert (outcome.verdict, short_reason(outcome.reason)) == (Verdict.INVALID, reason)
    assert kernel.tip()[0] == 0


def test_wrong_height_in_the_coinbase(kernel: Kernel) -> None:
    """A coinbase of another height is refused (BIP 34)."""
    builder = Builder()
    builder.block()
    second = builder.block()
    header = msgspec.structs.replace(
        second.header,
        previous_hash=Builder().tree.tip.hash,
        merkle_root=merkle_root([tx.txid() for tx in second.transactions]),
    )
    assert short_reason(kernel.process_block(changed(second, header)).reason) == "bad-cb-height"


def test_block_with_a_bad_script_is_invalid(world: World) -> None:
    """`process_block` returns True for this one: only the callback knows better."""
    money = world.coinbase(1)
    unsigned = Transaction(2, spend([money]).inputs, (TxOut(money.value_sat, ANYONE),), 0)
    outcome = world.backend.submit_block(world.backend.make_block(SCRIPT, [unsigned]))
    assert outcome.verdict is Verdict.INVALID
    assert outcome.reason.startswith("block-script-verify-flag-failed")


def test_reorganisation_names_the_earlier_block_that_is_bad(kernel: Kernel) -> None:
    """A side block's scripts run only when its branch overtakes: the verdict comes with a later block."""
    kernel.process_block(Builder().block().serialize())
    side = Builder()
    bad = side.block(fee_sat=1, nonce=b"34")
    assert kernel.process_block(bad.serialize()).verdict is Verdict.SIDE
    outcome = kernel.process_block(side.block().serialize())
    assert outcome.verdict is not Verdict.VALID
    assert [(block_hash, short_reason(why)) for block_hash, why in outcome.invalid][:1] == [
        (bad.header.hash(), "bad-cb-amount")
    ]
    assert kernel.tip()[0] == 1


def test_scripts_are_verified_with_their_amounts(world: World) -> None:
    """Good signature, bad signature, wrong amount: the library's answer comes through."""
    kernel = world.backend.chain.kernel
    money = [world.coinbase(1), world.coinbase(2)]
    tx = spend(money)
    spent = [(m.value_sat, m.script_pubkey) for m in money]
    assert kernel.first_bad_input(tx.serialize(), spent, VERIFY_CONSENSUS) is None
    short = [spent[0], (spent[1][0] - 1, spent[1][1])]
    assert kernel.first_bad_input(tx.serialize(), short, VERIFY_CONSENSUS) == 1


@pytest.mark.parametrize(
    ("spent", "flags"),
    [([], VERIFY_CONSENSUS), ([(1, b"")] * 2, VERIFY_CONSENSUS), ([(1, b"")], 1 << 1), ([(1, b"")], -1)],
    ids=["no-outputs", "too-many-outputs", "unknown-flag", "all-flags"],
)
def test_arguments_that_would_abort_the_process_are_refused(
    world: World, spent: list[tuple[int, bytes]], flags: int
) -> None:
    """The library calls abort() for each of these."""
    raw = spend([world.coinbase(1)]).serialize()
    with pytest.raises(ValueError, match=r"needed|unknown"):
        world.backend.chain.kernel.first_bad_input(raw, spent, flags)


def test_undecodable_transaction_is_refused(kernel: Kernel) -> None:
    """A null pointer must not reach the verifier."""
    with pytest.raises(ValueError, match="decode"):
        kernel.first_bad_input(b"\x00", [(1, b"")], VERIFY_CONSENSUS)


def test_another_thread_may_not_use_it(kernel: Kernel) -> None:
    """One thread owns the library; a slip must be loud."""
    seen: list[type[BaseException]] = []

    def use() -> None:
        try:
            kernel.tip()
        except AssertionError as error:
            seen.append(type(error))

    thread = Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [AssertionError]


def test_unusable_directory_is_the_worlds_fault(tmp_path: Path) -> None:
    """No disk, no permission: an error of the driver kind, with the library's own words."""
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(ChainUnavailable):
        Kernel(blocker / "kernel")


def test_many_outputs_are_spent_in_one_transaction(world: World) -> None:
    """Arrays of more than one element cross the border to the library in the right order."""
    tx = world.send(spend([world.coinbase(1)], [TxOut(1_000_000, SCRIPT)] * 20))
    assert world.send(spend(outputs_of(tx))).txid() in world.backend.pool


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    """Error paths close what may be closed already."""
    kernel = Kernel(tmp_path / "kernel")
    kernel.close()
    kernel.close()
    assert not (tmp_path / "kernel").exists()
