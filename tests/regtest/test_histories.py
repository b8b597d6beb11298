"""Random histories: whatever happens in whatever order, chain, coins and pool agree, and a restart changes nothing."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from leyden.bitcoin.tx import OutPoint, TxOut
from leyden.regtest.coins import is_unspendable
from leyden.regtest.kernel import Verdict
from leyden.regtest.policy import TransactionRejected
from tests.regtest.world import SCRIPT, Money, World, outputs_of, spend

PICKS = st.lists(st.integers(0, 1_000), min_size=1, max_size=3)


class Histories(RuleBasedStateMachine):
    """Mine, send, replace, reorganise, restart."""

    def __init__(self) -> None:
        """Open a chain."""
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self.folder.name))
        self.shut_out: list[bytes] = []

    @initialize()
    def begin(self) -> None:
        """Some money is mature."""
        self.world.mine(106)

    def teardown(self) -> None:
        """Close."""
        self.world.backend.close()
        self.folder.cleanup()

    def money(self) -> list[Money]:
        """Everything that could be spent, confirmed or not, spent by the pool or not."""
        chain, pool = self.world.backend.chain, self.world.backend.pool
        found = [Money(outpoint, coin.value_sat) for outpoint, coin in chain.coins.items() if coin.value_sat > 10_000]
        for entry in pool:
            found += [money for money in outputs_of(entry.tx) if money.value_sat > 10_000]
        return found

    @rule(count=st.integers(1, 3))
    def mine(self, count: int) -> None:
        """Blocks with what the pool offers; a block of ours that is refused fails by itself."""
        self.world.mine(count)

    @rule(
        picks=st.lists(st.integers(0, 1_000), min_size=1, max_size=3),
        fee_sat=st.integers(0, 5_000),
        parts=st.integers(1, 3),
    )
    def send(self, picks: list[int], fee_sat: int, parts: int) -> None:
        """Spend anything: most are accepted, some replace, some are refused."""
        money = self.money()
        chosen = list({money[pick % len(money)].outpoint: money[pick % len(money)] for pick in picks}.values())
        value = (sum(m.value_sat for m in chosen) - fee_sat) // parts
        before = self.world.pool_ids()
        try:
            self.world.send(spend(chosen, [TxOut(value, SCRIPT)] * parts))
        except TransactionRejected:
            assert self.world.pool_ids() == before

    @rule(depth=st.integers(0, 4))
    def invalidate(self, depth: int) -> None:
        """Shut a recent block out."""
        tree = self.world.backend.chain.tree
        target = tree.at(max(tree.height - depth, 1)).hash
        self.world.backend.invalidate(target)
        self.shut_out.append(target)

    @precondition(lambda self: self.shut_out)
    @rule(pick=st.integers(0, 10))
    def reconsider(self, pick: int) -> None:
        """Let one in again."""
        self.world.backend.reconsider(self.shut_out.pop(pick % len(self.shut_out)))

    @rule()
    def empty_rival(self) -> None:
        """A block without the pool, from elsewhere."""
        raw = self.world.backend.make_block(SCRIPT, [])
        assert self.world.backend.submit_block(raw).verdict is Verdict.VALID

    @rule()
    def restart(self) -> None:
        """Chain and coins come back as they were; the pool is forgotten."""
        chain = self.world.backend.chain
        before = (chain.tree.tip.hash, dict(chain.coins.items()))
        self.world.restart()
        chain = self.world.backend.chain
        assert (chain.tree.tip.hash, dict(chain.coins.items())) == before

    @invariant()
    def coins_are_what_the_chain_says(self) -> None:
        """Replay the active branch naively."""
        chain = self.world.backend.chain
        assert chain.kernel.tip() == (chain.tree.height, chain.tree.tip.hash)
        expected: dict[OutPoint, None] = {}
        for height in range(1, chain.tree.height + 1):
            for tx in chain.parsed_block(chain.tree.at(height)).block.transactions:
                for tx_in in tx.inputs:
                    expected.pop(tx_in.prevout, None)
                expected.update({m.outpoint: None for m in outputs_of(tx) if not is_unspendable(m.script_pubkey)})
        assert dict.fromkeys(outpoint for outpoint, _ in chain.coins.items()) == expected

    @invariant()
    def pool_could_be_mined(self) -> None:
        """Every input exists, nothing is confirmed already, counters are right."""
        chain, pool = self.world.backend.chain, self.world.backend.pool
        for entry in pool:
            assert chain.find_transaction(entry.txid) is None
            for tx_in in entry.tx.inputs:
                assert (tx_in.prevout.txid in pool) or chain.coins.get(tx_in.prevout) is not None
                assert pool.spender(tx_in.prevout) == entry
        assert pool.vsize == sum(entry.vsize for entry in pool)
        assert pool.fee_sat == sum(entry.fee_sat for entry in pool)


Histories.TestCase.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)
TestHistories = Histories.TestCase
