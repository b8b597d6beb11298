"""Return packets: created, relayed and read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.crypto.chacha import chacha20_xor
from leyden.crypto.hashes import hmac_sha256
from leyden.sphinx import onion_error
from leyden.sphinx.attribution import RouteAttribution
from leyden.sphinx.failures import (
    IncorrectOrUnknownPaymentDetails,
    TemporaryChannelFailure,
    TemporaryNodeFailure,
    UnknownFailure,
    decode_failure,
    encode_failure,
)
from leyden.sphinx.keys import um_key
from leyden.sphinx.onion_error import (
    RETURN_PACKET_LENGTH_MAX,
    ReturnedError,
    UnwrappedError,
    build_return_packet,
    create_error,
    unwrap_error,
    wrap_error,
)
from tests.sphinx.routes import load, secrets, vector_onion

FAILURE = TemporaryChannelFailure(channel_update=b"update")


def returned(route: list[bytes], failing_hop: int) -> ReturnedError:
    """What the sender receives when hop `failing_hop` fails the HTLC; hop n held it for n + 1 units."""
    error = create_error(route[failing_hop], FAILURE, failing_hop + 1)
    for hop in range(failing_hop - 1, -1, -1):
        error = wrap_error(route[hop], error.reason, error.attribution_data, hop + 1)
    return error


def test_onion_error_vector() -> None:
    """The plain return packet, byte for byte."""
    vector = load("onion-error-test.json")
    hops = vector["generate"]["hops"]
    route = list(vector_onion().shared_secrets)
    failure = decode_failure(bytes.fromhex(vector["generate"]["failure_message"]))
    assert failure == TemporaryNodeFailure()
    packet = build_return_packet(route[4], encode_failure(failure), 256)
    assert packet[32:].hex() == hops[4]["payload"]
    error = create_error(route[4], failure, 0)
    for secret in reversed(route[:4]):
        error = wrap_error(secret, error.reason, None, 0)
    assert error.reason.hex() == vector["errorpacket"]
    assert unwrap_error(route, error.reason, None) == UnwrappedError(4, failure, None)


def test_attribution_vector() -> None:
    """All five hops, with streams, packets and attribution data; this sender pads to 1024 bytes."""
    vector = load("returning-errors-attribution.json")
    route = list(vector_onion().shared_secrets)
    raw = bytes.fromhex(vector["encoded_failure_message"])[:320]
    failure = decode_failure(raw)
    expected = vector["failure"]
    record = (expected["tlv"]["type"], bytes.fromhex(expected["tlv"]["value_byte"]) * expected["tlv"]["value_len"])
    assert failure == IncorrectOrUnknownPaymentDetails(
        htlc_msat=expected["htlc_msat"], height=expected["height"], tlvs=(record,)
    )
    packet = build_return_packet(route[4], encode_failure(failure), 1024)
    assert packet.hex() == vector["raw_error_packet"]
    assert packet[32:].hex() == vector["payload"]
    error = ReturnedError(packet, None)
    for hop in vector["hops"]:
        node = hop["node"]
        assert route[node].hex() == hop["shared_secret"]
        hold_time = vector["hold_time_units_100ms_by_node"][str(node)]
        error = wrap_error(route[node], error.reason, error.attribution_data, hold_time)
        assert error.reason.hex() == hop["error_packet"]
        assert error.attribution_data is not None
        assert error.attribution_data.hex() == hop["attribution_data"]
        stream = chacha20_xor(bytes.fromhex(hop["ammag_key"]), bytes(len(packet)))
        assert stream.hex() == hop["stream"]
    unwrapped = unwrap_error(route, error.reason, error.attribution_data)
    hold_times = tuple(reversed(vector["htlc_hold_time_as_listed"]))
    assert unwrapped == UnwrappedError(vector["failure_source"], failure, RouteAttribution(hold_times, None))


@given(st.integers(1, 27), st.data())
def test_the_failing_hop_is_found_on_every_route(hops: int, data: st.DataObject) -> None:
    """Blaming the wrong hop would close good routes; hold times reach as far as 20 hops."""
    failing_hop = data.draw(st.integers(0, hops - 1))
    route = secrets(hops)
    error = returned(route, failing_hop)
    unwrapped = unwrap_error(route, error.reason, error.attribution_data)
    assert (unwrapped.hop, unwrapped.failure) == (failing_hop, FAILURE)
    assert unwrapped.attribution == RouteAttribution(tuple(range(1, min(failing_hop + 1, 20) + 1)), None)
    assert unwrap_error(route, error.reason, None) == UnwrappedError(failing_hop, FAILURE, None)


@given(st.integers(0, 4), st.integers(0, 291), st.integers(1, 255))
def test_a_hop_that_changes_the_packet_is_attributed(cheater: int, position: int, flip: int) -> None:
    """Without attribution an unreadable failure blames nobody; with it, the cheater or its neighbour in front."""
    route = secrets(6)
    error = create_error(route[5], FAILURE, 6)
    for hop in range(4, -1, -1):
        error = wrap_error(route[hop], error.reason, error.attribution_data, hop + 1)
        if hop == cheater:
            changed = bytearray(error.reason)
            changed[position % len(changed)] ^= flip
            error = ReturnedError(bytes(changed), error.attribution_data)
    unwrapped = unwrap_error(route, error.reason, error.attribution_data)
    assert unwrapped.failure is None
    assert unwrapped.attribution == RouteAttribution(tuple(range(1, cheater + 1)), cheater)


def test_a_hop_without_support_ends_the_hold_times() -> None:
    """Hops in front of it still say theirs, and the failure itself is read as before."""
    route = secrets(4)
    error = create_error(route[3], FAILURE, 4)
    old_hop = wrap_error(route[2], error.reason, None, 0)
    second = wrap_error(route[1], old_hop.reason, None, 2)
    first = wrap_error(route[0], second.reason, second.attribution_data, 1)
    assert unwrap_error(route, first.reason, first.attribution_data) == UnwrappedError(
        3, FAILURE, RouteAttribution((1, 2), 2)
    )


@given(st.binary(max_size=400), st.binary(max_size=30), st.integers(0, 3))
def test_reading_never_raises(reason: bytes, attribution: bytes, hops: int) -> None:
    """Any bytes may come back."""
    assert unwrap_error(secrets(hops), reason, attribution).failure is None
    assert unwrap_error(secrets(hops), reason, None).hop is None


def test_long_return_packets_are_cut_at_32_kib() -> None:
    """What a node must pass on has to fit a message, however long it was made by a hop behind."""
    route = secrets(2)
    relayed = wrap_error(route[0], bytes(60_000), None, 0)
    assert len(relayed.reason) == RETURN_PACKET_LENGTH_MAX
    assert unwrap_error(route, relayed.reason, relayed.attribution_data).attribution == RouteAttribution((0,), 1)
    longest = UnknownFailure(code=0x1234, data=bytes(RETURN_PACKET_LENGTH_MAX - 38))
    error = create_error(route[0], longest, 0)
    assert len(error.reason) == RETURN_PACKET_LENGTH_MAX
    assert unwrap_error(route, error.reason, None).failure == longest
    with pytest.raises(ValueError, match="too long"):
        create_error(route[0], UnknownFailure(code=1, data=bytes(RETURN_PACKET_LENGTH_MAX - 37)), 0)
    with pytest.raises(ValueError, match="256"):
        build_return_packet(route[0], b"\x20\x02", 255)


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x00\x05\x20\x02", b"\x00\x01\x20", b"\xff\xff\x20\x02"])
def test_malformed_message_with_a_good_hmac_still_names_the_hop(body: bytes) -> None:
    """Whoever signs nonsense has shown who it is."""
    route = secrets(3)
    packet = hmac_sha256(um_key(route[1]), body) + body
    error = wrap_error(route[0], wrap_error(route[1], packet, None, 0).reason, None, 0)
    assert unwrap_error(route, error.reason, None) == UnwrappedError(1, None, None)


@pytest.mark.parametrize("hops", [1, 5, 27])
def test_rounds_do_not_depend_on_the_hop(hops: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time that depended on it would tell the failing node how far away we are."""
    rounds: list[int] = []

    def counted(key: bytes, data: bytes) -> bytes:
        rounds.append(len(data))
        return chacha20_xor(key, data)

    for failing_hop in (0, hops - 1):
        error = returned(secrets(hops), failing_hop)
        rounds.clear()
        with monkeypatch.context() as patch:
            patch.setattr(onion_error, "chacha20_xor", counted)
            unwrap_error(secrets(hops), error.reason, None)
        assert rounds == [len(error.reason)] * 27
