"""Just enough HTTP/1.1 for the API: one request, with a length, from a stream; every size and time is bounded."""

import asyncio

import msgspec

from leyden.api.schema import BODY_BYTES_MAX, HEADER_BYTES_MAX
from leyden.base.errors import LeydenError

HEAD_SECONDS = 60
"""For a whole head; also how long a connection may be idle."""
BODY_SECONDS = 30

_REASONS = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict",
    411: "Length Required", 413: "Content Too Large", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 503: "Service Unavailable", 505: "HTTP Version Not Supported",
}  # fmt: skip


class Request(msgspec.Struct, frozen=True):
    """A whole request. keep_alive: the client wants to send another one."""

    verb: str
    path: str
    body: bytes
    keep_alive: bool


class HttpError(LeydenError):
    """A request that is refused before anybody reads its body as JSON; the connection ends with it."""

    def __init__(self, status: int, code: str, what: str) -> None:
        super().__init__(what)
        self.status = status
        self.code = code
        self.what = what


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read one request; None when the client has gone or was silent too long. Raises HttpError.

    The limit of `reader` must be `HEADER_BYTES_MAX`.
    """
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise HttpError(431, "header_too_large", f"the head is over {HEADER_BYTES_MAX} bytes") from None
    except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
        return None
    verb, path, fields, old = _parse_head(head)
    length = _body_length(fields, verb)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await reader.readexactly(length)
    except TimeoutError:
        raise HttpError(408, "request_timeout", f"the body did not come within {BODY_SECONDS} s") from None
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    keep_alive = fields.get("connection", "close" if old else "keep-alive").lower() != "close"
    return Request(verb, path, body, keep_alive)


def _parse_head(head: bytes) -> tuple[str, str, dict[str, str], bool]:
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):
        raise HttpError(400, "invalid_http", "the first line is not `METHOD /path HTTP/1.1`")
    if words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise HttpError(505, "invalid_http", "only HTTP/1.1 is spoken here")
    fields: dict[str, str] = {}
    for line in lines:
        name, separator, value = line.partition(":")
        # A blank before the colon or a folded line is how requests are smuggled.
        if not separator or not name or name != name.strip():
            raise HttpError(400, "invalid_http", "a header line is not `Name: value`")
        if name.lower() in fields and name.lower() == "content-length":
            raise HttpError(400, "invalid_http", "two Content-Length")
        fields[name.lower()] = value.strip()
    return words[0], words[1], fields, words[2] == "HTTP/1.0"


def _body_length(fields: dict[str, str], verb: str) -> int:
    if "transfer-encoding" in fields:
        raise HttpError(411, "length_required", "send the body with a Content-Length, not in chunks")
    text = fields.get("content-length", "0" if verb != "POST" else "")
    if not text:
        raise HttpError(411, "length_required", "a POST needs a Content-Length")
    if not (text.isascii() and text.isdigit()):
        raise HttpError(400, "invalid_http", "Content-Length is no number")
    if len(text) > 10 or int(text) > BODY_BYTES_MAX:
        raise HttpError(413, "body_too_large", f"the body is over {BODY_BYTES_MAX} bytes")
    return int(text)


def response(status: int, body: bytes, *, keep_alive: bool) -> bytes:
    """Return a whole response with a JSON body."""
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Connection: {'keep-alive' if keep_alive else 'close'}\r\n\r\n"
    )
    return head.encode("ascii") + body
