"""A channel between two in-memory signers, as values."""

from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import OutPoint
from leyden.crypto.hashes import sha256
from leyden.signer.in_memory import InMemorySigner
from leyden.transactions.commitment import Commitment, build_commitment
from leyden.transactions.keys import derive_commitment_keys
from leyden.transactions.obscured import obscuring_factor
from leyden.transactions.scripts import funding_script
from leyden.transactions.types import CommitmentParameters, make_commitment_htlc

KEYS_ID = b"\x0a" * 32
PEER_KEYS_ID = b"\x0b" * 32
FUNDING_VALUE_SAT = 1_000_000


def signer() -> InMemorySigner:
    """Return our signer, new: its policy remembers nothing."""
    return InMemorySigner(b"\x01" * 32, REGTEST)


def peer_signer() -> InMemorySigner:
    """Return the other side's signer."""
    return InMemorySigner(b"\x02" * 64, REGTEST)


def commitment(number: int, *, ours: bool, anchors: bool = True, htlcs: int = 4) -> Commitment:
    """Return commitment `number` of the channel: our own, or the peer's that we countersign. We opened it."""
    us, them = signer(), peer_signer()
    mine, theirs = us.channel_basepoints(KEYS_ID), them.channel_basepoints(PEER_KEYS_ID)
    broadcaster, other = (mine, theirs) if ours else (theirs, mine)
    owner, owner_id = (us, KEYS_ID) if ours else (them, PEER_KEYS_ID)
    parameters = CommitmentParameters(
        funding_outpoint=OutPoint(b"\x09" * 32, 1),
        funding_value_sat=FUNDING_VALUE_SAT,
        funding_script=funding_script(mine.funding_public_key, theirs.funding_public_key),
        obscuring_factor=obscuring_factor(mine.payment_basepoint, theirs.payment_basepoint),
        to_self_delay=144,
        dust_limit_sat=354,
        anchors=anchors,
        opener_is_broadcaster=ours,
    )
    return build_commitment(
        parameters,
        derive_commitment_keys(broadcaster, other, owner.per_commitment_point(owner_id, number)),
        number,
        500,
        400_000_000,
        400_000_000,
        [make_commitment_htlc(n, n % 2 == 0, 20_000_000, sha256(bytes((n,))), 500 + n) for n in range(htlcs)],
    )
