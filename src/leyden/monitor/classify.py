"""What a transaction that spends the funding output is.

Nothing spends it without our signature, and we sign two kinds: commitments, which carry an obscured number in locktime
and sequence, and closing transactions, which never do. So the marks decide first, not the outputs: a peer may ask for a
shutdown script that is the script of an old commitment of its own.

Which commitment it is follows from the number it carries and, for those that may confirm, from the txid.

Spec: BOLT 5, "Commitment Transaction" and "Mutual Close Handling"; BOLT 3, "Commitment Transaction".
"""

from enum import Enum

import msgspec

from leyden.bitcoin.tx import Transaction
from leyden.channel.build import ChannelKeys, PointOf
from leyden.channel.core import ChannelCore
from leyden.monitor.commitments import (
    CommitmentSource,
    PossibleCommitment,
    first_unrevoked,
    local_possible,
    remote_possible,
    remote_prior_possible,
    withdrawn_possible,
)
from leyden.monitor.recognise import (
    CandidateHtlc,
    OutputRole,
    Recognised,
    RecognisedOutput,
    recognise_outputs,
)
from leyden.monitor.revoked import RevokedCommitment, revoked_commitment
from leyden.transactions.keys import derive_commitment_keys
from leyden.transactions.obscured import reveal
from leyden.transactions.scripts import to_remote_script_pubkey


class SpendKind(Enum):
    """What the funding output was spent by.

    LOCAL_REVOKED: an old commitment of our own, published from an old copy of this node. LOCAL_FUTURE: one of our own
    that this state does not know yet, so that this state is the old copy. REMOTE_UNKNOWN: a commitment of the peer that
    this state does not know: data were lost. REMOTE_WITHDRAWN: one that we signed and took back. OTHER: nothing that
    this state knows we signed.
    """

    MUTUAL_CLOSE = "mutual_close"
    LOCAL = "local"
    LOCAL_REVOKED = "local_revoked"
    LOCAL_FUTURE = "local_future"
    REMOTE = "remote"
    REMOTE_PRIOR = "remote_prior"
    REMOTE_WITHDRAWN = "remote_withdrawn"
    REMOTE_REVOKED = "remote_revoked"
    REMOTE_UNKNOWN = "remote_unknown"
    OTHER = "other"


_KIND_OF = {
    CommitmentSource.LOCAL: SpendKind.LOCAL,
    CommitmentSource.REMOTE: SpendKind.REMOTE,
    CommitmentSource.REMOTE_PRIOR: SpendKind.REMOTE_PRIOR,
    CommitmentSource.REMOTE_WITHDRAWN: SpendKind.REMOTE_WITHDRAWN,
}


class Spend(msgspec.Struct, frozen=True):
    """A transaction that spends the funding output.

    Attributes:
        kind: see `SpendKind`.
        number: of the commitment; None for what is no commitment.
        txid: 32 bytes, internal order.
        transaction: the published one.
        possible: the commitment as rebuilt, for LOCAL, REMOTE, REMOTE_PRIOR and REMOTE_WITHDRAWN.
        revoked: what justice needs, for REMOTE_REVOKED.
        is_agreed: it is the very closing transaction that the journal holds with both signatures.
    """

    kind: SpendKind
    number: int | None
    txid: bytes
    transaction: Transaction
    possible: PossibleCommitment | None
    revoked: RevokedCommitment | None
    is_agreed: bool


def classify(
    core: ChannelCore, keys: ChannelKeys, transaction: Transaction, penalty_log: bytes, own_points: PointOf
) -> Spend:
    """Say what `transaction`, which spends the channel's funding output, is.

    Args:
        penalty_log: what the store has (`Store.penalty_rows`); only the outputs of a revoked commitment need it, so
            b"" is enough to learn the kind.
        own_points: from the signer.
    """
    spend = transaction.inputs[0]
    number = None
    if len(transaction.inputs) == 1:
        number = reveal(transaction.locktime, spend.sequence, keys.local_parameters.obscuring_factor)
    if number is None:
        return _without_number(core, transaction)
    possible = _possible(core, keys, number, transaction.txid(), own_points)
    if possible is not None:
        return _spend(_KIND_OF[possible.source], number, transaction, possible=possible)
    return _not_current(core, keys, transaction, number, penalty_log, own_points)


def _spend(
    kind: SpendKind,
    number: int | None,
    transaction: Transaction,
    *,
    possible: PossibleCommitment | None = None,
    revoked: RevokedCommitment | None = None,
    is_agreed: bool = False,
) -> Spend:
    return Spend(kind, number, transaction.txid(), transaction, possible, revoked, is_agreed)


def _without_number(core: ChannelCore, transaction: Transaction) -> Spend:
    agreed = core.close_agreed
    if agreed is not None and Transaction.parse(agreed.transaction).txid() == transaction.txid():
        return _spend(SpendKind.MUTUAL_CLOSE, None, transaction, is_agreed=True)
    # Each fee that we ever signed in the negotiation is a closing transaction which the peer may publish.
    wanted = (core.local_shutdown_script, core.remote_shutdown_script)
    if all(wanted) and all(output.script_pubkey in wanted for output in transaction.outputs):
        return _spend(SpendKind.MUTUAL_CLOSE, None, transaction)
    return _spend(SpendKind.OTHER, None, transaction)


def _possible(
    core: ChannelCore, keys: ChannelKeys, number: int, txid: bytes, own_points: PointOf
) -> PossibleCommitment | None:
    if number == core.remote.number:
        current = remote_possible(core, keys)
        if current.commitment.txid == txid:
            return current
    elif core.remote_prior is not None and number == core.remote_prior.number:
        prior = remote_prior_possible(core, keys)
        if prior is not None and prior.commitment.txid == txid:
            return prior
    for one in withdrawn_possible(core, keys):
        if (one.number, one.commitment.txid) == (number, txid):
            return one
    if number == core.local.number:
        local = local_possible(core, keys, own_points)
        if local.commitment.txid == txid:
            return local
    return None


def _not_current(
    core: ChannelCore,
    keys: ChannelKeys,
    transaction: Transaction,
    number: int,
    penalty_log: bytes,
    own_points: PointOf,
) -> Spend:
    """Both sides' commitments carry numbers of the same kind: their scripts say whose it is."""
    own_known, own_unknown = _as_own(core, keys, transaction, number, own_points)
    is_own = _explains(own_known)
    if number < first_unrevoked(core):
        revoked = revoked_commitment(core, keys, transaction, number, penalty_log)
        if len(revoked.unknown) <= len(own_unknown):
            return _spend(SpendKind.REMOTE_REVOKED, number, transaction, revoked=revoked)
    elif _pays_our_to_remote(core, keys, transaction):
        is_own = is_own and OutputRole.TO_LOCAL in [output.role for output in own_known]
    if not is_own:
        return _spend(SpendKind.REMOTE_UNKNOWN, number, transaction)
    kind = SpendKind.LOCAL_REVOKED if number < core.local.number else SpendKind.LOCAL_FUTURE
    return _spend(kind, number, transaction)


def _as_own(
    core: ChannelCore, keys: ChannelKeys, transaction: Transaction, number: int, own_points: PointOf
) -> Recognised:
    """Read the outputs as those of our own commitment `number`. Of its HTLCs only those still live are known."""
    point = own_points(core.opened.channel_keys_id, number)
    entries = [htlc.local for htlc in core.outbound.values()] + [htlc.local for htlc in core.inbound.values()]
    return recognise_outputs(
        derive_commitment_keys(keys.local, keys.remote, point),
        keys.local_parameters.to_self_delay,
        core.opened.anchors,
        transaction.outputs,
        [
            CandidateHtlc(one.offered, one.payment_hash, one.cltv_expiry, one.htlc_id, one.amount_msat)
            for one in entries
        ],
    )


_ANCHORS = (OutputRole.LOCAL_ANCHOR, OutputRole.REMOTE_ANCHOR)


def _explains(recognised: tuple[RecognisedOutput, ...]) -> bool:
    """Anchors look alike on both sides' commitments, so they tell nothing."""
    return any(output.role not in _ANCHORS for output in recognised)


def _pays_our_to_remote(core: ChannelCore, keys: ChannelKeys, transaction: Transaction) -> bool:
    script = to_remote_script_pubkey(keys.local.payment_basepoint, core.opened.anchors)
    return any(output.script_pubkey == script for output in transaction.outputs)
