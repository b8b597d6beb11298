"""The message of BOLT 4, "Onion Messages"."""

from typing import ClassVar

from leyden.wire.fields import Point, PrefixedBytes, UnknownTlvs
from leyden.wire.layout import Message


class OnionMessage(Message, frozen=True, gc=False):
    """`onion_message`; the packet usually has 1366 or 32834 bytes. BOLT 4, "Onion Messages"."""

    TYPE: ClassVar[int] = 513
    path_key: Point
    onion_message_packet: PrefixedBytes
    unknown_tlvs: UnknownTlvs = ()
