"""What comes back with a preimage."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.sphinx.attribution import RouteAttribution
from leyden.sphinx.fulfillment import (
    FULFILLMENT_PAYLOAD_LENGTH_MAX,
    FulfillmentPayloadTooLong,
    ReturnedFulfillment,
    UnwrappedFulfillment,
    create_fulfillment,
    pad_fulfillment_records,
    unwrap_fulfillment,
    wrap_fulfillment,
)
from leyden.wire.tlv import split_records
from tests.sphinx.routes import VECTORS, load, secrets, vector_onion

VECTOR = load("returning-success-attribution.json")
HOLD_TIMES = VECTOR["hold_time_units_100ms_by_node"]
PADDING = json.loads((VECTORS.parent / "proposed" / "bolt04-fulfillment-payload-padding.json").read_text())


def returned(route: list[bytes], plaintext: bytes | None) -> ReturnedFulfillment:
    """What the sender receives when hop n held the HTLC for n + 1 units."""
    fulfillment = create_fulfillment(route[-1], plaintext, len(route))
    for hop in range(len(route) - 2, -1, -1):
        fulfillment = wrap_fulfillment(
            route[hop], fulfillment.attribution_data, fulfillment.fulfillment_payload, hop + 1
        )
    return fulfillment


def test_vector_without_payload() -> None:
    """Hold times of a success, byte for byte at every hop."""
    route = list(vector_onion().shared_secrets)
    data: bytes | None = None
    for hop in VECTOR["without_payload"]:
        secret = bytes.fromhex(hop["shared_secret"])
        assert secret == route[hop["node"]]
        fulfillment = wrap_fulfillment(secret, data, None, HOLD_TIMES[str(hop["node"])])
        data = fulfillment.attribution_data
        assert data.hex() == hop["attribution_data"]
        assert fulfillment.fulfillment_payload is None
    expected = RouteAttribution((5, 4, 3, 2, 1), None)
    assert unwrap_fulfillment(route, data, None) == UnwrappedFulfillment(expected, None)


def test_vector_with_payload() -> None:
    """The final node's payload, byte for byte at every hop."""
    route = list(vector_onion().shared_secrets)
    case = VECTOR["with_payload"]
    (record,) = [
        (kind, value) for kind, value, _ in split_records(bytes.fromhex(case["tlv_stream_without_padding"]), 0)
    ]
    plaintext = pad_fulfillment_records((record,))
    assert plaintext.hex() == case["plaintext"]
    fulfillment: ReturnedFulfillment | None = None
    for hop in case["hops"]:
        secret, hold_time = route[hop["node"]], HOLD_TIMES[str(hop["node"])]
        if fulfillment is None:
            fulfillment = create_fulfillment(secret, plaintext, hold_time)
        else:
            fulfillment = wrap_fulfillment(
                secret, fulfillment.attribution_data, fulfillment.fulfillment_payload, hold_time
            )
        assert fulfillment.attribution_data.hex() == hop["attribution_data"]
        assert fulfillment.fulfillment_payload is not None
        assert fulfillment.fulfillment_payload.hex() == hop["fulfillment_payload"]
    assert fulfillment is not None
    unwrapped = unwrap_fulfillment(route, fulfillment.attribution_data, fulfillment.fulfillment_payload)
    assert unwrapped == UnwrappedFulfillment(RouteAttribution((5, 4, 3, 2, 1), None), plaintext)


@pytest.mark.parametrize("case", PADDING["cases"], ids=lambda case: case["case"])
def test_padding_vectors(case: dict[str, object]) -> None:
    """Lengths that would tell the nodes on the way what is inside."""
    records = case["records"]
    assert isinstance(records, list)
    plaintext = pad_fulfillment_records(tuple((kind, bytes.fromhex(value)) for kind, value in records))
    assert plaintext.hex() == case["plaintext"]
    assert len(plaintext) == case["plaintext_length"]


@given(st.integers(0, 1100))
def test_padding_always_ends_at_a_multiple_of_256(length: int) -> None:
    """Some lengths cannot be reached by one padding record and need the next multiple."""
    assert len(pad_fulfillment_records(((65537, bytes(length)),))) % 256 == 0


@given(st.integers(1, 27), st.none() | st.binary(max_size=300))
def test_every_route(hops: int, plaintext: bytes | None) -> None:
    """Hold times reach as far as 20 hops, the payload over the whole route."""
    route = secrets(hops)
    fulfillment = returned(route, plaintext)
    unwrapped = unwrap_fulfillment(route, fulfillment.attribution_data, fulfillment.fulfillment_payload)
    expected = RouteAttribution(tuple(range(1, min(hops, 20) + 1)), None)
    assert unwrapped == UnwrappedFulfillment(expected, plaintext)


@given(st.integers(0, 3), st.integers(0, 271), st.integers(1, 255))
def test_a_hop_that_changes_the_payload_is_attributed(cheater: int, position: int, flip: int) -> None:
    """The payment has succeeded, yet the sender must know who ate its receipt."""
    route = secrets(5)
    fulfillment = create_fulfillment(route[4], bytes(256), 5)
    for hop in range(3, -1, -1):
        payload = fulfillment.fulfillment_payload
        fulfillment = wrap_fulfillment(route[hop], fulfillment.attribution_data, payload, hop + 1)
        if hop == cheater:
            changed = bytearray(fulfillment.fulfillment_payload or b"")
            changed[position] ^= flip
            fulfillment = ReturnedFulfillment(fulfillment.attribution_data, bytes(changed))
    unwrapped = unwrap_fulfillment(route, fulfillment.attribution_data, fulfillment.fulfillment_payload)
    assert unwrapped == UnwrappedFulfillment(RouteAttribution(tuple(range(1, cheater + 1)), cheater), None)


@given(st.binary(max_size=1000), st.none() | st.binary(max_size=300), st.integers(0, 3))
def test_reading_never_raises(attribution: bytes, payload: bytes | None, hops: int) -> None:
    """Any bytes may come with a preimage; the payment is made."""
    assert unwrap_fulfillment(secrets(hops), attribution, payload).payload is None
    assert unwrap_fulfillment(secrets(hops), None, payload).attribution is None


def test_payloads_are_limited_to_32_kib() -> None:
    """A payload must fit a message at every hop."""
    secret = secrets(1)[0]
    longest = bytes(FULFILLMENT_PAYLOAD_LENGTH_MAX - 16)
    payload = create_fulfillment(secret, longest, 0).fulfillment_payload
    assert payload is not None
    assert len(payload) == FULFILLMENT_PAYLOAD_LENGTH_MAX
    assert wrap_fulfillment(secret, None, payload, 0).fulfillment_payload is not None
    with pytest.raises(ValueError, match="32768"):
        create_fulfillment(secret, longest + b"\x00", 0)
    with pytest.raises(FulfillmentPayloadTooLong):
        wrap_fulfillment(secret, None, payload + b"\x00", 0)


def test_padding_refuses_its_own_type() -> None:
    """Two padding records would be no TLV stream."""
    with pytest.raises(ValueError, match="twice"):
        pad_fulfillment_records(((1, b""),))
