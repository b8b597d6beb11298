"""Messages of interactive transaction construction."""

import pytest

from leyden.base.errors import DecodeError
from leyden.wire.messages import TxSignatures, decode, encode
from tests.wire.layouts import check_layout


@pytest.mark.parametrize(
    "name",
    [
        "tx_add_input",
        "tx_add_output",
        "tx_remove_input",
        "tx_remove_output",
        "tx_complete",
        "tx_signatures",
        "tx_init_rbf",
        "tx_ack_rbf",
        "tx_abort",
    ],
)
def test_layout_is_that_of_the_bolt(name: str) -> None:
    """Both sides build one transaction from these."""
    check_layout(name)


def test_tx_signatures_may_carry_no_witness() -> None:
    """A side without inputs still sends the message."""
    raw = (71).to_bytes(2, "big") + bytes(64) + b"\x00\x00"
    assert decode(raw) == TxSignatures(bytes(32), bytes(32), ())
    assert encode(TxSignatures(bytes(32), bytes(32), ())) == raw


def test_more_witnesses_than_bytes_are_refused() -> None:
    """The count is the peer's."""
    with pytest.raises(DecodeError, match="witnesses"):
        decode((71).to_bytes(2, "big") + bytes(64) + b"\xff\xff")
