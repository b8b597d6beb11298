"""Error values."""

from leyden.regtest.rpc_errors import block_not_found


def test_unknown_block_has_bitcoinds_words() -> None:
    """Clients tell a reorganised block by this code."""
    error = block_not_found()
    assert (error.code, error.message, str(error)) == (-5, "Block not found", "Block not found")
