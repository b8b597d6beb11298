"""A chain inside the process, for examples, tests and whoever tries Leyden for the first time."""

from pathlib import Path

import pytest

from leyden.base.errors import CommandRejected
from leyden.node.embedded_chain import EmbeddedChain


async def test_blocks_are_there_again(tmp_path: Path) -> None:
    """A program that starts again finds its chain, not a new one."""
    async with EmbeddedChain(tmp_path / "chain") as chain:
        assert await chain.height() == 1
        await chain.mine(2)
        assert chain.bitcoind.cookie_file == str(tmp_path / "chain" / ".cookie")
    async with EmbeddedChain(tmp_path / "chain") as chain:
        assert await chain.height() == 3


async def test_refusals_have_a_name(tmp_path: Path) -> None:
    """Each is an error that a program can match, with nothing done."""
    chain = EmbeddedChain(tmp_path / "chain")
    with pytest.raises(CommandRejected) as refused:
        await chain.height()
    assert refused.value.code == "not_running"
    async with chain:
        with pytest.raises(CommandRejected) as refused:
            await chain.mine(1, "nonsense")
        assert refused.value.code == "invalid_address"
        with pytest.raises(CommandRejected) as refused:
            await EmbeddedChain(tmp_path / "chain").__aenter__()
        assert refused.value.code == "directory_in_use"
        assert await chain.height() == 1
