"""A regtest chain inside this process: for trying things out, examples and tests. No bitcoind is needed."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Final, final

from leyden.base.errors import CommandRejected
from leyden.node.control import NodeControl
from leyden.node.settings import BitcoindSettings
from leyden.regtest.rpc_errors import RpcError
from leyden.regtest.service import RegtestService

NOBODYS_ADDRESS: Final = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
"""Its key is in a test vector of BIP 173; what it gets on a chain without value does not matter."""
MATURITY_BLOCKS: Final = 100
_LOOK_SECONDS: Final = 0.02


@final
class EmbeddedChain:
    """Bitcoin Core's own consensus code behind bitcoind's JSON-RPC, as an async context manager.

        async with leyden.EmbeddedChain("chain") as chain:
            config = leyden.NodeConfig(data_dir="shop", bitcoind=chain.bitcoind)

    directory: where its blocks are kept; made when absent.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory).absolute()
        self._service: RegtestService | None = None

    async def __aenter__(self) -> "EmbeddedChain":
        """Start it; a new chain gets its first block. Raises CommandRejected: another process has the directory."""
        self._service = await RegtestService.start(self._directory)
        if await self.height() == 0:
            await self.mine(1)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        await self._running.stop()

    @property
    def _running(self) -> RegtestService:
        if self._service is None:
            raise CommandRejected("the chain is not running: use it with `async with`", code="not_running")
        return self._service

    @property
    def bitcoind(self) -> BitcoindSettings:
        """What a node's configuration needs to use this chain."""
        service = self._running
        return BitcoindSettings(url=f"http://127.0.0.1:{service.port}", cookie_file=str(service.cookie_path))

    async def height(self) -> int:
        """Return the height of the tip."""
        height = await self._running.call("getblockcount")
        assert isinstance(height, int)
        return height

    async def mine(self, blocks: int, address: str = NOBODYS_ADDRESS) -> None:
        """Mine blocks whose rewards go to an address. Raises CommandRejected (`invalid_address`)."""
        try:
            await self._running.call("generatetoaddress", blocks, address)
        except RpcError as error:
            raise CommandRejected(error.message, code="invalid_address") from None

    async def fund(self, node: NodeControl) -> None:
        """Give a node the reward of one block, and wait until it can be spent."""
        before_sat = (await node.balance()).confirmed_sat
        await self.mine(1, (await node.new_address()).address)
        await self.mine(MATURITY_BLOCKS)
        while True:
            if (await node.balance()).confirmed_sat > before_sat:
                return
            await asyncio.sleep(_LOOK_SECONDS)
