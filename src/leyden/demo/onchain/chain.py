"""What the reckoning asks of the world: all blocks, and whose wallet an output pays to."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, cast

from leyden.bitcoin.tx import Transaction
from leyden.demo.processes import DemoNode
from leyden.node import boot, config
from leyden.wallet.keys import KEYCHAINS, AccountSigner, Keyring

_WATCHED_KEYS: Final = 200
"""Of each row: more than a node of the demo uses."""


Rpc: TypeAlias = Callable[..., Awaitable[object]]


async def read_blocks(rpc: Rpc) -> list[list[Transaction]]:
    """Return the transactions of each block, from height 1 on; the coinbase is the first."""
    blocks: list[list[Transaction]] = []
    for height in range(1, cast("int", await rpc("getblockcount")) + 1):
        block = cast("dict[str, Any]", await rpc("getblock", await rpc("getblockhash", height), 2))
        blocks.append([Transaction.parse(bytes.fromhex(one["hex"])) for one in block["tx"]])
    return blocks


def wallets(nodes: list[DemoNode]) -> Callable[[bytes], str | None]:
    """Return what tells the node whose wallet has an output script. It knows the seeds, and asks no node."""
    keyrings = {node.name: _keyring(node) for node in nodes}

    def owner_of(script_pubkey: bytes) -> str | None:
        for name, keyring in keyrings.items():
            if keyring.find(script_pubkey) is not None:
                return name
        return None

    return owner_of


def _keyring(node: DemoNode) -> Keyring:
    settings = config.load(None, {}, {"data_dir": node.child.directory})
    keyring = Keyring(AccountSigner(boot.open_key(settings, config.network_of(settings), None).wallet_account))
    for row in KEYCHAINS:
        keyring.watch(row, _WATCHED_KEYS)
    return keyring
