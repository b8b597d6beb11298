"""Every commitment that may confirm now, rebuilt with its transaction and with what is known of its HTLCs.

Both sides sign ahead of revocations, so up to three may confirm: our latest, the peer's current one, and the peer's
prior one until its secret is here; beside them those whose signature was taken back. An HTLC may be in one of them and
not in another; whichever confirms decides.

Spec: BOLT 5, "Unilateral Close Handling".
"""

from collections.abc import Sequence
from enum import Enum

import msgspec

from leyden.channel.build import ChannelKeys, PointOf, local_commitment, remote_commitment
from leyden.channel.core import ChannelCore, WithdrawnCommitment, WithdrawnHtlc
from leyden.channel.view import CommitmentView
from leyden.crypto.hashes import ripemd160
from leyden.transactions.commitment import Commitment, build_commitment
from leyden.transactions.fees import trim_thresholds
from leyden.transactions.types import CommitmentHtlc


class CommitmentSource(Enum):
    """Whose commitment it is, and which."""

    LOCAL = "local"
    REMOTE = "remote"
    REMOTE_PRIOR = "remote_prior"
    REMOTE_WITHDRAWN = "remote_withdrawn"


class KnownHtlc(msgspec.Struct, frozen=True, gc=False):
    """An HTLC of one commitment. Identity is (offered, htlc_id), never the hash (invariant S4).

    Attributes:
        offered: by us.
        amount_msat, payment_hash, cltv_expiry: as agreed; the hash has 32 bytes.
        output_index: its output in this commitment; None when it is trimmed.
        preimage: 32 bytes once it is durable here, else empty. For an HTLC that we offered it only says that the peer
            has it.
        claim_id: the claim that lists the HTLC, else empty. Until every part of that claim is durable the preimage may
            be in no transaction (invariant P11).
    """

    offered: bool
    htlc_id: int
    amount_msat: int
    payment_hash: bytes
    cltv_expiry: int
    output_index: int | None
    preimage: bytes
    claim_id: bytes

    @property
    def key(self) -> tuple[bool, int]:
        """What names this HTLC in every commitment of the channel."""
        return self.offered, self.htlc_id

    def __repr__(self) -> str:
        """Name the HTLC; a preimage is money."""
        direction = "offered" if self.offered else "received"
        return f"KnownHtlc({direction} {self.htlc_id}, {self.amount_msat} msat, output {self.output_index})"


class PossibleCommitment(msgspec.Struct, frozen=True, gc=False):
    """A commitment that may confirm.

    Attributes:
        source: whose, and which.
        local_msat: our balance in it, before fees.
        commitment: the transaction without signatures.
        htlcs: those with an output in output order, then the trimmed ones.
    """

    source: CommitmentSource
    local_msat: int
    commitment: Commitment
    htlcs: tuple[KnownHtlc, ...]

    @property
    def number(self) -> int:
        """The commitment number."""
        return self.commitment.commitment_number

    def trimmed(self) -> tuple[KnownHtlc, ...]:
        """Return the HTLCs that have no output here; their value is part of the fee."""
        return tuple([htlc for htlc in self.htlcs if htlc.output_index is None])


def local_possible(core: ChannelCore, keys: ChannelKeys, own_points: PointOf) -> PossibleCommitment:
    """Rebuild our latest commitment; all earlier ones are revoked. own_points: from the signer."""
    number = core.local.number
    point = own_points(core.opened.channel_keys_id, number)
    return _possible(core, core.local, CommitmentSource.LOCAL, local_commitment(keys, core.local, point, number))


def remote_possible(core: ChannelCore, keys: ChannelKeys) -> PossibleCommitment:
    """Rebuild the peer's commitment that we signed last."""
    commitment = remote_commitment(keys, core.remote, core.remote_point)
    return _possible(core, core.remote, CommitmentSource.REMOTE, commitment)


def remote_prior_possible(core: ChannelCore, keys: ChannelKeys) -> PossibleCommitment | None:
    """Rebuild the peer's commitment before that one, or return None once it is revoked."""
    prior = core.remote_prior
    if prior is None:
        return None
    commitment = remote_commitment(keys, prior, core.remote_prior_point)
    return _possible(core, prior, CommitmentSource.REMOTE_PRIOR, commitment)


def withdrawn_possible(core: ChannelCore, keys: ChannelKeys) -> tuple[PossibleCommitment, ...]:
    """Rebuild the peer's commitments that we signed and took back, until their number is revoked.

    Nobody should have the signature; the rule that says so is ours, and the peer's coins would be real.
    """
    return tuple([_withdrawn(core, keys, one) for one in core.withdrawn])


def _withdrawn(core: ChannelCore, keys: ChannelKeys, withdrawn: WithdrawnCommitment) -> PossibleCommitment:
    commitment = build_commitment(
        keys.remote_parameters,
        keys.remote_keys(withdrawn.point),
        withdrawn.number,
        withdrawn.feerate_per_kw,
        withdrawn.remote_msat,
        withdrawn.local_msat,
        [
            CommitmentHtlc(
                one.htlc_id,
                not one.offered,
                one.amount_msat,
                one.payment_hash,
                ripemd160(one.payment_hash),
                one.cltv_expiry,
            )
            for one in withdrawn.htlcs
        ],
    )
    placed = {(not htlc.offered, htlc.htlc_id): output_index for output_index, htlc in commitment.htlcs}
    known = [_known_withdrawn(core, one, placed.get((one.offered, one.htlc_id))) for one in withdrawn.htlcs]
    known.sort(key=lambda htlc: (htlc.output_index is None, htlc.output_index or 0))
    return PossibleCommitment(CommitmentSource.REMOTE_WITHDRAWN, withdrawn.local_msat, commitment, tuple(known))


def _known_withdrawn(core: ChannelCore, htlc: WithdrawnHtlc, output_index: int | None) -> KnownHtlc:
    """The id of an HTLC that we offered may have been given again, to another one."""
    preimage = claim_id = b""
    inbound = None if htlc.offered else core.inbound.get(htlc.htlc_id)
    if inbound is not None:
        preimage, claim_id = inbound.preimage, inbound.claim_id
    return KnownHtlc(
        htlc.offered,
        htlc.htlc_id,
        htlc.amount_msat,
        htlc.payment_hash,
        htlc.cltv_expiry,
        output_index,
        preimage,
        claim_id,
    )


def possible_commitments(core: ChannelCore, keys: ChannelKeys, own_points: PointOf) -> tuple[PossibleCommitment, ...]:
    """Rebuild all commitments that may confirm: ours, the peer's, the peer's prior one, and those that were taken back.
    own_points: from the signer.
    """
    prior = remote_prior_possible(core, keys)
    both = (local_possible(core, keys, own_points), remote_possible(core, keys))
    return (*both, *(() if prior is None else (prior,)), *withdrawn_possible(core, keys))


def has_output(core: ChannelCore, offered: bool, htlc_id: int, amount_msat: int) -> bool:
    """Return whether an HTLC of `core.outbound` (offered: by us) or `core.inbound` has an output in any commitment that
    may confirm; told by the numbers alone, without building one.
    """
    key = 2 * htlc_id + offered
    views = (core.local, core.remote) if core.remote_prior is None else (core.local, core.remote, core.remote_prior)
    for view in views:
        threshold_msat = view.offered_threshold_msat if offered else view.received_threshold_msat
        if key in view.htlcs and amount_msat >= threshold_msat:
            return True
    return any(_withdrawn_has_output(core, one, offered, htlc_id, amount_msat) for one in core.withdrawn)


def _withdrawn_has_output(
    core: ChannelCore, withdrawn: WithdrawnCommitment, offered: bool, htlc_id: int, amount_msat: int
) -> bool:
    """An HTLC that this commitment was the first to hold is another one than that which has its id now."""
    if offered and any(add.htlc_id == htlc_id for add in withdrawn.adds):
        return False
    thresholds = trim_thresholds(core.opened.remote.dust_limit_satoshis, withdrawn.feerate_per_kw, core.opened.anchors)
    # It is the peer's: what we offer is what its broadcaster receives.
    least_msat = thresholds.received_msat if offered else thresholds.offered_msat
    held = any((one.offered, one.htlc_id) == (offered, htlc_id) for one in withdrawn.htlcs)
    return held and amount_msat >= least_msat


def first_unrevoked(core: ChannelCore) -> int:
    """Return the lowest number of a commitment of the peer that is not revoked; all before it are."""
    return core.remote.number if core.remote_prior is None else core.remote_prior.number


def without_output(confirmed: PossibleCommitment, possible: Sequence[PossibleCommitment]) -> tuple[KnownHtlc, ...]:
    """Return the HTLCs of all `possible` commitments that the `confirmed` one has no output for, each once.

    They are trimmed in it or not in it at all, and come back as the commitment that has them says, the first in the
    order of `possible`. Once the confirmed one is deep nothing of them is left on the chain.

    Spec: BOLT 5, "HTLC Output Handling: Local Commitment, Local Offers" (trimmed and missing HTLCs).
    """
    resolved = {htlc.key: None for htlc in confirmed.htlcs if htlc.output_index is not None}
    missing: dict[tuple[bool, int], KnownHtlc] = {}
    for one in possible:
        for htlc in one.htlcs:
            if htlc.key not in resolved:
                missing.setdefault(htlc.key, htlc)
    return tuple(missing.values())


def _possible(
    core: ChannelCore, view: CommitmentView, source: CommitmentSource, commitment: Commitment
) -> PossibleCommitment:
    is_local = source is CommitmentSource.LOCAL
    known: list[KnownHtlc] = []
    placed: dict[int, None] = {}
    for output_index, htlc in commitment.htlcs:
        # `offered` of a commitment's HTLC means its broadcaster.
        key = 2 * htlc.htlc_id + (htlc.offered == is_local)
        placed[key] = None
        known.append(_known(core, key, output_index))
    known += [_known(core, key, None) for key in view.htlcs if key not in placed]
    return PossibleCommitment(source, view.local_msat, commitment, tuple(known))


def _known(core: ChannelCore, key: int, output_index: int | None) -> KnownHtlc:
    htlc_id = key >> 1
    if key & 1:
        outbound = core.outbound[htlc_id]
        removal = outbound.removal
        add, claim_id = outbound.add, b""
        preimage = b"" if removal is None else removal.preimage
    else:
        inbound = core.inbound[htlc_id]
        add, preimage, claim_id = inbound.add, inbound.preimage, inbound.claim_id
    return KnownHtlc(
        offered=bool(key & 1),
        htlc_id=htlc_id,
        amount_msat=add.amount_msat,
        payment_hash=add.payment_hash,
        cltv_expiry=add.cltv_expiry,
        output_index=output_index,
        preimage=preimage,
        claim_id=claim_id,
    )
