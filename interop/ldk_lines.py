"""JSON lines to and from the LDK program: requests `{id, method, params}`, answers in any order."""

import asyncio
from typing import Any, Final, final

import msgspec

from interop.foreign import PeerFailed, PeerRefused

ANSWER_SECONDS: Final = 90.0
"""Longer than the program itself waits for a peer that does not answer an opening."""

CLOSE_SECONDS: Final = 2.0


class _Error(msgspec.Struct):
    kind: str
    text: str


class _Answer(msgspec.Struct):
    id: int
    result: Any = None
    error: _Error | None = None


@final
class LdkLines:
    """The conversation with one life of the program."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None, "the program is started with pipes"
        assert process.stdout is not None, "the program is started with pipes"
        self._input = process.stdin
        self._output = process.stdout
        self._waiting: dict[int, asyncio.Future[Any]] = {0: asyncio.get_running_loop().create_future()}
        self._next_id = 1
        self.has_ended = False
        """Whether the program has said its last word."""
        self._reader = asyncio.create_task(self._read())

    async def begin(self, options: dict[str, object], seconds: float) -> None:
        """Send the options; return when the node has started. Raises PeerFailed."""
        self._input.write(msgspec.json.encode(options) + b"\n")
        await self._answer(0, "start", seconds)

    async def call(self, method: str, seconds: float = ANSWER_SECONDS, /, **params: object) -> Any:
        """Call a method; return its result. Raises PeerRefused, PeerFailed."""
        if self.has_ended:
            raise PeerFailed(f"ldk ended before {method}")
        request_id, self._next_id = self._next_id, self._next_id + 1
        self._waiting[request_id] = asyncio.get_running_loop().create_future()
        request = {"id": request_id, "method": method, "params": params}
        self._input.write(msgspec.json.encode(request) + b"\n")
        return await self._answer(request_id, method, seconds)

    def tell(self, method: str) -> None:
        """Send a request that has no answer."""
        if not self.has_ended:
            self._input.write(msgspec.json.encode({"id": 0, "method": method}) + b"\n")

    async def close(self) -> None:
        """Forget the conversation; whoever still waits for an answer hears that the program is gone."""
        self._input.close()
        await asyncio.wait([self._reader], timeout=CLOSE_SECONDS)  # a program that is gone has said its last word
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _answer(self, request_id: int, method: str, seconds: float) -> Any:
        try:
            return await asyncio.wait_for(self._waiting[request_id], seconds)
        except TimeoutError:
            raise PeerFailed(f"ldk did not answer {method} in {seconds:g} s") from None
        finally:
            del self._waiting[request_id]

    async def _read(self) -> None:
        try:
            while line := await self._output.readline():
                self._take(line)
        except (OSError, ValueError, msgspec.DecodeError) as error:
            self._fail_all(f"ldk's answers ended: {error}")
        finally:
            self._fail_all("ldk ended")

    def _take(self, line: bytes) -> None:
        answer = msgspec.json.decode(line, type=_Answer)
        future = self._waiting.get(answer.id)
        if future is None or future.done():
            return
        if answer.error is None:
            future.set_result(answer.result)
        else:
            future.set_exception(outcome(answer.error.kind, answer.error.text))

    def _fail_all(self, why: str) -> None:
        self.has_ended = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(PeerFailed(why))
                future.exception()  # a caller that is gone need not look


def outcome(kind: str, text: str) -> PeerRefused | PeerFailed:
    """Return the exception that an error of the program stands for."""
    return PeerRefused(text) if kind == "refused" else PeerFailed(text)
