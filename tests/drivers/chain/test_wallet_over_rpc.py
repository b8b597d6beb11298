"""The wallet fed by the JSON-RPC driver, as the node does it: mined to, sent from, swept, reorganised."""

from hashlib import sha256

import pytest

from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import Transaction
from leyden.drivers.chain.bitcoind import BitcoindChainSource
from leyden.ports.chain import BlockConnected, BlocksDisconnected
from leyden.signer.in_memory import InMemorySigner
from leyden.wallet.building import Draft
from leyden.wallet.checks import parse_destination
from leyden.wallet.keys import AccountSigner
from leyden.wallet.state import WalletState, fold
from leyden.wallet.wallet import AddressKind, Wallet, creation_record
from tests.drivers.chain.chain_world import ANYBODY, ChainWorld, Walk

COIN = 5_000_000_000


class FollowedWallet:
    """A wallet and the walk that feeds it."""

    def __init__(self, source: BitcoindChainSource) -> None:
        """Begin at the genesis block."""
        signer = AccountSigner(InMemorySigner(b"\x07" * 32, REGTEST).wallet_account)
        state = WalletState()
        fold(state, creation_record(REGTEST, signer, 0, restored=False))
        self.wallet = Wallet(REGTEST, signer, state, 0)
        self.source = source
        self.walk = Walk(source)

    async def to(self, block_hash: bytes) -> None:
        """Feed until a block is reached, offer what is on its way again, and compare with the UTXO set."""
        for event in await self.walk.to(block_hash):
            match event:
                case BlockConnected(block=block):
                    record = self.wallet.connect_block(block.height, block.hash, block.transactions, block.txids)
                case BlocksDisconnected(fork_height=fork_height):
                    record = self.wallet.disconnect_blocks(fork_height)
            if record is not None:
                self.wallet.fold(record)
        for raw in self.wallet.unconfirmed_transactions():
            assert (await self.source.broadcast(raw)).accepted
        for coin in self.wallet.coins():
            unspent = await self.source.get_txout(coin.outpoint, include_mempool=True)
            assert unspent is not None
            assert (unspent.value_sat, unspent.script_pubkey) == (coin.value_sat, coin.script_pubkey)
            assert unspent.confirmations == (self.wallet.height + 1 - coin.height if coin.height else 0)

    def address(self, kind: AddressKind = AddressKind.P2WPKH) -> bytes:
        """Issue an address; return the script that its text stands for."""
        issued = self.wallet.new_address(kind)
        if issued.record is not None:
            self.wallet.fold(issued.record)
        return parse_destination(issued.address, REGTEST)

    async def publish(self, draft: Draft) -> Transaction:
        """Sign, write, broadcast."""
        tx = self.wallet.sign(draft)
        self.wallet.fold(self.wallet.sent(tx))
        result = await self.source.broadcast(tx.serialize())
        assert result.accepted, result.reject_reason
        return tx


@pytest.mark.parametrize("depth", [6, 50])
async def test_money_comes_and_goes(world: ChainWorld, depth: int) -> None:
    """Everything between the words on the screen and the consensus rules, together."""
    followed = FollowedWallet(world.source)
    wallet = followed.wallet
    await world.mine(2, followed.address())
    await world.mine(1, followed.address(AddressKind.P2TR))
    hashes = await world.mine(100)
    await followed.to(hashes[-1])
    assert wallet.balance().spendable_sat == 3 * COIN
    feerate = (await world.source.estimate_fee(6)).feerate_per_kw
    for step in range(5):
        entropy = sha256(b"%d" % step).digest()
        await followed.publish(wallet.send(ANYBODY, COIN // 3, feerate, entropy))
        hashes = await world.mine(depth // 5, followed.address())
        await followed.to(hashes[-1])
    balance = wallet.balance()
    await world.leave(depth)
    hashes = await world.mine(depth + 1)
    await followed.to(hashes[-1])
    assert wallet.balance().confirmed_sat == balance.confirmed_sat
    assert wallet.balance().immature_sat < balance.immature_sat
    await followed.publish(wallet.send_all(ANYBODY, feerate, bytes(32)))
    assert wallet.balance().spendable_sat == 0
    hashes = await world.mine(1)
    await followed.to(hashes[-1])
    assert wallet.coins() == [coin for coin in wallet.coins() if coin.is_coinbase]
