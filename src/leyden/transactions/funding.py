"""The funding output: what it looks like, where it is, what spends it.

Spec: BOLT 3, "Funding Transaction Output"; BOLT 2, "Definition of channel_id".
"""

from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.sighash import SIGHASH_ALL
from leyden.bitcoin.tx import OutPoint, TxOut
from leyden.crypto.ec import signature_to_der
from leyden.transactions.scripts import funding_script


def funding_output(funding_satoshis: int, public_key_a: bytes, public_key_b: bytes) -> TxOut:
    """Return the funding output of so many satoshi for two funding keys (33 bytes each, in any order)."""
    return TxOut(funding_satoshis, p2wsh_of_script(funding_script(public_key_a, public_key_b)))


def channel_id_of(funding_outpoint: OutPoint) -> bytes:
    """Return the 32-byte channel_id of a channel opened with version 1.

    The funding txid as it stands in messages, its last two bytes XORed with the output index.

    Spec: BOLT 2, "Definition of channel_id".
    """
    txid = funding_outpoint.txid
    low = int.from_bytes(txid[30:], "big") ^ funding_outpoint.vout
    return txid[:30] + low.to_bytes(2, "big")


def funding_witness(
    witness_script: bytes, signed_a: tuple[bytes, bytes], signed_b: tuple[bytes, bytes]
) -> tuple[bytes, ...]:
    """Return the witness that spends the funding output.

    Args: signed_a, signed_b: (funding key 33 bytes, signature 64 bytes compact over SIGHASH_ALL), in any order.
    Spec: BOLT 3, "Commitment Transaction": the signatures stand in the order of the keys.
    """
    sighash_type = bytes((SIGHASH_ALL,))
    first, second = (signed_a, signed_b) if signed_a[0] <= signed_b[0] else (signed_b, signed_a)
    return (
        b"",
        signature_to_der(first[1]) + sighash_type,
        signature_to_der(second[1]) + sighash_type,
        witness_script,
    )
