"""Whether a port can be listened at, asked before anything else is begun."""

import asyncio
import os

from leyden.base.errors import CommandRejected


async def check_can_listen(host: str, port: int) -> None:
    """Raise CommandRejected (`cannot_listen`) when somebody else listens there, or the address is not ours."""
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(asyncio.Protocol, host, port, reuse_address=True, start_serving=False)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise CommandRejected(
            f"cannot listen on {host}:{port} ({why}): "
            "stop what uses it, or choose another address with the setting `listen`",
            code="cannot_listen",
        ) from None
    server.close()
