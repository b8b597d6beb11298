"""What signatures commit to: BIP 143 (segwit version 0) and BIP 341/342 (taproot), with cached midstates.

A midstate holds the hashes over the whole transaction, so that each further input costs two SHA-256 of ~200 bytes.
It belongs to one transaction value; transactions are immutable, so it cannot go stale.
"""

from collections.abc import Sequence
from struct import Struct

from leyden.bitcoin.tx import Transaction, TxOut, compact_size
from leyden.crypto.hashes import sha256, sha256d, tagged_hash

SIGHASH_DEFAULT = 0x00
SIGHASH_ALL = 0x01
SIGHASH_NONE = 0x02
SIGHASH_SINGLE = 0x03
SIGHASH_ANYONECANPAY = 0x80

_ZERO_HASH = bytes(32)
_OUTPUT_TYPE_MASK = 0x1F
_TAPROOT_TYPES = frozenset({0x00, 0x01, 0x02, 0x03, 0x81, 0x82, 0x83})
_NO_CODE_SEPARATOR = b"\xff\xff\xff\xff"

_pack_u32 = Struct("<I").pack
_pack_u64 = Struct("<Q").pack


def _prevouts(tx: Transaction) -> bytes:
    return b"".join([i.prevout.serialize() for i in tx.inputs])


def _sequences(tx: Transaction) -> bytes:
    return b"".join([_pack_u32(i.sequence) for i in tx.inputs])


def _outputs(tx: Transaction) -> bytes:
    return b"".join([o.serialize() for o in tx.outputs])


class Bip143Midstate:
    """The three hashes of a transaction that every SIGHASH_ALL input shares (BIP 143)."""

    __slots__ = ("hash_outputs", "hash_prevouts", "hash_sequence", "locktime", "prefix", "version")

    def __init__(self, tx: Transaction) -> None:
        self.version = _pack_u32(tx.version)
        self.locktime = _pack_u32(tx.locktime)
        self.hash_prevouts = sha256d(_prevouts(tx))
        self.hash_sequence = sha256d(_sequences(tx))
        self.hash_outputs = sha256d(_outputs(tx))
        self.prefix = self.version + self.hash_prevouts + self.hash_sequence


def preimage_v0(
    tx: Transaction,
    input_index: int,
    script_code: bytes,
    value_sat: int,
    sighash_type: int,
    midstate: Bip143Midstate,
) -> bytes:
    """Return the bytes that `sighash_v0` hashes twice; same arguments and errors."""
    tx_in = tx.inputs[input_index]
    base_type = sighash_type & _OUTPUT_TYPE_MASK
    covers_all_outputs = base_type not in (SIGHASH_NONE, SIGHASH_SINGLE)
    if covers_all_outputs and not sighash_type & SIGHASH_ANYONECANPAY:
        prefix = midstate.prefix
    elif sighash_type & SIGHASH_ANYONECANPAY:
        prefix = midstate.version + _ZERO_HASH + _ZERO_HASH
    else:
        prefix = midstate.version + midstate.hash_prevouts + _ZERO_HASH
    if covers_all_outputs:
        hash_outputs = midstate.hash_outputs
    elif base_type == SIGHASH_SINGLE and input_index < len(tx.outputs):
        hash_outputs = sha256d(tx.outputs[input_index].serialize())
    else:
        hash_outputs = _ZERO_HASH
    return b"".join(
        (
            prefix,
            tx_in.prevout.serialize(),
            compact_size(len(script_code)),
            script_code,
            _pack_u64(value_sat),
            _pack_u32(tx_in.sequence),
            hash_outputs,
            midstate.locktime,
            _pack_u32(sighash_type),
        )
    )


def sighash_v0(
    tx: Transaction,
    input_index: int,
    script_code: bytes,
    value_sat: int,
    sighash_type: int,
    midstate: Bip143Midstate,
) -> bytes:
    """Return the 32-byte digest that an ECDSA signature of a segwit version 0 input signs (BIP 143).

    Args:
        input_index: which input is signed.
        script_code: the witness script (after its last executed OP_CODESEPARATOR), or
            `script.p2wpkh_script_code`; without length prefix.
        value_sat: amount of the output that the input spends.
        sighash_type: one byte, as it follows the signature.
        midstate: `Bip143Midstate(tx)` of this very transaction.

    Raises:
        IndexError: no such input.
    """
    return sha256d(preimage_v0(tx, input_index, script_code, value_sat, sighash_type, midstate))


class Bip341Midstate:
    """The hashes of a transaction that taproot inputs share (BIP 341, "Common signature message").

    `spent_outputs` are the outputs that the inputs spend, in the order of the inputs.
    """

    __slots__ = (
        "hash_amounts",
        "hash_outputs",
        "hash_prevouts",
        "hash_script_pubkeys",
        "hash_sequences",
        "spent_outputs",
    )

    def __init__(self, tx: Transaction, spent_outputs: Sequence[TxOut]) -> None:
        if len(spent_outputs) != len(tx.inputs):
            raise ValueError("needs the spent output of every input")
        self.spent_outputs = tuple(spent_outputs)
        self.hash_prevouts = sha256(_prevouts(tx))
        self.hash_amounts = sha256(b"".join([_pack_u64(o.value_sat) for o in spent_outputs]))
        scripts = [compact_size(len(o.script_pubkey)) + o.script_pubkey for o in spent_outputs]
        self.hash_script_pubkeys = sha256(b"".join(scripts))
        self.hash_sequences = sha256(_sequences(tx))
        self.hash_outputs = sha256(_outputs(tx))


def preimage_v1(
    tx: Transaction,
    input_index: int,
    sighash_type: int,
    midstate: Bip341Midstate,
    *,
    leaf_hash: bytes | None = None,
    annex: bytes | None = None,
) -> bytes:
    """Return the bytes that `sighash_v1` hashes, epoch byte included; same arguments and errors."""
    if sighash_type not in _TAPROOT_TYPES:
        raise ValueError(f"not a taproot sighash type: {sighash_type:#x}")
    tx_in = tx.inputs[input_index]
    output_type = sighash_type & 3 or SIGHASH_ALL
    anyone_can_pay = bool(sighash_type & SIGHASH_ANYONECANPAY)
    parts = [b"\x00", bytes((sighash_type,)), _pack_u32(tx.version), _pack_u32(tx.locktime)]
    if not anyone_can_pay:
        parts += (
            midstate.hash_prevouts,
            midstate.hash_amounts,
            midstate.hash_script_pubkeys,
            midstate.hash_sequences,
        )
    if output_type == SIGHASH_ALL:
        parts.append(midstate.hash_outputs)
    spend_type = (2 if leaf_hash is not None else 0) + (1 if annex is not None else 0)
    parts.append(bytes((spend_type,)))
    if anyone_can_pay:
        parts += (
            tx_in.prevout.serialize(),
            midstate.spent_outputs[input_index].serialize(),
            _pack_u32(tx_in.sequence),
        )
    else:
        parts.append(_pack_u32(input_index))
    if annex is not None:
        parts.append(sha256(compact_size(len(annex)) + annex))
    if output_type == SIGHASH_SINGLE:
        if input_index >= len(tx.outputs):
            raise ValueError("SIGHASH_SINGLE without an output of the same index")
        parts.append(sha256(tx.outputs[input_index].serialize()))
    if leaf_hash is not None:
        parts += (leaf_hash, b"\x00", _NO_CODE_SEPARATOR)
    return b"".join(parts)


def sighash_v1(
    tx: Transaction,
    input_index: int,
    sighash_type: int,
    midstate: Bip341Midstate,
    *,
    leaf_hash: bytes | None = None,
    annex: bytes | None = None,
) -> bytes:
    """Return the 32-byte digest that a Schnorr signature of a taproot input signs (BIP 341; BIP 342 with a leaf).

    Args:
        input_index: which input is signed.
        sighash_type: SIGHASH_DEFAULT, or one of 1, 2, 3, 0x81, 0x82, 0x83.
        midstate: `Bip341Midstate(tx, spent_outputs)` of this very transaction.
        leaf_hash: 32 bytes when spending through a script (no executed OP_CODESEPARATOR), None for the key path.
        annex: the annex with its 0x50 prefix, None when absent.

    Raises:
        ValueError: unknown sighash type, or SIGHASH_SINGLE without a matching output.
        IndexError: no such input.
    """
    message = preimage_v1(tx, input_index, sighash_type, midstate, leaf_hash=leaf_hash, annex=annex)
    return tagged_hash("TapSighash", message)
