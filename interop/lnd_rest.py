"""LND's REST: JSON over HTTP, streams of JSON lines, and one WebSocket."""

import asyncio
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, final

import aiohttp
import msgspec

from interop.foreign import PeerFailed, PeerRefused

CALL_SECONDS: Final = 60.0
LINE_BYTES_MAX: Final = 1 << 24
Json = dict[str, Any]


def base64_of(hexadecimal: str) -> str:
    """Return bytes as LND's JSON has them."""
    return b64encode(bytes.fromhex(hexadecimal)).decode()


def base64_in_path(hexadecimal: str) -> str:
    """Return bytes as LND has them in the path of a URL."""
    return urlsafe_b64encode(bytes.fromhex(hexadecimal)).decode()


def hex_of(base64: str) -> str:
    """Return bytes of LND's JSON as everybody else shows them."""
    return b64decode(base64).hex()


@final
class LndRest:
    """The REST of one LND on 127.0.0.1. Raises PeerRefused with its words, PeerFailed when it cannot be talked to."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"
        self._session: aiohttp.ClientSession | None = None

    @property
    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, connect=5.0),
                read_bufsize=LINE_BYTES_MAX,
            )
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, path: str, **query: object) -> Json:
        """Call with GET."""
        return await self._call("GET", path, query, None)

    async def post(self, path: str, body: Json) -> Json:
        """Call with POST."""
        return await self._call("POST", path, {}, body)

    async def delete(self, path: str) -> Json:
        """Call with DELETE."""
        return await self._call("DELETE", path, {}, None)

    async def _call(self, method: str, path: str, query: dict[str, object], body: Json | None) -> Json:
        params = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in query.items()}
        try:
            async with (
                asyncio.timeout(CALL_SECONDS),
                self._open_session.request(method, self._base + path, params=params, json=body) as response,
            ):
                content: Json = msgspec.json.decode(await response.read())
                if response.status >= 400:
                    raise PeerRefused(_message(content))
                return content
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
            raise PeerFailed(f"lnd does not answer {method} {path}: {type(error).__name__} {error}") from None

    @asynccontextmanager
    async def stream(self, method: str, path: str, body: Json | None = None) -> AsyncIterator[AsyncIterator[Json]]:
        """Open a stream of results. Raises PeerRefused from the stream when LND ends it with an error."""
        try:
            async with self._open_session.request(method, self._base + path, json=body) as response:
                yield _results(response)
        except (aiohttp.ClientError, OSError) as error:
            raise PeerFailed(f"lnd does not answer {method} {path}: {type(error).__name__} {error}") from None

    @asynccontextmanager
    async def websocket(self, path: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a stream that goes both ways."""
        async with self._open_session.ws_connect(self._base + path, max_msg_size=LINE_BYTES_MAX) as socket:
            yield socket


async def _results(response: aiohttp.ClientResponse) -> AsyncIterator[Json]:
    async for line in response.content:
        if line.strip():
            content: Json = msgspec.json.decode(line)
            if response.status >= 400 or "error" in content:
                raise PeerRefused(_message(content.get("error", content)))
            yield content["result"]


def _message(content: Json) -> str:
    return str(content.get("message") or content.get("error") or content)
