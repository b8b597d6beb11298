"""Messages of BOLT 1."""

import json
from typing import Any

import pytest

from leyden.base.errors import DecodeError
from leyden.wire.messages import Init, decode, encode
from tests.wire.layouts import VECTORS, check_layout

EXTENSIONS = json.loads((VECTORS / "bolt01" / "init-extension.json").read_text())


@pytest.mark.parametrize("name", ["init", "error", "warning", "ping", "pong", "peer_storage", "peer_storage_retrieval"])
def test_layout_is_that_of_the_bolt(name: str) -> None:
    """Nothing works with a peer before these."""
    check_layout(name)


@pytest.mark.parametrize("case", EXTENSIONS, ids=lambda case: case["case"])
def test_init_extensions_are_read_as_in_the_appendix(case: dict[str, Any]) -> None:
    """BOLT 1, "Appendix C: Message Extension"."""
    raw = bytes.fromhex(case["message"])
    if not case["valid"]:
        with pytest.raises(DecodeError):
            decode(raw)
        return
    message = decode(raw)
    assert isinstance(message, Init)
    assert (message.globalfeatures, message.features) == (b"", b"")
    assert encode(message) == raw


def test_networks_may_be_an_empty_list() -> None:
    """A record with no value is legal and differs from no record."""
    raw = bytes.fromhex("0010000000000100")
    message = decode(raw)
    assert message == Init(b"", b"", networks=())
    assert encode(message) == raw


def test_networks_of_half_a_hash_are_refused() -> None:
    """The list must be whole."""
    with pytest.raises(DecodeError, match="networks"):
        decode(bytes.fromhex("001000000000" + "0110" + "00" * 16))
