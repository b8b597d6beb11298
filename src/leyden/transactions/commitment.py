"""Commitment transactions: built for up to 966 HTLCs, twice per payment batch, so made of joined bytes.

No transaction object appears on this path. An output is a tuple that sorts as BOLT 3 orders outputs; one SHA-256 per
output gives its script, one join the transaction, and one loop with everything constant joined in advance the digests
that the counterparty signs for the HTLC transactions.

Spec: BOLT 3, "Commitment Transaction Construction".
"""

import hashlib
from collections.abc import Iterable
from enum import Enum
from struct import Struct
from typing import TypeAlias, final

from leyden.bitcoin.script import push_int
from leyden.bitcoin.sighash import SIGHASH_ALL, SIGHASH_ANYONECANPAY, SIGHASH_SINGLE
from leyden.bitcoin.tx import Transaction, TxIn, compact_size
from leyden.transactions.fees import (
    ANCHOR_VALUE_SAT,
    commitment_cost_sat,
    htlc_success_fee_sat,
    htlc_timeout_fee_sat,
    trim_thresholds,
)
from leyden.transactions.funding import funding_witness
from leyden.transactions.htlc_tx import HtlcTransaction, build_htlc_transaction
from leyden.transactions.keys import CommitmentKeys
from leyden.transactions.obscured import COMMITMENT_NUMBER_MAX, obscure
from leyden.transactions.scripts import (
    anchor_script,
    htlc_scripts,
    to_local_script,
    to_remote_anchors_script,
    to_remote_script_pubkey,
)
from leyden.transactions.types import CommitmentHtlc, CommitmentParameters

SIGHASH_SINGLE_ANYONECANPAY = SIGHASH_SINGLE | SIGHASH_ANYONECANPAY

_sha256 = hashlib.sha256
_pack_u32 = Struct("<I").pack
_pack_u64 = Struct("<Q").pack

_VERSION = b"\x02\x00\x00\x00"
_ZERO_64 = bytes(64)
_P2WSH = b"\x22\x00\x20"  # length of the script, OP_0, push of 32 bytes
_LENGTHS = tuple(bytes((n,)) for n in range(0xFD))
_NO_SCRIPT = b""


class OutputKind(Enum):
    """The outputs of a commitment that are no HTLCs; the value stands where an HTLC's id stands in the sort key."""

    TO_BROADCASTER = -1
    TO_COUNTERSIGNATORY = -2
    BROADCASTER_ANCHOR = -3
    COUNTERSIGNATORY_ANCHOR = -4


# (value in satoshi, script_pubkey after its length byte, cltv_expiry, htlc_id or kind, HTLC, witness script). Tuples
# sort as BOLT 3, "Transaction Output Ordering" wants; the length byte changes nothing, since P2WPKH (22, 0x00 0x14) is
# before P2WSH (34, 0x00 0x20) with and without it. htlc_id makes the order total: HTLCs are never compared.
_Output: TypeAlias = tuple[int, bytes, int, int, CommitmentHtlc | None, bytes]


@final
class Commitment:
    """A commitment transaction without signatures, and what is needed to sign, check and publish it.

    Made by `build_commitment`; a value: nothing changes after construction except memoised results.

    Attributes:
        parameters, keys, commitment_number, feerate_per_kw: what it was built from.
        unsigned: its serialisation without witness.
        htlcs: (output index, HTLC) of every untrimmed HTLC, in output order: the order of `htlc_signatures`.
    """

    __slots__ = (
        "_outputs",
        "_txid",
        "commitment_number",
        "feerate_per_kw",
        "htlcs",
        "keys",
        "parameters",
        "unsigned",
    )

    def __init__(
        self,
        parameters: CommitmentParameters,
        keys: CommitmentKeys,
        commitment_number: int,
        feerate_per_kw: int,
        outputs: list[_Output],
    ) -> None:
        """Serialise sorted `outputs`; for `build_commitment` only."""
        self.parameters = parameters
        self.keys = keys
        self.commitment_number = commitment_number
        self.feerate_per_kw = feerate_per_kw
        self._outputs = outputs
        self._txid: bytes | None = None
        locktime, sequence = obscure(commitment_number, parameters.obscuring_factor)
        pack = _pack_u64
        self.unsigned = b"".join(
            [
                _VERSION,
                b"\x01",
                parameters.funding_outpoint.serialize(),
                b"\x00",
                _pack_u32(sequence),
                compact_size(len(outputs)),
                *[pack(output[0]) + output[1] for output in outputs],
                _pack_u32(locktime),
            ]
        )
        self.htlcs: tuple[tuple[int, CommitmentHtlc], ...] = tuple(
            [(index, output[4]) for index, output in enumerate(outputs) if output[4] is not None]
        )

    def __eq__(self, other: object) -> bool:
        """Equal when built from equal values."""
        if not isinstance(other, Commitment):
            return NotImplemented
        return (
            self.unsigned == other.unsigned
            and self.htlcs == other.htlcs
            and self.keys == other.keys
            and self.parameters == other.parameters
            and self.feerate_per_kw == other.feerate_per_kw
        )

    def __hash__(self) -> int:
        """Follow the transaction, alike in every run."""
        return int.from_bytes(self.txid[:7], "little")

    def __repr__(self) -> str:
        """Name the transaction, not its hundreds of outputs."""
        return (
            f"Commitment(number={self.commitment_number}, txid={self.txid[::-1].hex()}, "
            f"feerate_per_kw={self.feerate_per_kw}, htlcs={len(self.htlcs)})"
        )

    @property
    def txid(self) -> bytes:
        """The 32-byte txid in internal order; signatures do not change it."""
        txid = self._txid
        if txid is None:
            txid = self._txid = _sha256(_sha256(self.unsigned).digest()).digest()
        return txid

    @property
    def fee_sat(self) -> int:
        """What miners get in satoshi.

        Negative when the opener had less than both anchors and HTLCs kept them alive; no such transaction can be
        published, so whoever offers an HTLC checks affordability first (BOLT 2, "Adding an HTLC: update_add_htlc").
        """
        return self.parameters.funding_value_sat - sum([output[0] for output in self._outputs])

    def output_index(self, kind: OutputKind) -> int | None:
        """Return the index of an output that is no HTLC, or None when the commitment does not have it."""
        for index, output in enumerate(self._outputs):
            if output[3] == kind.value and output[4] is None:
                return index
        return None

    def output_value_sat(self, index: int) -> int:
        """Return the value in satoshi of the output at `index`."""
        return self._outputs[index][0]

    def witness_script(self, index: int) -> bytes:
        """Return the witness script of the output at `index`; empty for a to_remote that is P2WPKH."""
        return self._outputs[index][5]

    def digest(self) -> bytes:
        """Return the 32 bytes both sides sign (SIGHASH_ALL) to spend the funding output.

        Spec: BIP 143, "Specification".
        """
        unsigned, parameters = self.unsigned, self.parameters
        # Layout of `unsigned`: version 4, count 1, outpoint 36, empty script 1, sequence 4, outputs, locktime 4.
        outpoint, sequence = unsigned[5:41], unsigned[42:46]
        outputs = unsigned[46 + len(compact_size(len(self._outputs))) : -4]
        script = parameters.funding_script
        preimage = b"".join(
            (
                _VERSION,
                _sha256(_sha256(outpoint).digest()).digest(),
                _sha256(_sha256(sequence).digest()).digest(),
                outpoint,
                compact_size(len(script)),
                script,
                _pack_u64(parameters.funding_value_sat),
                sequence,
                _sha256(_sha256(outputs).digest()).digest(),
                unsigned[-4:],
                _pack_u32(SIGHASH_ALL),
            )
        )
        return _sha256(_sha256(preimage).digest()).digest()

    @property
    def htlc_sighash_type(self) -> int:
        """The sighash type of the countersignatory's HTLC signatures.

        Spec: BOLT 3, "HTLC-Timeout and HTLC-Success Transactions".
        """
        return SIGHASH_SINGLE_ANYONECANPAY if self.parameters.anchors else SIGHASH_ALL

    def htlc_digests(self, sighash_type: int) -> list[bytes]:
        """Return the 32-byte digest of every HTLC transaction, in output order.

        Args:   sighash_type: `htlc_sighash_type` for what the countersignatory signs, or SIGHASH_ALL.
        Raises: ValueError for any other sighash type.
        Spec:   BIP 143, "Specification"; BOLT 2, "Committing Updates So Far: commitment_signed".
        """
        if sighash_type not in (SIGHASH_ALL, SIGHASH_SINGLE_ANYONECANPAY):
            raise ValueError("HTLC transactions are signed with ALL or SINGLE|ANYONECANPAY")
        if not self.htlcs:
            return []
        sha256, pack_u32, join, lengths = _sha256, _pack_u32, b"".join, _LENGTHS
        commits_to_all = sighash_type == SIGHASH_ALL
        txid = self.txid
        sequence = b"\x01\x00\x00\x00" if self.parameters.anchors else b"\x00\x00\x00\x00"
        hash_sequence = sha256(sha256(sequence).digest()).digest()
        head = _VERSION + _ZERO_64 + txid
        tails = _Tails(self, sequence, pack_u32(sighash_type))
        offered, received = tails.offered, tails.received
        timeout_end, success_end = tails.timeout_end, tails.success_end
        digests: list[bytes] = []
        append = digests.append
        for index, (value_sat, _, cltv_expiry, _, htlc, script) in enumerate(self._outputs):
            if htlc is None:
                continue
            vout = pack_u32(index)
            if commits_to_all:
                hash_prevouts = sha256(sha256(txid + vout).digest()).digest()
                head = join((_VERSION, hash_prevouts, hash_sequence, txid))
            if htlc.offered:
                tail, end = offered[value_sat], timeout_end[cltv_expiry]
            else:
                tail, end = received[value_sat], success_end
            preimage = join((head, vout, lengths[len(script)], script, tail, end))
            append(sha256(sha256(preimage).digest()).digest())
        return digests

    def htlc_transaction(self, position: int) -> HtlcTransaction:
        """Return the transaction that spends the HTLC at `position` in `htlcs` (not the output index)."""
        index, htlc = self.htlcs[position]
        return build_htlc_transaction(
            commitment_txid=self.txid,
            output_index=index,
            htlc=htlc,
            witness_script=self._outputs[index][5],
            output_script=to_local_script(self.keys, self.parameters.to_self_delay),
            feerate_per_kw=self.feerate_per_kw,
            anchors=self.parameters.anchors,
        )

    def transaction(self) -> Transaction:
        """Return the transaction without signatures."""
        return Transaction.parse(self.unsigned)

    def signed_transaction(self, broadcaster_signature: bytes, countersignatory_signature: bytes) -> Transaction:
        """Return the transaction that can be published (signatures: 64 bytes compact, over `digest()`).

        Spec: BOLT 3, "Commitment Transaction".
        """
        unsigned = self.transaction()
        witness = funding_witness(
            self.parameters.funding_script,
            (self.keys.broadcaster_funding_public_key, broadcaster_signature),
            (self.keys.countersignatory_funding_public_key, countersignatory_signature),
        )
        spend = TxIn(unsigned.inputs[0].prevout, b"", unsigned.inputs[0].sequence, witness)
        return Transaction(unsigned.version, (spend,), unsigned.outputs, unsigned.locktime)


class _Tails:
    """Constant ends of HTLC sighash preimages, each made once per value or expiry.

    offered, received: satoshi of the spent output -> value, sequence, hashOutputs.
    timeout_end: cltv_expiry -> locktime, sighash type; success_end: the same with locktime 0.
    """

    __slots__ = ("offered", "received", "success_end", "timeout_end")

    def __init__(self, commitment: Commitment, sequence: bytes, sighash_type: bytes) -> None:
        parameters = commitment.parameters
        script = to_local_script(commitment.keys, parameters.to_self_delay)
        script_pubkey = _P2WSH + _sha256(script).digest()
        timeout_fee_sat = htlc_timeout_fee_sat(commitment.feerate_per_kw, parameters.anchors)
        success_fee_sat = htlc_success_fee_sat(commitment.feerate_per_kw, parameters.anchors)
        self.offered = _ValueTails(timeout_fee_sat, script_pubkey, sequence)
        self.received = _ValueTails(success_fee_sat, script_pubkey, sequence)
        self.timeout_end = _ExpiryEnds(sighash_type)
        self.success_end = b"\x00\x00\x00\x00" + sighash_type


class _ValueTails(dict[int, bytes]):
    def __init__(self, fee_sat: int, script_pubkey: bytes, sequence: bytes) -> None:
        super().__init__()
        self.fee_sat = fee_sat
        self.script_pubkey = script_pubkey
        self.sequence = sequence

    def __missing__(self, value_sat: int) -> bytes:
        output = _pack_u64(value_sat - self.fee_sat) + self.script_pubkey
        tail = _pack_u64(value_sat) + self.sequence + _sha256(_sha256(output).digest()).digest()
        self[value_sat] = tail
        return tail


class _ExpiryEnds(dict[int, bytes]):
    def __init__(self, sighash_type: bytes) -> None:
        super().__init__()
        self.sighash_type = sighash_type

    def __missing__(self, cltv_expiry: int) -> bytes:
        end = _pack_u32(cltv_expiry) + self.sighash_type
        self[cltv_expiry] = end
        return end


class _ExpiryPushes(dict[int, bytes]):
    def __init__(self, middle: bytes, suffix: bytes) -> None:
        super().__init__()
        self.middle = middle
        self.suffix = suffix

    def __missing__(self, cltv_expiry: int) -> bytes:
        end = self.middle + push_int(cltv_expiry) + self.suffix
        self[cltv_expiry] = end
        return end


def _htlc_outputs(
    parameters: CommitmentParameters, keys: CommitmentKeys, feerate_per_kw: int, htlcs: Iterable[CommitmentHtlc]
) -> list[_Output]:
    anchors = parameters.anchors
    thresholds = trim_thresholds(parameters.dust_limit_sat, feerate_per_kw, anchors)
    offered_min_msat, received_min_msat = thresholds.offered_msat, thresholds.received_msat
    scripts = htlc_scripts(keys, anchors)
    offered_prefix, offered_suffix = scripts.offered_prefix, scripts.offered_suffix
    received_prefix = scripts.received_prefix
    received_end = _ExpiryPushes(scripts.received_middle, scripts.received_suffix)
    sha256 = _sha256
    outputs: list[_Output] = []
    append = outputs.append
    for htlc in htlcs:
        amount_msat = htlc.amount_msat
        cltv_expiry = htlc.cltv_expiry
        if htlc.offered:
            if amount_msat < offered_min_msat:
                continue
            script = offered_prefix + htlc.payment_hash160 + offered_suffix
        else:
            if amount_msat < received_min_msat:
                continue
            script = received_prefix + htlc.payment_hash160 + received_end[cltv_expiry]
        append((amount_msat // 1000, _P2WSH + sha256(script).digest(), cltv_expiry, htlc.htlc_id, htlc, script))
    return outputs


def _p2wsh_output(value_sat: int, kind: OutputKind, script: bytes) -> _Output:
    return (value_sat, _P2WSH + _sha256(script).digest(), 0, kind.value, None, script)


def _to_countersignatory_output(value_sat: int, keys: CommitmentKeys, anchors: bool) -> _Output:
    point, kind = keys.countersignatory_payment_point, OutputKind.TO_COUNTERSIGNATORY
    if anchors:
        return _p2wsh_output(value_sat, kind, to_remote_anchors_script(point))
    script_pubkey = to_remote_script_pubkey(point, anchors)
    return (value_sat, compact_size(len(script_pubkey)) + script_pubkey, 0, kind.value, None, _NO_SCRIPT)


def build_commitment(
    parameters: CommitmentParameters,
    keys: CommitmentKeys,
    commitment_number: int,
    feerate_per_kw: int,
    to_broadcaster_msat: int,
    to_countersignatory_msat: int,
    htlcs: Iterable[CommitmentHtlc],
) -> Commitment:
    """Build the commitment transaction of `parameters`' broadcaster.

    The opener pays the fee and the anchors out of its balance; when the balance is smaller, the whole of it goes to
    the fee and its output disappears.

    Args:
        commitment_number: counts up from 0, 48 bits.
        feerate_per_kw: satoshi per 1000 weight units.
        to_broadcaster_msat, to_countersignatory_msat: balances in millisatoshi before the fee, without HTLCs.
        htlcs: all committed HTLCs, in any order; those below the trimming thresholds get no output.
    Raises: ValueError when the number has more than 48 bits.
    Spec:   BOLT 3, "Commitment Transaction Construction" and "Fee Payment".
    """
    if not 0 <= commitment_number <= COMMITMENT_NUMBER_MAX:
        raise ValueError("commitment number has more than 48 bits")
    anchors = parameters.anchors
    outputs = _htlc_outputs(parameters, keys, feerate_per_kw, htlcs)
    untrimmed = len(outputs)
    cost_sat = commitment_cost_sat(feerate_per_kw, untrimmed, anchors)
    to_broadcaster_sat = to_broadcaster_msat // 1000
    to_countersignatory_sat = to_countersignatory_msat // 1000
    if parameters.opener_is_broadcaster:
        to_broadcaster_sat -= cost_sat
    else:
        to_countersignatory_sat -= cost_sat
    # An opener that cannot pay everything is below zero here and has no output: its whole balance is the fee.
    has_broadcaster = to_broadcaster_sat >= parameters.dust_limit_sat
    has_countersignatory = to_countersignatory_sat >= parameters.dust_limit_sat
    if has_broadcaster:
        script = to_local_script(keys, parameters.to_self_delay)
        outputs.append(_p2wsh_output(to_broadcaster_sat, OutputKind.TO_BROADCASTER, script))
    if has_countersignatory:
        outputs.append(_to_countersignatory_output(to_countersignatory_sat, keys, anchors))
    if anchors and (has_broadcaster or untrimmed):
        script = anchor_script(keys.broadcaster_funding_public_key)
        outputs.append(_p2wsh_output(ANCHOR_VALUE_SAT, OutputKind.BROADCASTER_ANCHOR, script))
    if anchors and (has_countersignatory or untrimmed):
        script = anchor_script(keys.countersignatory_funding_public_key)
        outputs.append(_p2wsh_output(ANCHOR_VALUE_SAT, OutputKind.COUNTERSIGNATORY_ANCHOR, script))
    outputs.sort()
    return Commitment(parameters, keys, commitment_number, feerate_per_kw, outputs)
