"""The channel's inputs of a claim are signed in one request; then it is published."""

from collections.abc import Callable
from functools import partial

from leyden.bitcoin.tx import Transaction
from leyden.manager.actions import Broadcast
from leyden.manager.manager import Manager
from leyden.manager.onchain.active import ActiveClaim, describe
from leyden.manager.state import Slot
from leyden.signer.requests import Answer, ClaimSigned, SignClaim
from leyden.transactions.claims import signed_claim, to_sign

OnSigned = Callable[[Transaction], None]


def sign(m: Manager, slot: Slot, active: ActiveClaim, transaction: Transaction) -> None:
    """Sign and publish a version of a claim. transaction: complete but for the witnesses of the channel's inputs."""
    ask(m, slot, active, transaction, partial(_publish, m, active))


def ask(m: Manager, slot: Slot, active: ActiveClaim, transaction: Transaction, on_signed: OnSigned) -> None:
    """Ask the signer for all inputs of the channel at once."""
    inputs = [claim.input for claim in active.claims]
    keys_id = slot.state.core.opened.channel_keys_id
    request = SignClaim(m.outbox.next_request_id(), keys_id, transaction, to_sign(inputs))
    active.waiting = True

    def complete(answer: Answer) -> bytes | None:
        active.waiting = False
        if isinstance(answer, ClaimSigned):
            signed = signed_claim(transaction, inputs, answer.signatures)
            active.transaction, active.txid = signed.serialize(), signed.txid()
            active.weight = max(signed.weight(), active.weight)
            active.made_height = m.env.block_height
            on_signed(signed)
        return None

    m.outbox.ask_signer(request, complete)


def _publish(m: Manager, active: ActiveClaim, signed: Transaction) -> None:
    m.actions.append(Broadcast(signed.serialize(), describe(active)))
