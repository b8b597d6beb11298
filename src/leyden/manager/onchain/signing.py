"""The channel's inputs of a claim are signed in one request; then it is published."""

from collections.abc import Callable

from leyden.bitcoin.tx import Transaction
from leyden.manager.actions import Broadcast
from leyden.manager.manager import Manager
from leyden.manager.onchain.active import ActiveClaim, describe
from leyden.manager.state import Slot
from leyden.signer.requests import Answer, ClaimSigned, SignClaim
from leyden.transactions.claims import signed_claim, to_sign

OnSigned = Callable[[], None]


def sign(m: Manager, slot: Slot, active: ActiveClaim, transaction: Transaction) -> None:
    """Sign and publish the version that is made. transaction: whole but for the witnesses of the channel's inputs."""
    ask(m, slot, active, transaction, lambda: publish(m, active))


def ask(m: Manager, slot: Slot, active: ActiveClaim, transaction: Transaction, on_signed: OnSigned) -> None:
    """Ask the signer for all inputs of the channel at once; what it refuses, the next life asks again."""
    inputs = [claim.input for claim in active.claims]
    keys_id = slot.state.core.opened.channel_keys_id
    request = SignClaim(m.outbox.next_request_id(), keys_id, transaction, to_sign(inputs))
    version = active.making
    assert version is not None, "something is being made"
    version.txid = transaction.txid()

    def complete(answer: Answer) -> bytes | None:
        if active.dropped or active.making is not version:
            return None  # its outputs were taken while the signer thought about it, or are in other transactions now
        active.making = None
        if isinstance(answer, ClaimSigned):
            signed = signed_claim(transaction, inputs, answer.signatures)
            active.transaction, active.txid = signed.serialize(), version.txid
            active.feerate_per_kw, active.fee_sat = version.feerate_per_kw, version.fee_sat
            active.weight = max(signed.weight(), active.weight)
            active.made_height = m.env.block_height
            active.refused = False
            on_signed()
        return None

    m.outbox.ask_signer(request, complete)


def publish(m: Manager, active: ActiveClaim) -> None:
    """Offer the latest version to the chain service."""
    active.sent_height = m.env.block_height
    m.published[active.txid] = active
    m.actions.append(Broadcast(active.transaction, describe(active)))
