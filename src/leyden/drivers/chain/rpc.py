"""JSON-RPC as bitcoind speaks it: credentials, single calls and batches, errors told apart."""

from base64 import b64encode
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, cast, final

import msgspec

from leyden.base.errors import ChainUnavailable
from leyden.drivers.chain.http import HttpClient, Response

METHOD_NOT_FOUND: Final = -32601
NOT_FOUND: Final = -5
OUT_OF_RANGE: Final = -8
MISC_ERROR: Final = -1
ALREADY_IN_CHAIN: Final = -27
IN_WARMUP: Final = -28

_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_NOT_JSON_RPC: Final = 404
_BUSY: Final = 503


class RpcRefused(ChainUnavailable):
    """The service answered a call with an error. code: bitcoind's; message: its words."""

    def __init__(self, method: str, code: int, message: str) -> None:
        super().__init__(f"{method}: {message} (code {code})")
        self.code = code
        self.message = message


class CredentialsRefused(ChainUnavailable):
    """The service does not accept our user and password, or cookie."""


class UserPassword(msgspec.Struct, frozen=True):
    """Fixed credentials."""

    user: str
    password: str

    def __repr__(self) -> str:
        """Show the user only."""
        return f"UserPassword(user={self.user!r})"


class CookieFile(msgspec.Struct, frozen=True):
    """The file into which the service writes new credentials at each of its starts."""

    path: Path


class _Error(msgspec.Struct, frozen=True):
    code: int
    message: str = ""


class _Answer(msgspec.Struct, frozen=True):
    id: int | str | None = None
    result: Any = None
    error: _Error | None = None


_encoder = msgspec.json.Encoder()
# Amounts are decimal fractions of a bitcoin: a float would round them.
_one = msgspec.json.Decoder(_Answer, float_hook=Decimal)
_many = msgspec.json.Decoder(list[_Answer], float_hook=Decimal)


@final
class RpcClient:
    """Calls methods of one service. A cookie is read again when it is refused: a restarted service has a new one."""

    def __init__(self, http: HttpClient, credentials: UserPassword | CookieFile) -> None:
        self._http = http
        self._credentials = credentials
        self._authorization = ""

    async def call(self, method: str, *params: object) -> object:
        """Return the result of one call; numbers with a point are `Decimal`.

        Raises:
            RpcRefused: the service answered with an error. CredentialsRefused. ChainUnavailable: no usable answer.
        """
        request = {"jsonrpc": "1.0", "id": 0, "method": method, "params": params}
        response = await self._post(_encoder.encode(request))
        answer = self._decode(_one, response)
        return _result(method, answer)

    async def batch(self, method: str, params: Sequence[Sequence[object]]) -> list[object]:
        """Return the results of several calls of one method, in order. Raises as `call`, for the first that failed."""
        requests = [{"jsonrpc": "1.0", "id": n, "method": method, "params": p} for n, p in enumerate(params)]
        response = await self._post(_encoder.encode(requests))
        answers = {answer.id: answer for answer in self._decode(_many, response)}
        if sorted(map(str, answers)) != sorted(map(str, range(len(requests)))):
            raise ChainUnavailable(f"chain service: {method}: the answers of a batch do not match its calls")
        return [_result(method, answers[n]) for n in range(len(requests))]

    async def _post(self, body: bytes) -> Response:
        if not self._authorization:
            self._authorization = self._read_credentials()
        used = self._authorization
        response = await self._http.post("/", self._headers(used), body)
        if response.status == _UNAUTHORIZED:
            self._authorization = self._read_credentials()
            if self._authorization == used:
                raise CredentialsRefused(f"chain service refuses our credentials ({self._where()})")
            response = await self._http.post("/", self._headers(self._authorization), body)
        if response.status in (_UNAUTHORIZED, _FORBIDDEN):
            raise CredentialsRefused(f"chain service refuses our credentials ({self._where()})")
        if response.status == _BUSY:
            raise ChainUnavailable("chain service is too busy to answer")
        return response

    @staticmethod
    def _headers(authorization: str) -> dict[str, str]:
        return {"Authorization": authorization, "Content-Type": "application/json"}

    def _where(self) -> str:
        match self._credentials:
            case CookieFile(path=path):
                return f"cookie file {path}"
            case UserPassword(user=user):
                return f"user {user}"

    def _read_credentials(self) -> str:
        match self._credentials:
            case UserPassword(user=user, password=password):
                return _basic(f"{user}:{password}")
            case CookieFile(path=path):
                try:
                    return _basic(path.read_text().strip())
                except (OSError, UnicodeDecodeError) as error:
                    why = error.strerror if isinstance(error, OSError) else "not text"
                    raise ChainUnavailable(f"cookie file {path}: {why}: is the chain service running?") from None

    @staticmethod
    def _decode(decoder: msgspec.json.Decoder[Any], response: Response) -> Any:
        try:
            return decoder.decode(response.body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise ChainUnavailable(f"chain service: HTTP status {response.status} without a JSON-RPC answer") from None


def _result(method: str, answer: _Answer) -> object:
    if answer.error is not None:
        raise RpcRefused(method, answer.error.code, answer.error.message)
    return answer.result


def member(answer: object, name: str) -> object:
    """Return a member of a JSON object, None when it is absent or the answer is no object."""
    return cast("dict[str, object]", answer).get(name) if isinstance(answer, dict) else None


def _basic(user_and_password: str) -> str:
    return "Basic " + b64encode(user_and_password.encode()).decode()
