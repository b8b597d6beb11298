"""Claims paid by the wallet: a commitment gets in through its child, with coins, without coins, without a store."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from leyden.base.errors import CommandRejected, StorageBroken
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.manager.actions import FundClaim
from leyden.node.claim_coins import fund_claim
from leyden.sim.consensus import Consensus
from leyden.wallet.claims import ClaimDraft
from leyden.wallet.wallet import Wallet
from tests.manager.stage import Stage
from tests.node.pair import WAIT_SECONDS, pair
from tests.sim import topologies
from tests.sim.test_director import Room

CLOSE = ("fees 9000 minimum=2700", "force-close alice alice-bob", "rest")


def some_claim(feerate_per_kw: int = 1_000) -> FundClaim:
    """A claim that no channel asked for."""
    tx = Transaction(2, (TxIn(OutPoint(b"\x07" * 32, 0), b"", 0),), (), 0)
    return FundClaim(b"c" * 32, tx, (TxOut(330, b"\x00\x20" + bytes(32)),), 320, feerate_per_kw, 10**6, 0, 0)


def test_commitment_gets_in_with_a_child_that_consensus_takes(tmp_path: Path) -> None:
    """The signatures of channel and wallet stand beside each other; Bitcoin Core's rules look at both."""
    room = Room()
    consensus = Consensus(tmp_path)
    room.world.validate = consensus
    room(*CLOSE)
    alice = room.world.nodes["alice"]
    commitment, child = [one.tx for one in room.world.chain.pool.entries()]
    assert {tx_in.prevout.txid for tx_in in child.inputs} > {commitment.txid()}
    assert consensus.valid >= 2
    assert alice.runtime.wallet.balance().locked_sat == 0
    room("mine 1", "rest")
    assert not room.world.chain.pool
    consensus.close()


def test_claim_waits_for_coins_and_says_so() -> None:
    """bob has no coin: his claim is asked for again at each block, until there is one."""
    room = Room()("fees 9000 minimum=2600", "crash alice", "force-close bob alice-bob", "rest")
    bob = room.world.nodes["bob"]
    assert any("no coins" in one.text and "send at least that" in one.text for one in bob.reports)
    room.world.grant("bob", 100_000)
    (slot,) = bob.manager.channels.values()
    room("mine 1", "rest")
    assert slot.state.core.spent is None
    room("mine 1", "rest", "mine 1", "rest")
    assert slot.state.core.spent is not None


@pytest.mark.parametrize(("code", "level"), [("fee_too_high", "warning"), ("insufficient_funds", "error")])
def test_claim_that_would_cost_too_much_is_no_alarm(code: str, level: str) -> None:
    """Coins can be sent when there are none; nothing can be done about the price."""
    room = Room()
    wallet = cast(Wallet, room.world.nodes["bob"].runtime.wallet)

    def refuse(*_args: object) -> ClaimDraft:
        raise CommandRejected("planted", code=code)

    wallet.fund_claim = refuse  # type: ignore[method-assign, assignment]
    room("fees 9000 minimum=2600", "crash alice", "force-close bob alice-bob", "rest")
    assert [one.level for one in room.world.nodes["bob"].reports if "planted" in one.text] == [level]


def test_coins_that_wait_for_a_block_are_no_alarm_and_are_told_when_that_was_in_vain() -> None:
    """The next block frees them, mostly; then coins that are missing for good are told all the same."""
    room = Room()
    wallet = cast(Wallet, room.world.nodes["bob"].runtime.wallet)
    codes = ["coins_in_use", "coins_in_use", "coins_in_use", "insufficient_funds", "insufficient_funds"]

    def refuse(*_args: object) -> ClaimDraft:
        raise CommandRejected("planted", code=codes.pop(0))

    def levels() -> list[str]:
        return [one.level for one in room.world.nodes["bob"].reports if "planted" in one.text]

    wallet.fund_claim = refuse  # type: ignore[method-assign, assignment]
    room("fees 9000 minimum=2600", "crash alice", "force-close bob alice-bob", "rest")
    assert levels() == []
    for told in (["warning"], ["warning"], ["warning", "error"], ["warning", "error"]):
        room("mine 1", "rest")
        assert levels() == told


def test_what_nobody_wants_any_more_keeps_no_coins() -> None:
    """The output was taken between question and answer."""
    alice = Stage(topologies.direct())["alice"]
    before = alice.runtime.wallet.balance()
    fund_claim(alice.runtime, some_claim())
    alice.life.run_posted()
    assert alice.runtime.wallet.balance() == before
    assert before.spendable_sat > 0


def test_claims_are_paid_for_without_a_store() -> None:
    """A dead disk stops neither penalties nor claims."""
    alice = Stage(topologies.direct())["alice"]
    alice.runtime.broken = StorageBroken("gone")
    fund_claim(alice.runtime, some_claim())
    fund_claim(alice.runtime, some_claim(10**6))
    alice.life.run_posted()
    assert alice.runtime.wallet.balance().locked_sat == 0


async def test_node_publishes_both_and_tells_the_manager_of_a_refusal(tmp_path: Path) -> None:
    """What is refused pays more with the next block; what is taken stays."""
    async with pair(tmp_path) as both:
        await both.fund()
        opening = await both.open()
        both.chain.set_mempool_feerate(50_000)
        node = both.alice
        slot = node.core.manager.channels[bytes.fromhex(opening.channel_id)]
        node.core.manager.set_env(feerate_per_kw=9_000, closing_feerate_per_kw=9_000)
        await node.close(opening.channel_id, force=True)
        async with asyncio.timeout(WAIT_SECONDS):
            while slot.anchor_claim is None or not slot.anchor_claim.refused:  # noqa: ASYNC110 - no event says it
                await asyncio.sleep(0)
        assert not both.chain.pool
        both.chain.set_mempool_feerate(0)
        both.chain.mine(1, bytes(22))
        async with asyncio.timeout(WAIT_SECONDS):
            while len(both.chain.pool) < 2:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0)
        assert not slot.anchor_claim.refused
