"""What LND asks and tells while it runs: whether a channel is wanted, and custom messages."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Final, final

import aiohttp

from interop.foreign import CustomMessage, PeerFailed
from interop.lnd_rest import Json, LndRest, hex_of

RETRY_SECONDS: Final = 0.2
OPEN_SECONDS: Final = 10.0


@final
class LndStreams:
    """The streams of one life of the node.

    trusted: node ids whose zero-conf channels are accepted. custom_messages: those that came.
    """

    def __init__(self, rest: LndRest) -> None:
        self._rest = rest
        self._tasks: list[asyncio.Task[None]] = []
        self._answering = asyncio.Event()
        self.trusted: set[str] = set()
        self.custom_messages: list[CustomMessage] = []

    async def open(self) -> None:
        """Begin to answer and to listen. Raises PeerFailed when LND does not want an answer."""
        self.custom_messages.clear()
        self._answering.clear()
        self._tasks = [asyncio.create_task(_again(one)) for one in (self._accept_channels, self._take_messages)]
        try:
            await asyncio.wait_for(self._answering.wait(), OPEN_SECONDS)
        except TimeoutError:
            raise PeerFailed("lnd does not ask us about channels") from None

    async def close(self) -> None:
        """End both."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept_channels(self) -> None:
        """Say yes to every channel; LND takes zero-conf ones only when somebody says so."""
        async with self._rest.websocket("/v1/channels/acceptor?method=POST") as socket:
            self._answering.set()
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                request: Json = json.loads(message.data)["result"]
                await socket.send_str(json.dumps(self._answer(request)))

    def _answer(self, request: Json) -> Json:
        wants_zero_conf = bool(request.get("wants_zero_conf"))
        is_trusted = hex_of(request["node_pubkey"]) in self.trusted
        return {
            "accept": is_trusted or not wants_zero_conf,
            "pending_chan_id": request["pending_chan_id"],
            "zero_conf": wants_zero_conf and is_trusted,
            "min_accept_depth": 0 if wants_zero_conf else 1,
            "error": "" if is_trusted or not wants_zero_conf else "zero-conf is for trusted peers only",
        }

    async def _take_messages(self) -> None:
        async with self._rest.stream("GET", "/v1/custommessage/subscribe") as results:
            async for one in results:
                payload = bytes.fromhex(hex_of(one.get("data", "")))
                self.custom_messages.append(CustomMessage(hex_of(one["peer"]), int(one["type"]), payload))


async def _again(stream: Callable[[], Awaitable[None]]) -> None:
    while True:
        with contextlib.suppress(PeerFailed, aiohttp.ClientError, OSError):
            await stream()
        await asyncio.sleep(RETRY_SECONDS)
