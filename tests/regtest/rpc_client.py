"""A JSON-RPC client that shows everything: status, headers, body."""

import base64
import http.client
import json
from typing import Any


class RpcClient:
    """One keep-alive connection to the service."""

    def __init__(self, port: int, credentials: str) -> None:
        """Connect lazily to 127.0.0.1 (`credentials`: `user:password`)."""
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.headers = {"Authorization": "Basic " + base64.b64encode(credentials.encode()).decode()}

    def post(self, body: str) -> tuple[int, Any]:
        """Send a body as it is; return status and decoded answer."""
        self.connection.request("POST", "/", body, self.headers)
        response = self.connection.getresponse()
        raw = response.read()
        return response.status, json.loads(raw) if raw else None

    def reply(self, method: str, *params: object) -> Any:
        """Call a method; return the whole reply object."""
        return self.post(json.dumps({"id": 1, "method": method, "params": list(params)}))[1]

    def __call__(self, method: str, *params: object) -> Any:
        """Call a method that must succeed; return its result."""
        reply = self.reply(method, *params)
        assert reply["error"] is None, reply
        return reply["result"]

    def error(self, method: str, *params: object) -> tuple[int, str]:
        """Call a method that must fail; return code and message."""
        error = self.reply(method, *params)["error"]
        assert error is not None, "it succeeded"
        return error["code"], error["message"]

    def close(self) -> None:
        """End the connection."""
        self.connection.close()
