"""The five-hop route that the vectors of BOLT 4 share, and routes of our own."""

import json
from pathlib import Path
from typing import Any

from leyden.crypto.ec import public_key
from leyden.sphinx.onion import BuiltOnion, build_onion

VECTORS = Path(__file__).parent.parent / "vectors" / "bolt04"


def load(name: str) -> Any:
    """One vector file."""
    return json.loads((VECTORS / name).read_text())


def without_length(payload: bytes) -> bytes:
    """The vectors' payloads carry their length prefix, ours do not."""
    return payload[1:] if payload[0] < 0xFD else payload[3:]


def vector_hops() -> list[tuple[bytes, bytes]]:
    """Node point and payload of the five hops of onion-test.json."""
    return [
        (bytes.fromhex(hop["pubkey"]), without_length(bytes.fromhex(hop["payload"])))
        for hop in load("onion-test.json")["generate"]["hops"]
    ]


def vector_onion() -> BuiltOnion:
    """The onion of onion-test.json, built by us."""
    generate = load("onion-test.json")["generate"]
    return build_onion(
        bytes.fromhex(generate["session_key"]), vector_hops(), bytes.fromhex(generate["associated_data"])
    )


def node_secret(number: int) -> bytes:
    """The secret of node `number` (from 0) of a route of our own."""
    return bytes((number + 1,)) * 32


def node_point(number: int) -> bytes:
    """The point of node `number` (from 0) of a route of our own."""
    return public_key(node_secret(number))


def secrets(count: int) -> list[bytes]:
    """Shared secrets for a route of `count` hops."""
    return [bytes((count, number)) * 16 for number in range(count)]
