"""Address descriptors of BOLT 7, "The `node_announcement` Message"; `init` uses one in `remote_addr`."""

from collections.abc import Sequence
from typing import final

import msgspec

from leyden.base.errors import DecodeError

IPV4, IPV6, TOR_V2, TOR_V3, DNS_HOSTNAME = 1, 2, 3, 4, 5

_HOST_SIZES = {IPV4: 4, IPV6: 16, TOR_V2: 10, TOR_V3: 35}


@final
class NetworkAddress(msgspec.Struct, frozen=True, gc=False):
    """One address.

    Args: kind: the descriptor's type. host: raw bytes (4, 16, 10 or 35 by type, or an ASCII name). port: a u16.
    """

    kind: int
    host: bytes
    port: int


def parse_addresses(raw: bytes) -> tuple[NetworkAddress, ...]:
    """Read the descriptors in `raw` up to the first of an unknown type, which ends the list without error.

    Every known one is returned; `usable_addresses` leaves out what must be ignored.
    Raises: DecodeError when a known one is cut short, or a host name is empty or not ASCII.
    Source: BOLT 7, "The `node_announcement` Message".
    """
    found: list[NetworkAddress] = []
    offset = 0
    while offset < len(raw):
        kind = raw[offset]
        start = offset + 1
        size = _HOST_SIZES.get(kind)
        if kind == DNS_HOSTNAME:
            size = raw[start] if start < len(raw) else 0
            start += 1
        if size is None:
            break
        end = start + size + 2
        if end > len(raw):
            raise DecodeError("address descriptor is truncated", offset=offset, field="addresses")
        host = raw[start : end - 2]
        if kind == DNS_HOSTNAME and not (host and host.isascii()):
            raise DecodeError("host name is empty or not ASCII", offset=start, field="addresses")
        found.append(NetworkAddress(kind, host, int.from_bytes(raw[end - 2 : end], "big")))
        offset = end
    return tuple(found)


def usable_addresses(addresses: Sequence[NetworkAddress]) -> tuple[NetworkAddress, ...]:
    """Leave out Tor v2, addresses with port 0, and host names after the first.

    Source: BOLT 7, "The `node_announcement` Message".
    """
    kept: list[NetworkAddress] = []
    for address in addresses:
        second_name = address.kind == DNS_HOSTNAME and any(other.kind == DNS_HOSTNAME for other in kept)
        if address.kind != TOR_V2 and address.port != 0 and not second_name:
            kept.append(address)
    return tuple(kept)


def encode_addresses(addresses: Sequence[NetworkAddress]) -> bytes:
    """Write descriptors in ascending order of type.

    Raises: ValueError when a kind is unknown or Tor v2, a host has a wrong length, is no ASCII name or comes twice as a
        name, or a port is not between 1 and 65535.
    Source: BOLT 7, "The `node_announcement` Message".
    """
    if usable_addresses(addresses) != tuple(addresses):
        raise ValueError("an address has port 0, is Tor v2 or is a second host name")
    parts: list[bytes] = []
    for address in sorted(addresses, key=lambda address: address.kind):
        if not 0 < address.port <= 0xFFFF:
            raise ValueError(f"port {address.port}")
        parts.append(bytes((address.kind,)))
        if address.kind == DNS_HOSTNAME:
            if not 0 < len(address.host) <= 0xFF or not address.host.isascii():
                raise ValueError("host name is empty, too long or not ASCII")
            parts.append(bytes((len(address.host),)))
        elif _HOST_SIZES.get(address.kind) != len(address.host):
            raise ValueError(f"address of type {address.kind} with {len(address.host)} bytes")
        parts += (address.host, address.port.to_bytes(2, "big"))
    return b"".join(parts)
