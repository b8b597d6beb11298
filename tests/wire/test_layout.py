"""What holds for every message class: round trips, errors, and what any byte string does to the decoder."""

from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.wire.fields import U16, Fixed, PrefixedBytes, Tlv, UnknownTlvs
from leyden.wire.layout import Message, MessageCodec
from leyden.wire.messages import (
    MESSAGE_CLASSES,
    ChannelAnnouncement,
    ChannelReestablish,
    CommitmentSigned,
    RevokeAndAck,
    Shutdown,
    UnknownMessage,
    UpdateFailHtlc,
    UpdateFee,
    UpdateFulfillHtlc,
    decode,
    encode,
)
from tests.wire.strategies import any_message, messages_of, mutated, outcome

CHANNEL_ID = bytes(range(32))


def decode_or_refuse(raw: bytes) -> None:
    """The only two outcomes: a message that encodes to the same bytes, or DecodeError with a place inside them."""
    found = outcome(decode, raw)
    if isinstance(found, DecodeError):
        assert 0 <= found.offset <= len(raw)
        assert str(found)
    else:
        assert encode(found) == raw


@pytest.mark.parametrize("cls", MESSAGE_CLASSES, ids=lambda cls: cls.__name__)
@settings(max_examples=30)
@given(data=st.data())
def test_every_message_round_trips(cls: type[Message], data: st.DataObject) -> None:
    """Any subset of its TLV records, any unknown odd records, extremes of every integer."""
    message = data.draw(messages_of(cls))
    raw = encode(message)
    assert int.from_bytes(raw[:2], "big") == cls.TYPE
    assert decode(raw) == message


@settings(max_examples=400)
@given(any_message().flatmap(lambda message: mutated(encode(message))))
def test_a_damaged_message_is_refused_or_is_another_message(raw: bytes) -> None:
    """A peer may send anything; only DecodeError is expected by the session."""
    decode_or_refuse(raw)


@settings(max_examples=300)
@given(st.sampled_from([cls.TYPE for cls in MESSAGE_CLASSES]) | st.integers(0, 65535), st.binary(max_size=300))
def test_any_bytes_behind_any_type_are_refused_or_a_message(number: int, payload: bytes) -> None:
    """As above, from nothing."""
    decode_or_refuse(number.to_bytes(2, "big") + payload)


@given(st.binary(max_size=2))
def test_hardly_any_bytes_are_refused_or_a_message(raw: bytes) -> None:
    """The shortest messages end inside the type."""
    decode_or_refuse(raw)


@pytest.mark.parametrize("cls", MESSAGE_CLASSES, ids=lambda cls: cls.__name__)
@settings(max_examples=1)
@given(data=st.data())
def test_every_cut_of_a_message_without_records_is_refused(cls: type[Message], data: st.DataObject) -> None:
    """No prefix of the fixed part is a message, wherever it is cut."""
    message = data.draw(messages_of(cls))
    needed = len(cls.__struct_fields__) - len(cls.__struct_defaults__)
    raw = encode(cls(*(getattr(message, name) for name in cls.__struct_fields__[:needed])))
    for end in range(2, len(raw)):
        with pytest.raises(DecodeError):
            decode(raw[:end])


@pytest.mark.parametrize("cls", [c for c in MESSAGE_CLASSES if "unknown_tlvs" in c.__struct_fields__])
@settings(max_examples=3)
@given(data=st.data())
def test_an_unknown_even_record_is_refused_in_every_message(cls: type[Message], data: st.DataObject) -> None:
    """The sender insists that it be understood."""
    raw = encode(data.draw(messages_of(cls)))
    with pytest.raises(DecodeError):
        decode(raw + bytes.fromhex("fffffffffffffffffe00"))


@settings(max_examples=20)
@given(messages_of(ChannelAnnouncement), st.binary(max_size=40))
def test_relayed_gossip_keeps_whatever_follows(message: ChannelAnnouncement, more: bytes) -> None:
    """The signatures cover it, and the peer who relays it did not write it."""
    raw = encode(message)
    assert encode(decode(raw + more)) == raw + more


def test_unknown_odd_records_are_written_back_at_their_place() -> None:
    """A message that passes through us stays what it was."""
    raw = encode(Shutdown(CHANNEL_ID, b"")) + bytes.fromhex("01020304" + "fd00fd0100")
    message = decode(raw)
    assert isinstance(message, Shutdown)
    assert message.unknown_tlvs == ((1, b"\x03\x04"), (0xFD, b"\x00"))
    assert encode(message) == raw


def test_unknown_types_are_values_not_errors() -> None:
    """The session ignores odd ones and disconnects on even ones."""
    odd, even = decode(bytes.fromhex("7fff0102")), decode(bytes.fromhex("7ffe"))
    assert odd == UnknownMessage(0x7FFF, b"\x01\x02")
    assert even == UnknownMessage(0x7FFE, b"")
    assert isinstance(odd, UnknownMessage)
    assert isinstance(even, UnknownMessage)
    assert (odd.is_even, even.is_even) == (False, True)


def test_messages_above_the_transport_limit_are_refused_both_ways() -> None:
    """BOLT 8 has two bytes for the length."""
    largest = Shutdown(CHANNEL_ID, bytes(65535 - 36))
    assert len(encode(largest)) == 65535
    assert decode(encode(largest)) == largest
    for message in (Shutdown(CHANNEL_ID, bytes(65536 - 36)), UnknownMessage(0x7FFF, bytes(65534))):
        with pytest.raises(ValueError, match="transport"):
            encode(message)
    for raw in (encode(largest) + b"\x01\x00", encode(UnknownMessage(0x7FFF, bytes(65533))) + b"\x00"):
        with pytest.raises(DecodeError, match="message of"):
            decode(raw)


@pytest.mark.parametrize(
    "message",
    [
        UpdateFee(CHANNEL_ID[1:], 253),
        UpdateFee(CHANNEL_ID, -1),
        UpdateFee(CHANNEL_ID, 1 << 32),
        UpdateFee(CHANNEL_ID, 253, ((1, b""), (1, b""))),
    ],
)
def test_fields_that_do_not_fit_are_not_encoded(message: Message) -> None:
    """Our bug must stop here and not become a valid message with another meaning."""
    with pytest.raises(ValueError, match=r"bytes|argument|format|twice"):
        encode(message)


def test_a_message_shows_itself_without_secrets_and_long_bytes() -> None:
    """Messages are logged; a preimage in a log is money, and an onion fills the screen."""
    secret = b"\xab" * 32
    for message in (
        UpdateFulfillHtlc(CHANNEL_ID, 7, secret),
        RevokeAndAck(CHANNEL_ID, secret, b"\x02" + CHANNEL_ID),
        ChannelReestablish(CHANNEL_ID, 1, 0, secret, b"\x02" + CHANNEL_ID),
    ):
        assert "abab" not in repr(message)
        assert "abab" not in str(message.__rich_repr__())
        assert f"channel_id={CHANNEL_ID.hex()}" in repr(message)
    assert repr(UpdateFailHtlc(CHANNEL_ID, 7, bytes(292))).endswith("id=7, reason=0000000000000000...<292 bytes>)")
    signed = CommitmentSigned(CHANNEL_ID, bytes(64), (bytes(64),), unknown_tlvs=((3, b""),))
    assert repr(signed).endswith("htlc_signatures=<1 signatures>, unknown_tlvs=((3, b''),))")


def test_error_names_the_truncated_field() -> None:
    """Whoever reads the log must find it."""
    with pytest.raises(DecodeError) as caught:
        decode(encode(UpdateFee(CHANNEL_ID, 253))[:-1])
    assert (caught.value.field, caught.value.offset) == ("feerate_per_kw", 34)


def _declared(fields: dict[str, Any], **defaults: Any) -> type[Message]:
    namespace = {"__annotations__": {"TYPE": ClassVar[int], **fields}, "TYPE": 9999, **defaults}
    metaclass: Any = type(Message)
    declared: type[Message] = metaclass("Declared", (Message,), namespace)
    return declared


@pytest.mark.parametrize(
    ("cls", "complaint"),
    [
        (_declared({"a": int, "unknown_tlvs": UnknownTlvs}, unknown_tlvs=()), "without a kind"),
        (_declared({"a": U16, "b": Annotated[int, Tlv(1, Fixed("H"))]}), "does not end in"),
        (
            _declared(
                {"a": Annotated[int | None, Tlv(1, Fixed("H"))], "b": PrefixedBytes, "unknown_tlvs": UnknownTlvs},
                a=None,
                b=b"",
                unknown_tlvs=(),
            ),
            "stands behind",
        ),
    ],
)
def test_a_class_that_is_no_message_is_refused_at_import(cls: type[Message], complaint: str) -> None:
    """A new message with a slip in its declaration must not start."""
    with pytest.raises(TypeError, match=complaint):
        MessageCodec(cls)
