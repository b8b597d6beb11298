"""A peer revokes a commitment: whoever watches for us while we are away is given what punishes it.

The transactions follow from what the peer has said and do no harm from any copy (invariant S3), so nothing is recorded
of them; a crash between the revocation and the export makes the peer say it again.
"""

from functools import partial

from leyden.channel.core import ChannelCore
from leyden.crypto.shachain import index_of_commitment
from leyden.manager.config import JusticeSink
from leyden.manager.manager import Manager
from leyden.manager.state import Slot
from leyden.monitor.watchtower import (
    JusticeBlob,
    UnsignedJustice,
    about_to_be_revoked,
    justice_inputs,
    make_blob,
    unsigned_justice,
)
from leyden.signer.requests import Answer, ClaimSigned, SignClaim
from leyden.transactions.claims import signed_claim, to_sign
from leyden.transactions.commitment import Commitment
from leyden.wire.messages import RevokeAndAck


def on_revoke_and_ack(m: Manager, slot: Slot, message: RevokeAndAck) -> None:
    """Let the channel take in a `revoke_and_ack`, and export what punishes the commitment that it gives up.

    Raises: PeerViolation, as the channel does: nothing is exported.
    """
    sink = m.config.justice_sink
    if sink is None:
        m.apply(slot, message)
        return
    commitments = about_to_be_revoked(slot.state.core, slot.state.keys)
    m.apply(slot, message)
    core = slot.state.core
    if commitments and core.remote_prior is None:
        m.shielded(partial(_ask_for_signatures, m, core, commitments, sink))


def _ask_for_signatures(m: Manager, core: ChannelCore, commitments: tuple[Commitment, ...], sink: JusticeSink) -> None:
    number, keys_id = commitments[0].commitment_number, core.opened.channel_keys_id
    secret = core.secrets.get(index_of_commitment(number))
    script_pubkey, feerates_per_kw = m.signer.shutdown_script_pubkey(), m.config.justice_feerates_per_kw
    unsigned = [
        one
        for commitment in commitments
        for one in unsigned_justice(justice_inputs(commitment, keys_id, secret), script_pubkey, feerates_per_kw)
    ]
    blobs: list[JusticeBlob] = []

    def complete(one: UnsignedJustice, answer: Answer) -> bytes | None:
        assert isinstance(answer, ClaimSigned)
        blobs.append(make_blob(one.txid, signed_claim(one.transaction, one.inputs, answer.signatures)))
        if len(blobs) == len(unsigned):
            m.shielded(partial(sink, core.opened.channel_id, number, blobs))
        return None

    for one in unsigned:
        request = SignClaim(m.outbox.next_request_id(), keys_id, one.transaction, to_sign(one.inputs))
        m.outbox.ask_signer(request, partial(complete, one))
