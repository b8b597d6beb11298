"""The reckoning rests on whose an output is, and must not have to ask the nodes that it checks."""

from pathlib import Path

import pytest

from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.demo.onchain.chain import read_blocks, wallets
from leyden.demo.processes import DemoNode
from leyden.node import boot, config
from leyden.wallet.keys import CHANGE_P2WPKH, RECEIVE_P2TR, SHUTDOWN_P2WPKH, AccountSigner, Keychain, Keyring


def node(name: str, folder: Path) -> DemoNode:
    """A node that was never started, with its key."""
    made = DemoNode(name, folder / name, 10_000, 10_001, folder, "")
    settings = config.load(None, {}, {"data_dir": made.child.directory})
    boot.open_key(settings, config.network_of(settings), None)
    return made


def script(of: DemoNode, row: Keychain, index: int) -> bytes:
    """An output script of its wallet."""
    settings = config.load(None, {}, {"data_dir": of.child.directory})
    keyring = Keyring(AccountSigner(boot.open_key(settings, config.network_of(settings), None).wallet_account))
    return keyring.script_pubkey(row.path(index))


@pytest.mark.parametrize("row", [CHANGE_P2WPKH, RECEIVE_P2TR, SHUTDOWN_P2WPKH])
def test_every_script_of_a_wallet_is_known_for_its(row: Keychain, tmp_path: Path) -> None:
    """Coins, change, and what channels pay when they close; also beyond the gap that a wallet watches at first."""
    alice, bob = node("alice", tmp_path), node("bob", tmp_path)
    owner_of = wallets([alice, bob])
    assert owner_of(script(alice, row, 0)) == "alice"
    assert owner_of(script(bob, row, 100)) == "bob"
    assert owner_of(b"\x00\x14" + bytes(20)) is None


async def test_blocks_are_read_from_the_first_to_the_last() -> None:
    """A block that is left out would be fees that nobody has paid."""
    made = [Transaction(2, (TxIn(OutPoint(bytes(32), n), b"", 0),), (TxOut(n, b"\x51"),), 0) for n in range(1, 4)]
    chain = [[made[0]], [made[1], made[2]]]

    async def rpc(method: str, *params: object) -> object:
        match method:
            case "getblockcount":
                return len(chain)
            case "getblockhash":
                return params[0]
            case _:
                assert isinstance(params[0], int)
                return {"tx": [{"hex": one.serialize().hex()} for one in chain[params[0] - 1]]}

    assert await read_blocks(rpc) == chain
