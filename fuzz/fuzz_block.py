"""Fuzz target: any bytes are refused with DecodeError or are a block that encodes to the same bytes.

Run: python fuzz/fuzz_block.py [corpus folder], with the package atheris installed.
"""

import sys

from leyden.base.errors import DecodeError
from leyden.bitcoin.block import Block, check_merkle_root, find_witness_commitment, witness_commitment


def one_input(data: bytes) -> None:
    """Try one input. Raises: AssertionError, or whatever a bug raises."""
    try:
        block = Block.parse(data)
    except DecodeError:
        return
    assert block.serialize() == data
    check_merkle_root(block)
    block.header.meets_target()
    if block.transactions:
        find_witness_commitment(block.transactions[0])
        witness_commitment(block.transactions, bytes(32))


def main() -> None:
    """Run until stopped."""
    import atheris  # Only whoever fuzzes needs it; it exists for few platforms.

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
