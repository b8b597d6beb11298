"""Address descriptors of BOLT 7."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.wire.addresses import (
    DNS_HOSTNAME,
    IPV4,
    IPV6,
    TOR_V2,
    TOR_V3,
    NetworkAddress,
    encode_addresses,
    parse_addresses,
    usable_addresses,
)
from tests.wire.strategies import outcome

HOSTS = {
    IPV4: st.binary(min_size=4, max_size=4),
    IPV6: st.binary(min_size=16, max_size=16),
    TOR_V3: st.binary(min_size=35, max_size=35),
    DNS_HOSTNAME: st.text("abc-.019", min_size=1, max_size=255).map(str.encode),
}
ADDRESS = st.sampled_from(sorted(HOSTS)).flatmap(
    lambda kind: st.builds(NetworkAddress, st.just(kind), HOSTS[kind], st.integers(1, 65535))
)


@given(st.lists(ADDRESS, max_size=6).map(lambda found: list(usable_addresses(found))))
def test_addresses_round_trip_in_ascending_order_of_type(addresses: list[NetworkAddress]) -> None:
    """Readers stop at the first type they do not know, so the order matters."""
    parsed = parse_addresses(encode_addresses(addresses))
    assert parsed == tuple(sorted(addresses, key=lambda address: address.kind))


@given(st.binary(max_size=80))
def test_any_bytes_parse_or_are_refused(raw: bytes) -> None:
    """A stranger announces them."""
    found = outcome(parse_addresses, raw)
    assert isinstance(found, tuple) or 0 <= found.offset <= len(raw)


def test_an_unknown_type_ends_the_list_without_error() -> None:
    """New kinds of address come, and padding is allowed."""
    ipv4 = bytes.fromhex("01" + "7f000001" + "2607")
    expected = (NetworkAddress(IPV4, b"\x7f\x00\x00\x01", 9735),)
    for rest in ("", "00", "06ffff", "ff"):
        assert parse_addresses(ipv4 + bytes.fromhex(rest)) == expected


@pytest.mark.parametrize("raw", ["01", "017f0000012607"[:-2], "02" + "00" * 17, "04" + "00" * 36, "05", "0503616263ff"])
def test_a_known_address_cut_short_is_refused(raw: str) -> None:
    """BOLT 7: warn the peer."""
    with pytest.raises(DecodeError, match=r"truncated|empty"):
        parse_addresses(bytes.fromhex(raw))


@pytest.mark.parametrize("raw", ["05002607", "0502c3a92607"])
def test_a_host_name_is_ascii_and_not_empty(raw: str) -> None:
    """It goes to a resolver."""
    with pytest.raises(DecodeError, match="host name"):
        parse_addresses(bytes.fromhex(raw))


def test_what_must_be_ignored_is_left_out() -> None:
    """Tor v2 is dead, port 0 is nothing, and a second host name counts as an attempt to spread load on others."""
    good = NetworkAddress(IPV4, bytes(4), 1)
    name = NetworkAddress(DNS_HOSTNAME, b"a.example", 1)
    ignored = [
        NetworkAddress(TOR_V2, bytes(10), 1),
        NetworkAddress(IPV6, bytes(16), 0),
        NetworkAddress(DNS_HOSTNAME, b"b.example", 1),
    ]
    assert usable_addresses([good, ignored[0], ignored[1], name, ignored[2]]) == (good, name)
    assert parse_addresses(bytes.fromhex("03" + "00" * 10 + "0001")) == (ignored[0],)


@pytest.mark.parametrize(
    "addresses",
    [
        [NetworkAddress(IPV4, bytes(4), 0)],
        [NetworkAddress(IPV4, bytes(4), 65536)],
        [NetworkAddress(IPV4, bytes(5), 1)],
        [NetworkAddress(TOR_V2, bytes(10), 1)],
        [NetworkAddress(9, bytes(4), 1)],
        [NetworkAddress(DNS_HOSTNAME, b"", 1)],
        [NetworkAddress(DNS_HOSTNAME, bytes((0xE9,)), 1)],
        [NetworkAddress(DNS_HOSTNAME, b"a" * 256, 1)],
        [NetworkAddress(DNS_HOSTNAME, b"a", 1), NetworkAddress(DNS_HOSTNAME, b"b", 1)],
    ],
)
def test_what_others_would_refuse_is_not_encoded(addresses: list[NetworkAddress]) -> None:
    """Our own announcement comes from the user's configuration."""
    with pytest.raises(ValueError, match=r"port|host|address"):
        encode_addresses(addresses)
