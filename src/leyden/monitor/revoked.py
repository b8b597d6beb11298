"""A revoked commitment of the peer, as far as justice needs it: every output is ours to take.

What is stored of old commitments: the secrets (49 entries of a shachain) and one row of 49 bytes an HTLC, however many
commitments contained it. Everything else is rebuilt from the number that the transaction itself carries; no old state
is searched. The rows of one commitment are found by bisection, without an index: the search begins where rows end at
its number and goes on until every output of the published transaction is explained (`rows_of_commitment`). It reads the
rows of the HTLCs that left between that number and the last of the wanted ones, however many states there were; only
an output that nothing explains costs a pass over the log (0.1 s for a million rows).

Spec: BOLT 5, "Revoked Transaction Close Handling".
"""

from collections.abc import Iterator

import msgspec

from leyden.bitcoin.tx import Transaction
from leyden.channel.build import ChannelKeys
from leyden.channel.core import ChannelCore
from leyden.crypto.ec import public_key
from leyden.crypto.shachain import index_of_commitment
from leyden.journal.penalty import rows_of_commitment
from leyden.monitor.commitments import first_unrevoked
from leyden.monitor.recognise import CandidateHtlc, OutputRole, RecognisedOutput, recognise_outputs
from leyden.transactions.keys import CommitmentKeys, derive_commitment_keys
from leyden.transactions.scripts import ANCHOR_CSV_BLOCKS, to_local_script
from leyden.transactions.types import CommitmentHtlc

PENALISED = (OutputRole.TO_LOCAL, OutputRole.OFFERED_HTLC, OutputRole.RECEIVED_HTLC)
"""What the revocation key of a commitment spends, at once."""


class RevokedCommitment(msgspec.Struct, frozen=True):
    """A published commitment that the peer had revoked.

    Attributes:
        number: its commitment number.
        per_commitment_secret: 32 bytes; with our revocation secret it spends everything but to_remote and anchors.
        keys: the public keys of its scripts; the peer is the broadcaster.
        txid: 32 bytes, internal order.
        outputs: all that were recognised, in output order. unknown: indices of outputs that were not; empty unless the
            penalty log is incomplete.
        to_self_delay: blocks that the peer waits for its to_local and second stages; justice has that long.
        second_stage_script: witness script of the output of any HTLC transaction of this commitment.
    """

    number: int
    per_commitment_secret: bytes
    keys: CommitmentKeys
    txid: bytes
    outputs: tuple[RecognisedOutput, ...]
    unknown: tuple[int, ...]
    to_self_delay: int
    second_stage_script: bytes

    def __repr__(self) -> str:
        """Name the commitment; the secret stays out of logs (invariant S5)."""
        return (
            f"RevokedCommitment(number={self.number}, txid={self.txid[::-1].hex()}, "
            f"outputs={len(self.outputs)}, unknown={list(self.unknown)})"
        )

    def penalised(self) -> tuple[RecognisedOutput, ...]:
        """Return the outputs that the revocation key spends at once: to_local and every HTLC."""
        return tuple([output for output in self.outputs if output.role in PENALISED])


def sequence_blocks(role: OutputRole, anchors: bool) -> int:
    """Return the relative lock, in blocks, of our own spend of an output of the peer's revoked commitment.

    The branches with the revocation key have none. Spec: BOLT 3, "Commitment Transaction Outputs".
    """
    if role is OutputRole.TO_REMOTE:
        return 1 if anchors else 0
    return ANCHOR_CSV_BLOCKS if role is OutputRole.LOCAL_ANCHOR else 0


def revoked_keys(core: ChannelCore, keys: ChannelKeys, number: int) -> tuple[bytes, CommitmentKeys]:
    """Return the secret (32 bytes) and the keys of the peer's revoked commitment `number`.

    Raises: ValueError when that commitment is not revoked.
    """
    if not 0 <= number < first_unrevoked(core):
        raise ValueError("this commitment is not revoked")
    secret = core.secrets.get(index_of_commitment(number))
    return secret, derive_commitment_keys(keys.remote, keys.local, public_key(secret))


def htlcs_of_revoked(core: ChannelCore, number: int, penalty_log: bytes) -> Iterator[CandidateHtlc]:
    """Yield every HTLC that the peer's revoked commitment `number` had an output for; perhaps more, and some twice.
    Those that the state still has come first; only they have amounts.

    What the state still has was in all commitments since its first one: an HTLC that we offered leaves the state before
    the last commitment that had it is revoked, one that the peer offered counts while it is in the latest. Every other
    one has a row, in the log or, since the last snapshot, in the state.

    penalty_log: what the store has (`Store.penalty_rows`), rows of 49 bytes.
    """
    for outbound in core.outbound.values():
        if outbound.first_remote_number <= number:
            yield _candidate(outbound.remote)
    for htlc_id, inbound in core.inbound.items():
        if 2 * htlc_id in core.remote.htlcs and inbound.first_remote_number <= number:
            yield _candidate(inbound.remote)
    for rows in (b"".join(core.penalty_rows), penalty_log):
        for row in rows_of_commitment(rows, number):
            yield CandidateHtlc(not row.offered, row.payment_hash, row.cltv_expiry, None, None)


def _candidate(htlc: CommitmentHtlc) -> CandidateHtlc:
    return CandidateHtlc(htlc.offered, htlc.payment_hash, htlc.cltv_expiry, htlc.htlc_id, htlc.amount_msat)


def revoked_commitment(
    core: ChannelCore, keys: ChannelKeys, transaction: Transaction, number: int, penalty_log: bytes
) -> RevokedCommitment:
    """Rebuild what justice needs of a published commitment of the peer.

    Args:
        transaction: the published one; number: what it carries, obscured (`transactions.obscured.reveal`).
        penalty_log: what the store has (`Store.penalty_rows`).
    Raises: ValueError when that commitment is not revoked.
    """
    secret, commitment_keys = revoked_keys(core, keys, number)
    to_self_delay = keys.remote_parameters.to_self_delay
    outputs, unknown = recognise_outputs(
        commitment_keys,
        to_self_delay,
        core.opened.anchors,
        transaction.outputs,
        htlcs_of_revoked(core, number, penalty_log),
    )
    return RevokedCommitment(
        number=number,
        per_commitment_secret=secret,
        keys=commitment_keys,
        txid=transaction.txid(),
        outputs=outputs,
        unknown=unknown,
        to_self_delay=to_self_delay,
        second_stage_script=to_local_script(commitment_keys, to_self_delay),
    )
