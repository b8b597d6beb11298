"""HTLCs that no honest payer would offer, with onions made by hand, and what came back of them."""

from collections.abc import Sequence

from leyden.channel.inputs import PendingAdd, QueueAdd
from leyden.crypto.hashes import sha256
from leyden.journal.records import FailedHtlc, HtlcSource
from leyden.sphinx.failures import FailureMessage
from leyden.sphinx.onion import BuiltOnion, build_onion
from leyden.sphinx.onion_error import unwrap_error
from leyden.sphinx.payload import HopPayload, PaymentData, encode_payload
from tests.manager.stage import Stage


def final(amount_msat: int, expiry: int, secret: bytes, total_msat: int | None = None) -> HopPayload:
    """What the last hop reads."""
    data = PaymentData(secret, amount_msat if total_msat is None else total_msat)
    return HopPayload(amt_to_forward=amount_msat, outgoing_cltv_value=expiry, payment_data=data)


def forward(amount_msat: int, expiry: int, short_channel_id: int) -> HopPayload:
    """What a forwarder reads."""
    return HopPayload(amt_to_forward=amount_msat, outgoing_cltv_value=expiry, short_channel_id=short_channel_id)


def onion(
    stage: Stage,
    hops: Sequence[tuple[str, HopPayload] | tuple[bytes, HopPayload]],
    payment_hash: bytes,
    key: bytes = b"key",
) -> BuiltOnion:
    """An onion for nodes, by name or node_id."""
    payloads = [
        (stage[node].node_id if isinstance(node, str) else node, encode_payload(payload)) for node, payload in hops
    ]
    return build_onion(sha256(key), payloads, payment_hash)


def offer(
    stage: Stage, payer: str, peer: str, packet: bytes, payment_hash: bytes, amount_msat: int, expiry: int
) -> int:
    """Let a node offer an HTLC to its peer as a part of a payment that nobody knows. Returns its htlc_id."""
    slot = stage.slot(payer, peer)
    source = HtlcSource(sha256(b"nobody's payment"), stage.world.steps, forwarded=False)
    htlc_id = slot.state.core.next_outbound_id
    add = PendingAdd(amount_msat, payment_hash, expiry, packet, source, 0)
    stage[payer].run(lambda m: m.apply(slot, QueueAdd(add)))
    return htlc_id


def decision(stage: Stage, node: str, peer: str, htlc_id: int = 0) -> FailedHtlc:
    """How a node fails an HTLC of its peer."""
    while True:
        htlc = stage.slot(node, peer).state.core.inbound.get(htlc_id)
        if htlc is not None and htlc.failure is not None:
            return htlc.failure
        enabled = stage.world.enabled()
        assert enabled, "it was not failed"
        stage.world.perform(enabled[0])


def answer(
    stage: Stage, node: str, peer: str, built: BuiltOnion, htlc_id: int = 0
) -> tuple[FailureMessage | None, int | None]:
    """(failure, hop) as the maker of the onion reads them."""
    unwrapped = unwrap_error(built.shared_secrets, decision(stage, node, peer, htlc_id).reason, None)
    return unwrapped.failure, unwrapped.hop
