"""Fuzz target: any bytes are refused with DecodeError or are a transaction that encodes to the same bytes.

Run: python fuzz/fuzz_transaction.py [corpus folder], with the package atheris installed.
"""

import sys

from leyden.base.errors import DecodeError
from leyden.bitcoin.script import classify
from leyden.bitcoin.tx import Transaction


def one_input(data: bytes) -> None:
    """Try one input. Raises: AssertionError, or whatever a bug raises."""
    try:
        bare = Transaction.parse_no_witness(data)
    except DecodeError:
        pass
    else:
        assert bare.serialize_no_witness() == data
    try:
        tx = Transaction.parse(data)
    except DecodeError:
        return
    assert tx.serialize() == data
    assert tx.vsize() <= len(data) <= tx.weight()
    for tx_out in tx.outputs:
        classify(tx_out.script_pubkey)


def main() -> None:
    """Run until stopped."""
    import atheris  # Only whoever fuzzes needs it; it exists for few platforms.

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
