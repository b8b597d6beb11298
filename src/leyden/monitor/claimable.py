"""What of a closed channel may be claimed, from when, and until when nobody else may.

A height is that of the first block that may hold a spend. A relative lock of n blocks on an output of block h allows
block h + n; an absolute one of height e allows block e + 1.

Spec: BOLT 5, "HTLC Output Handling", "Penalty Transactions Weight Calculation"; BOLT 3, "Commitment Transaction
Outputs".
"""

from collections.abc import Callable, Iterator

import msgspec

from leyden.bitcoin.tx import TxOut
from leyden.channel.build import ChannelKeys, PointOf
from leyden.channel.core import ChannelCore
from leyden.monitor.classify import SpendKind
from leyden.monitor.closed import ClosedView
from leyden.monitor.watched import WatchedHtlc, WatchedKind, WatchedOutput
from leyden.transactions.claim_inputs import SEQUENCE_REPLACEABLE, ClaimInput, ClaimKind
from leyden.transactions.scripts import ANCHOR_CSV_BLOCKS


class OutputClaim(msgspec.Struct, frozen=True, gc=False):
    """An output that is to be claimed.

    Attributes:
        input: how it is spent.
        htlc: (offered by us, htlc_id) of the HTLC that it holds; None for what holds none or one that only the penalty
            log knows.
        unlock_height: first block that may hold the spend.
        deadline_height: from this block on the other side may have it too; None: nobody else ever may. An HTLC that we
            offered on the peer's commitment has the height before which its inbound HTLC must be failed back, else
            None.
        contested: the other side may spend it already, with something that we do not know or by a race: it may be
            taken from under a batch, or pin it.
    """

    input: ClaimInput
    htlc: tuple[bool, int] | None
    unlock_height: int
    deadline_height: int | None
    contested: bool


class ClaimTerms(msgspec.Struct, frozen=True):
    """What the monitor is told by whoever knows all channels.

    preimage_of: htlc_id of an HTLC that the peer offered -> its preimage if it may be shown now, else empty: a claim
    whose parts are not all durable keeps it back (invariant P11). fail_back_height: htlc_id of an HTLC that we offered
    -> height at which its inbound HTLC is failed back, None when it has none.
    """

    preimage_of: Callable[[int], bytes]
    fail_back_height: Callable[[int], int | None]


def claims_now(
    core: ChannelCore, keys: ChannelKeys, view: ClosedView, height: int, terms: ClaimTerms
) -> list[OutputClaim]:
    """Return what can be claimed against somebody, in the order of the outputs, locks that still run included.

    What is ours alone is not here (`swept_now`). height: of the best block.
    """
    found: list[OutputClaim] = []
    for one in view.unspent():
        if one.kind is WatchedKind.HTLC:
            claim = _htlc_claim(core, keys, view, one, height, terms)
        else:
            claim = _penalty(core, keys, view, one)
        if claim is not None:
            found.append(claim)
    return found


def _input(
    core: ChannelCore,
    output: WatchedOutput,
    kind: ClaimKind,
    *,
    per_commitment: bytes,
    sequence: int = SEQUENCE_REPLACEABLE,
    locktime: int = 0,
    preimage: bytes = b"",
    paired_output: TxOut | None = None,
    paired_signature: bytes = b"",
    public_key: bytes = b"",
) -> ClaimInput:
    """Return a watched output as an input; fields as in `ClaimInput`."""
    return ClaimInput(
        kind=kind,
        keys_id=core.opened.channel_keys_id,
        outpoint=output.outpoint,
        value_sat=output.value_sat,
        witness_script=output.witness_script,
        sequence=sequence,
        locktime=locktime,
        per_commitment=per_commitment,
        preimage=preimage,
        paired_output=paired_output,
        paired_signature=paired_signature,
        anchors=core.opened.anchors,
        public_key=public_key,
    )


def _htlc_claim(
    core: ChannelCore, keys: ChannelKeys, view: ClosedView, output: WatchedOutput, height: int, terms: ClaimTerms
) -> OutputClaim | None:
    htlc = output.htlc
    assert htlc is not None, "an HTLC output holds one"
    assert htlc.htlc_id is not None, "commitments that are not revoked are known whole"
    preimage = b""
    if not htlc.offered:
        preimage = _preimage(core, htlc, terms)
        if not preimage:
            return None
    is_local = view.spend.kind is SpendKind.LOCAL
    made = _holder(core, view, output, htlc, preimage) if is_local else _counterparty(core, view, output, preimage)
    free = output.height + int(core.opened.anchors)
    after_expiry = htlc.cltv_expiry + 1
    if htlc.offered:
        deadline = terms.fail_back_height(htlc.htlc_id)
        return OutputClaim(made, (True, htlc.htlc_id), max(free, after_expiry), deadline, contested=True)
    contested = height + 1 >= after_expiry
    return OutputClaim(made, (False, htlc.htlc_id), free, after_expiry, contested)


def _preimage(core: ChannelCore, htlc: WatchedHtlc, terms: ClaimTerms) -> bytes:
    """By its id, never by its hash: nobody has decided to take another one (invariant S4)."""
    assert htlc.htlc_id is not None
    inbound = core.inbound.get(htlc.htlc_id)
    if inbound is None or inbound.add.payment_hash != htlc.payment_hash:
        return b""
    return terms.preimage_of(htlc.htlc_id)


def _holder(
    core: ChannelCore, view: ClosedView, output: WatchedOutput, htlc: WatchedHtlc, preimage: bytes
) -> ClaimInput:
    """By the HTLC transaction that the peer has signed."""
    assert view.spend.possible is not None, "our own commitment"
    commitment = view.spend.possible.commitment
    built = commitment.htlc_transaction(htlc.position).transaction
    return _input(
        core,
        output,
        ClaimKind.HOLDER_TIMEOUT if htlc.offered else ClaimKind.HOLDER_SUCCESS,
        sequence=built.inputs[0].sequence,
        locktime=built.locktime,
        per_commitment=commitment.keys.per_commitment_point,
        preimage=preimage,
        paired_output=built.outputs[0],
        paired_signature=core.local_htlc_signatures[64 * htlc.position : 64 * htlc.position + 64],
    )


def _counterparty(core: ChannelCore, view: ClosedView, output: WatchedOutput, preimage: bytes) -> ClaimInput:
    """Directly, with our key and the preimage, or after the expiry."""
    assert view.spend.possible is not None, "known by its txid"
    htlc = output.htlc
    assert htlc is not None
    return _input(
        core,
        output,
        ClaimKind.COUNTERPARTY_TIMEOUT if htlc.offered else ClaimKind.COUNTERPARTY_PREIMAGE,
        sequence=1 if core.opened.anchors else SEQUENCE_REPLACEABLE,
        locktime=htlc.cltv_expiry if htlc.offered else 0,
        per_commitment=view.spend.possible.commitment.keys.per_commitment_point,
        preimage=preimage,
    )


_REVOKED = (WatchedKind.REVOKED_TO_LOCAL, WatchedKind.REVOKED_HTLC, WatchedKind.REVOKED_SECOND_STAGE)


def _penalty(core: ChannelCore, keys: ChannelKeys, view: ClosedView, output: WatchedOutput) -> OutputClaim | None:
    """An output that the peer has forfeited, at once; it has until its own delay is over."""
    revoked, htlc = view.spend.revoked, output.htlc
    if revoked is None or output.kind not in _REVOKED:
        return None
    if output.kind is WatchedKind.REVOKED_HTLC:
        assert htlc is not None, "recognised by its hash"
        kind = ClaimKind.REVOKED_RECEIVED if htlc.offered else ClaimKind.REVOKED_OFFERED
    elif output.kind is WatchedKind.REVOKED_TO_LOCAL:
        kind = ClaimKind.REVOKED_TO_LOCAL
    else:
        kind = ClaimKind.REVOKED_SECOND_STAGE
    made = _input(
        core,
        output,
        kind,
        per_commitment=revoked.per_commitment_secret,
        # An HTLC's revocation branch names the key by its hash.
        public_key=revoked.keys.revocation_public_key if output.kind is WatchedKind.REVOKED_HTLC else b"",
    )
    name = None if htlc is None or htlc.htlc_id is None else (htlc.offered, htlc.htlc_id)
    deadline = output.height + keys.remote_parameters.to_self_delay
    return OutputClaim(made, name, output.height, deadline, output.kind is WatchedKind.REVOKED_HTLC)


def swept_now(core: ChannelCore, keys: ChannelKeys, view: ClosedView, own_points: PointOf) -> Iterator[OutputClaim]:
    """Yield what is ours alone and unspent, locks that still run included; anchors among them, which seldom pay.

    own_points: from the signer.
    """
    for one in view.unspent():
        if one.kind in (WatchedKind.TO_LOCAL, WatchedKind.SECOND_STAGE):
            delay = keys.local_parameters.to_self_delay
            number = view.spend.number
            assert number is not None, "of a commitment"
            kind = ClaimKind.TO_LOCAL if one.kind is WatchedKind.TO_LOCAL else ClaimKind.SECOND_STAGE
            point = own_points(core.opened.channel_keys_id, number)
            yield _own(core, one, kind, delay, point, b"")
        elif one.kind is WatchedKind.TO_REMOTE:
            key = b"" if core.opened.anchors else keys.local.payment_basepoint
            yield _own(core, one, ClaimKind.TO_REMOTE, int(core.opened.anchors), b"", key)
        elif one.kind in (WatchedKind.OWN_ANCHOR, WatchedKind.OTHER_ANCHOR):
            yield _own(core, one, ClaimKind.ANCHOR_OF_ANYONE, ANCHOR_CSV_BLOCKS, b"", b"")


def _own(
    core: ChannelCore, output: WatchedOutput, kind: ClaimKind, delay: int, point: bytes, public_key: bytes
) -> OutputClaim:
    made = _input(
        core,
        output,
        kind,
        sequence=delay or SEQUENCE_REPLACEABLE,
        per_commitment=point,
        public_key=public_key,
    )
    return OutputClaim(made, None, output.height + delay, None, contested=False)
