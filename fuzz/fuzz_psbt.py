"""Fuzz target: any bytes are refused with DecodeError or are a PSBT that reads back the same.

Run: python fuzz/fuzz_psbt.py [corpus folder], with the package atheris installed.
"""

import sys

from leyden.base.errors import CommandRejected, DecodeError
from leyden.bitcoin.psbt import Psbt


def one_input(data: bytes) -> None:
    """Try one input. Raises: AssertionError, or whatever a bug raises."""
    try:
        psbt = Psbt.parse(data)
    except DecodeError:
        return
    assert Psbt.parse(psbt.raw) == psbt
    assert Psbt.from_base64(psbt.to_base64()) == psbt
    for role in (psbt.unsigned_tx, psbt.spent_outputs, psbt.finalize, psbt.extract):
        try:
            role()
        except (CommandRejected, DecodeError):
            # DecodeError: the library takes amounts that `Transaction` refuses.
            continue


def main() -> None:
    """Run until stopped."""
    import atheris  # Only whoever fuzzes needs it; it exists for few platforms.

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
