"""JSON-RPC errors with bitcoind's codes and texts."""

from typing import Final

from leyden.base.errors import LeydenError

MISC_ERROR: Final = -1
TYPE_ERROR: Final = -3
INVALID_ADDRESS_OR_KEY: Final = -5
INVALID_PARAMETER: Final = -8
DATABASE_ERROR: Final = -20
DESERIALIZATION_ERROR: Final = -22
VERIFY_ERROR: Final = -25
VERIFY_REJECTED: Final = -26
ALREADY_IN_UTXO_SET: Final = -27
IN_WARMUP: Final = -28
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
PARSE_ERROR: Final = -32700


class RpcError(LeydenError):
    """An error that the caller of a method is told.

    Args: code: one of this module; message: bitcoind's sentence.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def block_not_found() -> RpcError:
    """Return the error for an unknown block hash."""
    return RpcError(INVALID_ADDRESS_OR_KEY, "Block not found")
