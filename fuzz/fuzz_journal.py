"""Fuzz target: any bytes of a store are refused with DecodeError, or are a record or snapshot that is written the same.

Run: python fuzz/fuzz_journal.py [corpus folder], with the package atheris installed.
"""

import sys
from contextlib import suppress

from leyden.base.errors import DecodeError
from leyden.channel.snapshot import decode_core, encode_core
from leyden.journal.codec import decode_record, encode_record
from leyden.journal.node_codec import decode_node_record, encode_node_record
from leyden.manager.node_snapshot import decode_node_snapshot
from leyden.wallet.state import from_snapshot, to_snapshot


def one_input(data: bytes) -> None:
    """Try one input, as each of them. Raises: AssertionError, or whatever a bug raises."""
    with suppress(DecodeError):
        record = decode_record(data)
        assert decode_record(encode_record(record)) == record
    with suppress(DecodeError):
        node_record = decode_node_record(data)
        assert decode_node_record(encode_node_record(node_record)) == node_record
    with suppress(DecodeError):
        encode_core(decode_core(data))
    with suppress(DecodeError):
        decode_node_snapshot(data)
    with suppress(DecodeError):
        to_snapshot(from_snapshot(data))


def main() -> None:
    """Run until stopped."""
    import atheris  # Only whoever fuzzes needs it; it exists for few platforms.

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
