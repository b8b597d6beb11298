"""What the chain has decided about a closed channel: preimages, HTLCs that can no longer be fulfilled, outputs of ours.

A preimage counts at once, wherever it was seen: it is its own proof. All else counts when it is as deep as asked.

Spec: BOLT 5, "HTLC Output Handling: Local Commitment, Local Offers", "HTLC Output Handling: Remote Commitment, Local
Offers", "Requirements" (irrevocably resolved: 100 blocks).
"""

from collections.abc import Iterator, Sequence

import msgspec

from leyden.bitcoin.tx import OutPoint, TxIn, txid_to_hex
from leyden.channel.build import ChannelKeys
from leyden.channel.core import ChannelCore
from leyden.channel.htlc import OutboundHtlc
from leyden.crypto.hashes import sha256
from leyden.journal.records import AddedHtlc, OnchainResolved, SpendableOutput
from leyden.monitor.classify import SpendKind
from leyden.monitor.closed import ClosedView
from leyden.monitor.feerates import is_worth
from leyden.monitor.watched import WatchedKind, WatchedOutput
from leyden.transactions.claim_inputs import ClaimKind

IRREVOCABLE_BLOCKS = 100
"""A spend this deep is never undone (BOLT 5, "General Nomenclature": irrevocably resolved)."""
_FEERATE_FLOOR_PER_KW = 253
_LONE_CLAIM_WEIGHT = 1_150
"""Of a transaction that claims one output, at most: an HTLC transaction with the coin that pays for it."""
_KNOWN = (SpendKind.LOCAL, SpendKind.REMOTE, SpendKind.REMOTE_PRIOR, SpendKind.REMOTE_WITHDRAWN)
_SWEPT = {
    WatchedKind.TO_LOCAL: ClaimKind.TO_LOCAL,
    WatchedKind.TO_REMOTE: ClaimKind.TO_REMOTE,
    WatchedKind.SECOND_STAGE: ClaimKind.SECOND_STAGE,
}


class Depths(msgspec.Struct, frozen=True):
    """Confirmations after which something counts. failure: an HTLC that was forwarded, for its inbound channel.
    own_failure: one of a payment of ours, which is then made again. spendable: an output of ours, for its user.
    """

    failure: int = 6
    own_failure: int = IRREVOCABLE_BLOCKS
    spendable: int = 6


def resolve(
    core: ChannelCore, keys: ChannelKeys, view: ClosedView, height: int, depths: Depths
) -> OnchainResolved | None:
    """Return what has been decided and is not recorded yet, or None. height: of the best block."""
    preimages = dict(_preimages(core, view))
    fulfilled = [(htlc_id, preimages[htlc_id]) for htlc_id in preimages if htlc_id not in core.onchain_preimages]
    failed = [
        htlc_id
        for htlc_id, htlc in core.outbound.items()
        if htlc_id not in preimages
        and htlc_id not in core.onchain_failed
        and htlc_id not in core.onchain_preimages
        and not (htlc.removal is not None and htlc.removal.preimage)
        and _is_over(htlc, view, height, depths)
    ]
    spendable = [
        SpendableOutput(one.outpoint.txid, one.outpoint.vout, one.value_sat, _SWEPT[one.kind].value)
        for one in view.unspent()
        if one.kind in _SWEPT
        and str_of(one.outpoint) not in core.spendable
        and height + 1 >= unlock_height(core, keys, one)
        and height - one.height + 1 >= depths.spendable
    ]
    if not (fulfilled or failed or spendable):
        return None
    return OnchainResolved(fulfilled, failed, spendable)


def str_of(outpoint: OutPoint) -> str:
    """Return `txid:index`, as the journal names an output."""
    return f"{txid_to_hex(outpoint.txid)}:{outpoint.vout}"


def unlock_height(core: ChannelCore, keys: ChannelKeys, output: WatchedOutput) -> int:
    """Return the first block that may hold our spend of an output that is swept (BOLT 3, "to_local", "to_remote")."""
    if output.kind is WatchedKind.TO_REMOTE:
        return output.height + int(core.opened.anchors)
    return output.height + keys.local_parameters.to_self_delay


def revealed(spending: TxIn, payment_hash: bytes) -> bytes:
    """Return the preimage (32 bytes) of `payment_hash` that the witness of an input shows, else empty.

    Both ways to take an HTLC with its preimage show it as an item of its own; what else has 32 bytes has another hash.
    """
    for item in spending.witness:
        if len(item) == 32 and sha256(item) == payment_hash:
            return item
    return b""


def _preimages(core: ChannelCore, view: ClosedView) -> Iterator[tuple[int, bytes]]:
    """Yield (htlc_id, preimage) of HTLCs that we offered, whose outputs were taken with the preimage.

    One that only a hash names is from a commitment that is not known whole: whoever offered it to us has to be told of
    the preimage all the same, before it is too late.
    """
    for outpoint, seen in view.spenders.items():
        yield from preimages_of(core, view.outputs[outpoint], seen.inputs[outpoint])


def preimages_of(core: ChannelCore, output: WatchedOutput, spending: TxIn) -> Iterator[tuple[int, bytes]]:
    """Yield (htlc_id, preimage) of HTLCs that we offered, which the input that spends `output` reveals."""
    if not any(len(item) == 32 for item in spending.witness):
        return
    named = output.htlc
    if named is not None and named.htlc_id is not None:
        # A commitment that was withdrawn may name an id that was given again: the hash must be that of the HTLC here.
        htlc = core.outbound.get(named.htlc_id) if named.offered else None
        if htlc is not None and htlc.add.payment_hash == named.payment_hash:
            preimage = revealed(spending, named.payment_hash)
            if preimage:
                yield named.htlc_id, preimage
    elif output.kind in (WatchedKind.UNKNOWN, WatchedKind.REVOKED_HTLC):
        for htlc_id, htlc in core.outbound.items():
            preimage = revealed(spending, htlc.add.payment_hash)
            if preimage:
                yield htlc_id, preimage


def withdrawn_preimages(core: ChannelCore, view: ClosedView) -> Iterator[tuple[AddedHtlc, bytes]]:
    """Yield HTLCs of a commitment whose signature was taken back, with the preimages by which they were taken.

    Nobody should have had that signature. Their sources were returned and their ids given again, so no outcome of the
    channel can name them; whoever offered them may still be asked.
    """
    if view.spend.kind is not SpendKind.REMOTE_WITHDRAWN:
        return
    adds = [add for one in core.withdrawn if one.number == view.spend.number for add in one.adds]
    for outpoint, seen in view.spenders.items():
        named = view.outputs[outpoint].htlc
        for add in adds if named is not None and named.offered else ():
            if named is not None and (add.htlc_id, add.payment_hash) == (named.htlc_id, named.payment_hash):
                preimage = revealed(seen.inputs[outpoint], add.payment_hash)
                if preimage:
                    yield add, preimage


def _is_over(htlc: OutboundHtlc, view: ClosedView, height: int, depths: Depths) -> bool:
    """Return whether an HTLC that we offered can no longer be fulfilled on the chain."""
    add = htlc.add
    depth = depths.failure if add.source is not None and add.source.forwarded else depths.own_failure
    if view.spend.kind not in (*_KNOWN, SpendKind.REMOTE_REVOKED, SpendKind.MUTUAL_CLOSE):
        # Its output cannot be told apart; the peer, who could have taken it, has long had its time.
        return height >= max(add.cltv_expiry, view.record.height) + IRREVOCABLE_BLOCKS
    if height - view.record.height + 1 < depth:
        return False
    for output in _outputs_of(htlc, view):
        seen = view.spenders.get(output.outpoint)
        if seen is None and is_worthless(output, height):
            continue
        if seen is None or height - seen.height + 1 < depth:
            return False
    return True


def is_worthless(output: WatchedOutput, height: int) -> bool:
    """Return whether nobody will ever spend an output: it is uneconomic, and 100 blocks have passed since it could be
    had. Then its HTLC is over, as one without an output would be.
    """
    free = output.height if output.htlc is None else max(output.height, output.htlc.cltv_expiry)
    return height >= free + IRREVOCABLE_BLOCKS and is_uneconomic(output)


def is_uneconomic(output: WatchedOutput) -> bool:
    """Return whether an output, claimed alone, costs what it holds even at the lowest feerate that relays."""
    return not is_worth(output.value_sat, _LONE_CLAIM_WEIGHT, _FEERATE_FLOOR_PER_KW)


def _outputs_of(htlc: OutboundHtlc, view: ClosedView) -> list[WatchedOutput]:
    """Return the outputs of the confirmed commitment that hold the HTLC: none if it is trimmed or not in it."""
    held = view.by_htlc.get(htlc.add.htlc_id, ())
    return [one for one in held if one.htlc is not None and one.htlc.payment_hash == htlc.add.payment_hash]


_MATTERS = (
    WatchedKind.TO_LOCAL,
    WatchedKind.TO_REMOTE,
    WatchedKind.SECOND_STAGE,
    WatchedKind.REVOKED_TO_LOCAL,
    WatchedKind.REVOKED_HTLC,
    WatchedKind.REVOKED_SECOND_STAGE,
    WatchedKind.HTLC,
)


def open_outputs(core: ChannelCore, view: ClosedView, height: int, depth: int) -> Sequence[WatchedOutput]:
    """Return the outputs whose fate is not `depth` blocks deep and in which we have, or may come to have, something.

    An HTLC of the peer whose preimage nobody here knows is nothing to us once the peer may have it back.
    """
    found: list[WatchedOutput] = []
    for one in view.outputs.values():
        if one.kind not in _MATTERS:
            continue
        seen = view.spenders.get(one.outpoint)
        if seen is not None and height - seen.height + 1 >= depth:
            continue
        if seen is None and (
            is_worthless(one, height) or (one.kind is WatchedKind.HTLC and _is_lost(core, one, height))
        ):
            continue
        found.append(one)
    return found


def _is_lost(core: ChannelCore, output: WatchedOutput, height: int) -> bool:
    htlc = output.htlc
    if output.kind is not WatchedKind.HTLC or htlc is None:
        return False
    if htlc.offered or height < htlc.cltv_expiry + IRREVOCABLE_BLOCKS:
        return False
    inbound = None if htlc.htlc_id is None else core.inbound.get(htlc.htlc_id)
    return inbound is None or not inbound.preimage


def is_resolved(core: ChannelCore, view: ClosedView, height: int) -> bool:
    """Return whether nothing of the channel can come to be ours or be lost any more, irrevocably (BOLT 5)."""
    if height - view.record.height + 1 < IRREVOCABLE_BLOCKS or view.spend.kind is SpendKind.OTHER:
        return False
    if view.spend.kind is SpendKind.MUTUAL_CLOSE:
        return not (core.inbound or core.outbound)
    if any(
        htlc_id not in core.onchain_failed
        and htlc_id not in core.onchain_preimages
        and not (htlc.removal is not None and htlc.removal.preimage)
        for htlc_id, htlc in core.outbound.items()
    ):
        return False
    return not open_outputs(core, view, height, IRREVOCABLE_BLOCKS)
