"""A wallet on a regtest chain: every record is replayed and compared, every balance is checked with the UTXO set."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import OutPoint, Transaction, TxOut
from leyden.journal.node_codec import decode_node_record, encode_node_record
from leyden.journal.wallet_records import WalletRecord
from leyden.regtest.backend import Backend
from leyden.regtest.policy import PolicySettings
from leyden.signer.in_memory import InMemorySigner
from leyden.wallet.building import Draft
from leyden.wallet.keys import AccountSigner
from leyden.wallet.state import WalletState, fold, from_snapshot, to_snapshot
from leyden.wallet.wallet import COINBASE_MATURITY, AddressKind, Wallet, creation_record

SEED = bytes(range(32))
FEERATE = 1_000
ELSEWHERE = p2wsh_of_script(b"\x51")
"""A script that is not ours and that anybody could spend."""


def wallet_signer(seed: bytes = SEED) -> AccountSigner:
    """The signer of a seed's wallet."""
    return AccountSigner(InMemorySigner(seed, REGTEST).wallet_account)


class WalletWorld:
    """The chain, the wallet, and the wallet's journal."""

    def __init__(self, directory: Path, *, restored: bool = False) -> None:
        """Open an empty chain."""
        self.now = 1_700_000_000
        self.backend = Backend(directory, PolicySettings(), lambda: self.now)
        self.journal: list[bytes] = []
        self.replayed = WalletState()
        self.seen: list[bytes] = [self.backend.chain.tree.at(0).hash]
        self._draws = 0
        self.wallet = self._start(creation_record(REGTEST, wallet_signer(), 0, restored))

    def _start(self, first: WalletRecord) -> Wallet:
        state = WalletState()
        fold(state, first)
        fold(self.replayed, first)
        self.journal.append(encode_node_record(first))
        return Wallet(REGTEST, wallet_signer(), state, 0)

    def record(self, record: WalletRecord | None) -> None:
        """Write a record, fold it, and check that replay and snapshot agree."""
        if record is None:
            return
        encoded = encode_node_record(record)
        self.journal.append(encoded)
        again = decode_node_record(encoded)
        assert again == record
        self.wallet.fold(record)
        fold(self.replayed, again)  # type: ignore[arg-type]
        assert self.replayed == self.wallet.state
        assert from_snapshot(self.wallet.snapshot()) == self.wallet.state

    def restart(self, height: int | None = None) -> None:
        """Begin a new life from the journal; `height` is what the node knew as its best block."""
        known = self.wallet.height if height is None else height
        state = WalletState()
        for encoded in self.journal:
            fold(state, decode_node_record(encoded))  # type: ignore[arg-type]
        assert to_snapshot(state) == self.wallet.snapshot()
        self.wallet = Wallet(REGTEST, wallet_signer(), state, known)
        self.record(self.wallet.disconnect_blocks(known))
        del self.seen[known + 1 :]

    def entropy(self) -> bytes:
        """The next 32 bytes of a fixed sequence."""
        self._draws += 1
        return sha256(b"%d" % self._draws).digest()

    # ---------------------------------------------------------------------------------------------------------- chain

    def sync(self) -> None:
        """Feed the wallet what happened to the best chain, and check it against the UTXO set."""
        tree = self.backend.chain.tree
        fork = len(self.seen) - 1
        while fork > tree.height or tree.at(fork).hash != self.seen[fork]:
            fork -= 1
        if fork < len(self.seen) - 1:
            del self.seen[fork + 1 :]
            self.record(self.wallet.disconnect_blocks(fork))
        if self.wallet.rescan_from is not None:
            self._feed(self.wallet.rescan_from, fork)
            self.record(self.wallet.rescan_finished())
        self._feed(fork + 1, tree.height)
        assert self.wallet.rescan_from is None
        self.rebroadcast()
        self.check()

    def rebroadcast(self) -> None:
        """Offer what is on its way again, as a node does after a reorganisation; the mempool must take it."""
        for raw in self.wallet.unconfirmed_transactions():
            tx = Transaction.parse(raw)
            if tx.txid() not in self.backend.pool:
                self.broadcast(tx)

    def _feed(self, first: int, last: int) -> None:
        for height in range(first, last + 1):
            entry = self.backend.chain.tree.at(height)
            parsed = self.backend.chain.parsed_block(entry)
            self.record(self.wallet.connect_block(height, entry.hash, parsed.block.transactions, parsed.txids))
            if height >= len(self.seen):
                self.seen.append(entry.hash)

    def mine(self, count: int = 1, script_pubkey: bytes = ELSEWHERE) -> None:
        """Mine blocks with what the pool holds."""
        self.backend.mine(script_pubkey, count)
        self.sync()

    def leave(self, depth: int) -> None:
        """Shut the last `depth` blocks out; the wallet hears of it with the blocks that replace them."""
        tree = self.backend.chain.tree
        self.backend.invalidate(tree.at(tree.height + 1 - depth).hash)

    def drop_pool(self) -> None:
        """Empty the mempool, as if its transactions had never been heard of."""
        for entry in list(self.backend.pool):
            if entry.txid in self.backend.pool:
                self.backend.pool.remove_with_descendants([entry])

    # --------------------------------------------------------------------------------------------------------- wallet

    def fund(self, blocks: int = 1, kind: AddressKind = AddressKind.P2WPKH) -> bytes:
        """Mine blocks to a new address until their coinbases are mature; return its script."""
        script_pubkey = self.address(kind)
        self.mine(blocks, script_pubkey)
        self.mine(COINBASE_MATURITY)
        return script_pubkey

    def address(self, kind: AddressKind = AddressKind.P2WPKH) -> bytes:
        """Issue an address; return its script."""
        issued = self.wallet.new_address(kind)
        self.record(issued.record)
        return issued.script_pubkey

    def publish(self, draft: Draft) -> Transaction:
        """Sign and send a draft of `send` or `send_all`: its record first, then the mempool, which must take it."""
        tx = self.wallet.sign(draft)
        assert tx.txid() == draft.transaction.txid()
        self.record(self.wallet.sent(tx))
        self.broadcast(tx)
        return tx

    def broadcast(self, tx: Transaction) -> None:
        """Offer a transaction to the mempool, which must take it."""
        self.backend.send(tx, 0)

    @staticmethod
    def transaction(raw: bytes) -> Transaction:
        """Parse a transaction."""
        return Transaction.parse(raw)

    def send(self, amount_sat: int, script_pubkey: bytes = ELSEWHERE, feerate_per_kw: int = FEERATE) -> Transaction:
        """Pay an amount."""
        return self.publish(self.wallet.send(script_pubkey, amount_sat, feerate_per_kw, self.entropy()))

    def pay_many(self, script_pubkeys: Sequence[bytes], amount_sat: int) -> Transaction:
        """Pay the same amount to several scripts in one transaction."""
        outputs = [TxOut(amount_sat, script_pubkey) for script_pubkey in script_pubkeys]
        return self.publish(self.wallet.build_funding(b"many", outputs, FEERATE, 0, self.entropy()))

    def utxos_sat(self) -> tuple[int, int]:
        """Sum the outputs of the UTXO set that pay to us: mature ones that the pool does not spend, immature ones."""
        mature = immature = 0
        for outpoint, coin in self.backend.chain.coins.items():
            if not self.wallet.is_own_script(coin.script_pubkey):
                continue
            if coin.is_coinbase and self.backend.chain.tree.height + 1 - coin.height < COINBASE_MATURITY:
                immature += coin.value_sat
            elif self.backend.pool.spender(outpoint) is None:
                mature += coin.value_sat
        return mature, immature

    def check(self) -> None:
        """Compare with the UTXO set; what the wallet has on its way must be in the pool for this."""
        balance = self.wallet.balance()
        assert (balance.confirmed_sat, balance.immature_sat) == self.utxos_sat()
        pool = sum(
            out.value_sat
            for entry in self.backend.pool
            for vout, out in enumerate(entry.tx.outputs)
            if self.wallet.is_own_script(out.script_pubkey)
            and self.backend.pool.spender(OutPoint(entry.txid, vout)) is None
            and entry.txid in self.own_pending()
        )
        assert balance.unconfirmed_sat == pool

    def own_pending(self) -> set[bytes]:
        """The transactions that the wallet knows to be on their way."""
        return {entry.txid for entry in self.wallet._pending.live()}

    def close(self) -> None:
        """Release the chain."""
        self.backend.close()
