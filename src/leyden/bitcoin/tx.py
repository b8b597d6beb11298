"""Bitcoin transactions: parse, serialise, ids and weight (BIP 141, BIP 144).

Ids are 32 bytes in internal order everywhere; `txid_to_hex` and `txid_from_hex` stand at the edges.
A parsed transaction is well-formed, not valid: consensus rules live in the chain service. Amounts above
21 million bitcoin are refused all the same, so no sum downstream can be poisoned by an unconfirmed transaction.
"""

import struct

import msgspec

from leyden.base.errors import DecodeError
from leyden.crypto.hashes import sha256d

MAX_MONEY_SAT = 21_000_000 * 100_000_000
WITNESS_SCALE_FACTOR = 4
SEQUENCE_FINAL = 0xFFFFFFFF

# Core refuses longer vectors anywhere in a message; it also keeps offsets small enough to index with.
_MAX_SIZE = 0x02000000

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_OUTPOINT = struct.Struct("<32sI")
_pack_u32 = _U32.pack
_pack_u64 = _U64.pack
_read_u32 = _U32.unpack_from
_read_u64 = _U64.unpack_from
_read_outpoint = _OUTPOINT.unpack_from

_SMALL_SIZES = tuple(bytes((n,)) for n in range(0xFD))


def compact_size(n: int) -> bytes:
    """Encode a length (0 <= n < 2**64) as Bitcoin's compact size: 1, 3, 5 or 9 bytes, little-endian."""
    if n < 0xFD:
        return _SMALL_SIZES[n]
    if n <= 0xFFFF:
        return b"\xfd" + _U16.pack(n)
    if n <= 0xFFFFFFFF:
        return b"\xfe" + _pack_u32(n)
    return b"\xff" + _pack_u64(n)


def read_compact_size(raw: bytes, offset: int) -> tuple[int, int]:
    """Read a compact size at `offset`; return it and the offset after it.

    Raises:
        DecodeError: truncated, not the shortest encoding, or above Core's limit of 32 MiB.
    """
    try:
        first = raw[offset]
        if first < 0xFD:
            return first, offset + 1
        return _read_long_size(raw, offset)
    except (IndexError, struct.error):
        raise DecodeError("input ends inside a compact size", offset=offset) from None


def _read_long_size(raw: bytes, offset: int) -> tuple[int, int]:
    first = raw[offset]
    if first == 0xFD:
        size, least, end = _U16.unpack_from(raw, offset + 1)[0], 0xFD, offset + 3
    elif first == 0xFE:
        size, least, end = _read_u32(raw, offset + 1)[0], 0x10000, offset + 5
    else:
        size, least, end = _read_u64(raw, offset + 1)[0], 0x100000000, offset + 9
    if size < least:
        raise DecodeError("compact size is not minimal", offset=offset)
    if size > _MAX_SIZE:
        raise DecodeError("compact size is above 32 MiB", offset=offset)
    return size, end


def txid_to_hex(txid: bytes) -> str:
    """Return the display form (reversed hex) of a 32-byte txid, wtxid or block hash."""
    return txid[::-1].hex()


def txid_from_hex(text: str) -> bytes:
    """Return the 32 bytes in internal order of a displayed txid or block hash.

    Raises:
        DecodeError: not exactly 64 hexadecimal digits.
    """
    try:
        # fromhex skips blanks, so the length of the text is checked as well as that of the bytes.
        value = bytes.fromhex(text)
    except ValueError:
        raise DecodeError("not hexadecimal", field="txid") from None
    if len(text) != 64 or len(value) != 32:
        raise DecodeError("needs 64 hexadecimal digits", field="txid")
    return value[::-1]


class OutPoint(msgspec.Struct, frozen=True, gc=False):
    """An output of a transaction: `txid` 32 bytes in internal order, `vout` its index."""

    txid: bytes
    vout: int

    def serialize(self) -> bytes:
        """Return the 36 bytes used inside inputs and sighashes."""
        return _OUTPOINT.pack(self.txid, self.vout)

    def __str__(self) -> str:
        """Return `txid:vout` in display order."""
        return f"{txid_to_hex(self.txid)}:{self.vout}"


class TxIn(msgspec.Struct, frozen=True, gc=False):
    """An input: what it spends, its script, `sequence` (32 bits) and its witness stack."""

    prevout: OutPoint
    script_sig: bytes
    sequence: int
    witness: tuple[bytes, ...] = ()


class TxOut(msgspec.Struct, frozen=True, gc=False):
    """An output: `value_sat` satoshis locked by `script_pubkey`."""

    value_sat: int
    script_pubkey: bytes

    def serialize(self) -> bytes:
        """Return the encoding used in transactions and sighashes."""
        script = self.script_pubkey
        return _pack_u64(self.value_sat) + compact_size(len(script)) + script


class Transaction(msgspec.Struct, frozen=True, gc=False):
    """A transaction: `version` and `locktime` are unsigned 32-bit numbers."""

    version: int
    inputs: tuple[TxIn, ...]
    outputs: tuple[TxOut, ...]
    locktime: int

    @staticmethod
    def parse(raw: bytes) -> "Transaction":
        """Decode one whole transaction, with or without witness (BIP 144).

        Raises:
            DecodeError: truncated, trailing bytes, sizes not minimal, unknown flag, a witness section without any
                witness, or an amount above 21 million bitcoin.
        """
        tx, end = Transaction.parse_from(raw, 0)
        if end != len(raw):
            raise DecodeError("bytes follow the transaction", offset=end)
        return tx

    @staticmethod
    def parse_from(raw: bytes, offset: int) -> tuple["Transaction", int]:
        """Decode the transaction that starts at `offset`; return it and the offset after it. Raises as `parse`."""
        try:
            return _parse_at(raw, offset)
        except (IndexError, struct.error):
            raise DecodeError("input ends inside a transaction", offset=len(raw)) from None

    @staticmethod
    def parse_no_witness(raw: bytes) -> "Transaction":
        """Decode the form without witness, in which no inputs at all is legal (BIP 174). Raises as `parse`."""
        try:
            inputs, offset = _read_inputs(raw, 4)
            outputs, offset = _read_outputs(raw, offset)
            version, locktime = _read_u32(raw, 0)[0], _read_u32(raw, offset)[0]
        except (IndexError, struct.error):
            raise DecodeError("input ends inside a transaction", offset=len(raw)) from None
        if offset + 4 != len(raw):
            raise DecodeError("bytes follow the transaction", offset=offset + 4)
        return Transaction(version, tuple(inputs), tuple(outputs), locktime)

    def has_witness(self) -> bool:
        """Tell whether any input carries a witness."""
        return any(i.witness for i in self.inputs)

    def serialize(self) -> bytes:
        """Return the encoding for the network: with witnesses when there are any (BIP 144)."""
        if not self.has_witness():
            return self.serialize_no_witness()
        parts = [_pack_u32(self.version), b"\x00\x01"]
        _append_body(parts, self)
        small = _SMALL_SIZES
        for tx_in in self.inputs:
            witness = tx_in.witness
            parts.append(compact_size(len(witness)))
            for item in witness:
                n = len(item)
                parts.append(small[n] if n < 0xFD else compact_size(n))
                parts.append(item)
        parts.append(_pack_u32(self.locktime))
        return b"".join(parts)

    def serialize_no_witness(self) -> bytes:
        """Return the encoding that the txid commits to."""
        parts = [_pack_u32(self.version)]
        _append_body(parts, self)
        parts.append(_pack_u32(self.locktime))
        return b"".join(parts)

    def txid(self) -> bytes:
        """Return the 32-byte id in internal order."""
        return sha256d(self.serialize_no_witness())

    def wtxid(self) -> bytes:
        """Return the 32-byte witness id in internal order (BIP 141)."""
        return sha256d(self.serialize())

    def weight(self) -> int:
        """Return the weight in weight units (BIP 141)."""
        return 3 * len(self.serialize_no_witness()) + len(self.serialize())

    def vsize(self) -> int:
        """Return the virtual size in vbytes, rounded up (BIP 141)."""
        return (self.weight() + 3) // WITNESS_SCALE_FACTOR


def _append_body(parts: list[bytes], tx: Transaction) -> None:
    append = parts.append
    append(compact_size(len(tx.inputs)))
    small = _SMALL_SIZES
    pack_outpoint = _OUTPOINT.pack
    for tx_in in tx.inputs:
        prevout = tx_in.prevout
        script = tx_in.script_sig
        append(pack_outpoint(prevout.txid, prevout.vout))
        append(compact_size(len(script)))
        append(script)
        append(_pack_u32(tx_in.sequence))
    append(compact_size(len(tx.outputs)))
    for tx_out in tx.outputs:
        script = tx_out.script_pubkey
        n = len(script)
        append(_pack_u64(tx_out.value_sat))
        append(small[n] if n < 0xFD else compact_size(n))
        append(script)


# The readers below let a slice run past the end of the input: the fixed-size read that follows every variable part
# then raises IndexError or struct.error, which the caller turns into a DecodeError. One check instead of hundreds.


def _parse_at(raw: bytes, start: int) -> tuple[Transaction, int]:
    version = _read_u32(raw, start)[0]
    offset = start + 4
    if raw[offset] != 0:
        inputs, offset = _read_inputs(raw, offset)
        outputs, offset = _read_outputs(raw, offset)
    elif raw[offset + 1] == 0:
        inputs, outputs = [], []
        offset += 2
    else:
        if raw[offset + 1] != 1:
            raise DecodeError("unknown transaction flag", offset=offset + 1, field="flag")
        bare, offset = _read_inputs(raw, offset + 2)
        outputs, offset = _read_outputs(raw, offset)
        inputs, offset = _read_witnesses(raw, offset, bare)
    locktime = _read_u32(raw, offset)[0]
    return Transaction(version, tuple(inputs), tuple(outputs), locktime), offset + 4


def _read_inputs(raw: bytes, offset: int) -> tuple[list[TxIn], int]:
    count = raw[offset]
    if count < 0xFD:
        offset += 1
    else:
        count, offset = _read_long_size(raw, offset)
    inputs: list[TxIn] = []
    for _ in range(count):
        txid, vout = _read_outpoint(raw, offset)
        n = raw[offset + 36]
        offset += 37
        if n >= 0xFD:
            n, offset = _read_long_size(raw, offset - 1)
        end = offset + n
        inputs.append(TxIn(OutPoint(txid, vout), raw[offset:end], _read_u32(raw, end)[0], ()))
        offset = end + 4
    return inputs, offset


def _read_outputs(raw: bytes, offset: int) -> tuple[list[TxOut], int]:
    count = raw[offset]
    if count < 0xFD:
        offset += 1
    else:
        count, offset = _read_long_size(raw, offset)
    outputs: list[TxOut] = []
    for _ in range(count):
        value_sat = _read_u64(raw, offset)[0]
        if value_sat > MAX_MONEY_SAT:
            raise DecodeError("amount above 21 million bitcoin", offset=offset, field="value")
        n = raw[offset + 8]
        offset += 9
        if n >= 0xFD:
            n, offset = _read_long_size(raw, offset - 1)
        end = offset + n
        outputs.append(TxOut(value_sat, raw[offset:end]))
        offset = end
    return outputs, offset


def _read_witnesses(raw: bytes, offset: int, bare: list[TxIn]) -> tuple[list[TxIn], int]:
    inputs: list[TxIn] = []
    found = False
    for tx_in in bare:
        count = raw[offset]
        offset += 1
        if count == 0:
            inputs.append(tx_in)
            continue
        if count >= 0xFD:
            count, offset = _read_long_size(raw, offset - 1)
        found = True
        witness: list[bytes] = []
        for _ in range(count):
            n = raw[offset]
            offset += 1
            if n >= 0xFD:
                n, offset = _read_long_size(raw, offset - 1)
            end = offset + n
            witness.append(raw[offset:end])
            offset = end
        inputs.append(TxIn(tx_in.prevout, tx_in.script_sig, tx_in.sequence, tuple(witness)))
    if not found:
        raise DecodeError("witness section without a witness", offset=offset, field="witness")
    return inputs, offset
