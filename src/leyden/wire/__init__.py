"""The wire format: BOLT 1, 2, 4 and 7 messages, TLV streams and BOLT 9 features. Bytes in, values out, and back."""

from leyden.wire.messages import Message, UnknownMessage, decode, encode

__all__ = ["Message", "UnknownMessage", "decode", "encode"]
