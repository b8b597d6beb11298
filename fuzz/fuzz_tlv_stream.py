"""Fuzz target: any bytes are refused with DecodeError or are a TLV stream that encodes to the same bytes.

Also tries the arrays and address descriptors that live inside messages.
Run: python fuzz/fuzz_tlv_stream.py [corpus folder], with the package atheris installed.
"""

import sys

from leyden.base.errors import DecodeError
from leyden.wire.addresses import parse_addresses
from leyden.wire.fields import FLAG, HASH32, POINT, REST, BigSizeValue, Fixed, Repeated, Truncated
from leyden.wire.gossip_arrays import decode_query_flags, decode_short_ids, decode_timestamps
from leyden.wire.tlv import TlvStream, join_records, split_records

STREAM = TlvStream[object](
    [
        (0, "flag", FLAG),
        (1, "tu64", Truncated(8)),
        (2, "point", POINT),
        (3, "hashes", Repeated(HASH32)),
        (4, "u64", Fixed("Q")),
        (6, "bigsize", BigSizeValue()),
        (254, "rest", REST),
    ]
)


def one_input(data: bytes) -> None:
    """Try one input. Raises: AssertionError, or whatever a bug raises."""
    for inner in (parse_addresses, decode_query_flags, decode_short_ids, decode_timestamps):
        try:
            inner(data)
        except DecodeError:
            continue
    try:
        records = split_records(data, 0)
    except DecodeError:
        return
    assert join_records((number, value) for number, value, _ in records) == data
    try:
        values, unknown = STREAM.decode(data, 0)
    except DecodeError:
        return
    assert STREAM.encode(values, unknown) == data


def main() -> None:
    """Run until stopped."""
    import atheris  # Only whoever fuzzes needs it; it exists for few platforms.

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
