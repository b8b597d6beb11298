"""Fuzz target: any bytes are refused with DecodeError or are a message that encodes to the same bytes.

Run: python fuzz/fuzz_wire_message.py [corpus folder], with the package atheris installed.
"""

import sys

from leyden.base.errors import DecodeError
from leyden.wire import decode, encode


def one_input(data: bytes) -> None:
    """Try one input. Raises: AssertionError, or whatever a bug raises."""
    try:
        message = decode(data)
    except DecodeError:
        return
    assert encode(message) == data


def main() -> None:
    """Run until stopped."""
    import atheris  # Only whoever fuzzes needs it; it exists for few platforms.

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
