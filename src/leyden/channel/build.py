"""From the state of a channel to the transactions of BOLT 3."""

from collections.abc import Callable

import msgspec

from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.channel.core import ChannelCore
from leyden.channel.view import CommitmentView
from leyden.journal.records import ChannelOpened, SideParameters
from leyden.transactions.closing import ClosingParameters
from leyden.transactions.commitment import Commitment, build_commitment
from leyden.transactions.keys import ChannelBasepoints, CommitmentKeys, derive_commitment_keys
from leyden.transactions.obscured import obscuring_factor
from leyden.transactions.scripts import funding_script
from leyden.transactions.types import CommitmentParameters

PointOf = Callable[[bytes, int], bytes]
"""`(channel_keys_id, commitment_number) -> our per-commitment point`, from the signer."""

KEYS_KEPT = 6


class ChannelKeys(msgspec.Struct, frozen=True, gc=False):
    """What never changes between the commitments of a channel; derived once from its birth.

    made: keys of recent commitments by whose it is and its per-commitment point: deriving them is most of a small
    commitment's cost, and can be done before it is needed (`prepare`). By the point alone, a peer that names our point
    as its own would get our keys into its commitment, or its keys into ours.
    """

    local: ChannelBasepoints
    remote: ChannelBasepoints
    local_parameters: CommitmentParameters
    remote_parameters: CommitmentParameters
    made: dict[tuple[bool, bytes], CommitmentKeys]

    def local_keys(self, per_commitment_point: bytes) -> CommitmentKeys:
        """Return the keys of our commitment with this point (33 bytes, ours)."""
        return self._keys((True, per_commitment_point), self.local, self.remote)

    def remote_keys(self, per_commitment_point: bytes) -> CommitmentKeys:
        """Return the keys of the peer's commitment with this point (33 bytes, the peer's)."""
        return self._keys((False, per_commitment_point), self.remote, self.local)

    def _keys(
        self, name: tuple[bool, bytes], broadcaster: ChannelBasepoints, other: ChannelBasepoints
    ) -> CommitmentKeys:
        keys = self.made.get(name)
        if keys is None:
            while len(self.made) >= KEYS_KEPT:
                del self.made[next(iter(self.made))]
            keys = self.made[name] = derive_commitment_keys(broadcaster, other, name[1])
        return keys


def basepoints(side: SideParameters) -> ChannelBasepoints:
    """Return the public keys of one side."""
    return ChannelBasepoints(
        side.funding_pubkey,
        side.revocation_basepoint,
        side.payment_basepoint,
        side.delayed_payment_basepoint,
        side.htlc_basepoint,
    )


def channel_keys(opened: ChannelOpened) -> ChannelKeys:
    """Derive the constants of a channel's transactions."""
    opener, accepter = (opened.local, opened.remote) if opened.is_opener else (opened.remote, opened.local)
    outpoint = OutPoint(opened.funding_txid, opened.funding_output_index)
    script = funding_script(opened.local.funding_pubkey, opened.remote.funding_pubkey)
    factor = obscuring_factor(opener.payment_basepoint, accepter.payment_basepoint)

    def parameters(
        broadcaster: SideParameters, other: SideParameters, opener_is_broadcaster: bool
    ) -> CommitmentParameters:
        return CommitmentParameters(
            funding_outpoint=outpoint,
            funding_value_sat=opened.funding_satoshis,
            funding_script=script,
            obscuring_factor=factor,
            to_self_delay=other.to_self_delay,
            dust_limit_sat=broadcaster.dust_limit_satoshis,
            anchors=opened.anchors,
            opener_is_broadcaster=opener_is_broadcaster,
        )

    return ChannelKeys(
        local=basepoints(opened.local),
        remote=basepoints(opened.remote),
        local_parameters=parameters(opened.local, opened.remote, opened.is_opener),
        remote_parameters=parameters(opened.remote, opened.local, not opened.is_opener),
        made={},
    )


def pays_funding(core: ChannelCore, keys: ChannelKeys, transaction: Transaction) -> bool:
    """Return whether a transaction has the funding output as agreed: its place, script and exact value.

    The accepter has only the opener's word for it until the transaction is in a block.

    Spec: BOLT 2, "The `channel_ready` Message".
    """
    index = core.opened.funding_output_index
    if index >= len(transaction.outputs):
        return False
    output = transaction.outputs[index]
    script_pubkey = p2wsh_of_script(keys.local_parameters.funding_script)
    return output.value_sat == core.opened.funding_satoshis and output.script_pubkey == script_pubkey


def local_commitment(keys: ChannelKeys, view: CommitmentView, per_commitment_point: bytes, number: int) -> Commitment:
    """Build our commitment `number` with what `view` holds. per_commitment_point: ours for that number, 33 bytes."""
    return build_commitment(
        keys.local_parameters,
        keys.local_keys(per_commitment_point),
        number,
        view.feerate_per_kw,
        view.local_msat,
        view.remote_msat,
        view.htlcs.values(),
    )


def remote_commitment(keys: ChannelKeys, view: CommitmentView, per_commitment_point: bytes) -> Commitment:
    """Build the peer's commitment `view.number`. per_commitment_point: the peer's for that number, 33 bytes."""
    return build_commitment(
        keys.remote_parameters,
        keys.remote_keys(per_commitment_point),
        view.number,
        view.feerate_per_kw,
        view.remote_msat,
        view.local_msat,
        view.htlcs.values(),
    )


def prepare(core: ChannelCore, keys: ChannelKeys, point_of: PointOf) -> None:
    """Derive the keys of both next commitments now, while nobody waits for them."""
    keys_id, number = core.opened.channel_keys_id, core.local.number
    keys.local_keys(point_of(keys_id, number + 1))
    point_of(keys_id, number + 2)
    if core.remote_next_point:
        keys.remote_keys(core.remote_next_point)


def closing_parameters(core: ChannelCore, keys: ChannelKeys) -> ClosingParameters:
    """Return what the closing transaction is made of, once no HTLC is left."""
    local_is_funder = core.opened.is_opener
    funder_msat, fundee_msat = core.local.local_msat, core.local.remote_msat
    funder_script, fundee_script = core.local_shutdown_script, core.remote_shutdown_script
    if not local_is_funder:
        funder_msat, fundee_msat = fundee_msat, funder_msat
        funder_script, fundee_script = fundee_script, funder_script
    return ClosingParameters(
        funding_outpoint=keys.local_parameters.funding_outpoint,
        funding_value_sat=core.opened.funding_satoshis,
        funding_script=keys.local_parameters.funding_script,
        funder_msat=funder_msat,
        fundee_msat=fundee_msat,
        funder_script_pubkey=funder_script,
        fundee_script_pubkey=fundee_script,
        dust_limit_sat=core.opened.local.dust_limit_satoshis,
    )
