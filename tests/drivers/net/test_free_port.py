"""A port is looked at before a node begins anything else."""

import asyncio

import pytest

from leyden.base.errors import CommandRejected
from leyden.drivers.net.free_port import check_can_listen


async def test_free_port_stays_free() -> None:
    """Looking must not take it: the node listens there itself soon after."""
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    await check_can_listen("127.0.0.1", port)
    again = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", port)
    again.close()


async def test_taken_port_and_foreign_address_are_refused() -> None:
    """The sentence names the address, says why, and what to do."""
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(CommandRejected, match=f"127.0.0.1:{port}.*in use.*`listen`"):
        await check_can_listen("127.0.0.1", port)
    server.close()
    with pytest.raises(CommandRejected) as refused:
        await check_can_listen("192.0.2.1", port)
    assert refused.value.code == "cannot_listen"
