"""What users of simulated nodes ask for: channels, invoices, payments. The records are those that the API makes."""

from collections.abc import Sequence

import msgspec

from leyden.bitcoin.networks import REGTEST
from leyden.channel.inputs import StartShutdown
from leyden.channel.opening_v1 import OpenRequest
from leyden.crypto.hashes import sha256
from leyden.invoices import bolt11
from leyden.invoices.fields import Bolt11Invoice
from leyden.journal.node_records import FixedRoute, PaymentStarted
from leyden.journal.records import ForwardingPolicy
from leyden.manager import opening, sending
from leyden.manager.manager import Manager
from leyden.manager.peers import INVOICE_FEATURES
from leyden.manager.state import Slot
from leyden.node.paying import route_hints
from leyden.payments.terms import InvoiceTerms, encode_terms
from leyden.sim.node import SimNode
from leyden.wallet.wallet import AddressKind
from leyden.wire.channel_type import ChannelType, CommitmentFormat

ANCHORS = ChannelType(CommitmentFormat.ANCHORS, scid_alias=False, zeroconf=False)
STATIC_REMOTEKEY = ChannelType(CommitmentFormat.STATIC_REMOTEKEY, scid_alias=False, zeroconf=False)
DEADLINE_SECONDS = 30
FEE_LIMIT_MSAT = 100_000
PARTS_MAX = 8


def open_channel(
    node: SimNode,
    peer: SimNode,
    funding_satoshis: int,
    push_msat: int,
    channel_type: ChannelType = ANCHORS,
    policy: ForwardingPolicy | None = None,
) -> bytes:
    """Ask for a channel; return its user_channel_id."""
    request = open_request(node, peer, funding_satoshis, push_msat, channel_type, policy)
    node.run(lambda m: opening.open_channel(m, request))
    return request.user_channel_id


def open_batch(
    node: SimNode, wanted: Sequence[tuple[SimNode, int]], channel_type: ChannelType = ANCHORS
) -> list[bytes]:
    """Ask for channels with (peer, satoshis) that one transaction funds; return their user_channel_ids."""
    batch_id = node.random32()
    requests = [
        msgspec.structs.replace(open_request(node, peer, funding_sat, 0, channel_type, None), batch_id=batch_id)
        for peer, funding_sat in wanted
    ]
    node.run(lambda m: opening.open_channels(m, requests))
    return [request.user_channel_id for request in requests]


def open_request(
    node: SimNode,
    peer: SimNode,
    funding_satoshis: int,
    push_msat: int,
    channel_type: ChannelType,
    policy: ForwardingPolicy | None,
) -> OpenRequest:
    """Return what the API makes of a call."""
    user_channel_id = node.random32()[:16]
    return OpenRequest(
        counterparty_node_id=peer.node_id,
        funding_satoshis=funding_satoshis,
        push_msat=push_msat,
        channel_type=channel_type,
        announce_channel=False,
        feerate_per_kw=2500,
        chain_hash=REGTEST.chain_hash,
        temporary_channel_id=node.random32(),
        channel_keys_id=node.random32(),
        user_channel_id=user_channel_id,
        upfront_shutdown_script=b"",
        policy=policy or node.config.policy,
    )


def close_channel(node: SimNode, slot: Slot, feerate_per_kw: int = 1000) -> None:
    """Ask for a cooperative close to the node's own wallet."""
    wallet = node.runtime.wallet
    issued = wallet.new_address(AddressKind.P2WPKH)
    node.runtime.record_wallet(issued.record)
    node.run(lambda m: m.apply(slot, StartShutdown(issued.script_pubkey, feerate_per_kw)))


def make_invoice(
    node: SimNode,
    amount_msat: int,
    *,
    payment_hash: bytes | None = None,
    hints: bool = False,
    expiry_seconds: int = 3600,
    tag: str = "",
) -> str:
    """Make an invoice as the node's API does; `payment_hash`: one whose preimage the node does not know."""
    manager, now = node.manager, node.world.clock.now_seconds
    delta = node.config.min_final_cltv_expiry_delta
    metadata = encode_terms(InvoiceTerms(amount_msat, now + expiry_seconds, delta))
    if payment_hash is None:
        made = manager.signer.new_inbound_payment(sha256(node.seed + tag.encode())[:16], metadata)
        payment_hash, secret = made.payment_hash, made.payment_secret
    else:
        secret = manager.signer.inbound_payment_secret(payment_hash, metadata)
    invoice = Bolt11Invoice(
        network=REGTEST,
        amount_msat=amount_msat or None,
        timestamp=now,
        payment_hash=payment_hash,
        payment_secret=secret,
        description=tag,
        expiry_seconds=expiry_seconds,
        min_final_cltv_expiry_delta=delta,
        payee_node_id=node.node_id,
        route_hints=route_hints(manager) if hints else (),
        features=INVOICE_FEATURES.encode(),
    )
    return bolt11.encode(invoice, manager.signer.sign_invoice)


def invoice_payment(
    node: SimNode,
    text: str,
    payment_id: bytes,
    *,
    amount_msat: int | None = None,
    fee_limit_msat: int = FEE_LIMIT_MSAT,
    deadline_seconds: int = DEADLINE_SECONDS,
    parts_max: int = PARTS_MAX,
) -> PaymentStarted:
    """Return the record of a payment of an invoice."""
    invoice = bolt11.decode(text)
    now = node.world.clock.now_seconds
    return PaymentStarted(
        payment_id,
        invoice.payment_hash,
        amount_msat or invoice.amount_msat or 0,
        fee_limit_msat,
        parts_max,
        now,
        now + deadline_seconds,
        sha256(b"session" + payment_id + node.lives.to_bytes(4, "big")),
        invoice.payee_node_id,
        text,
        b"",
        [],
        [],
    )


def keysend_payment(
    node: SimNode, payee: SimNode, amount_msat: int, payment_id: bytes, custom_records: Sequence[tuple[int, bytes]] = ()
) -> PaymentStarted:
    """Return the record of a spontaneous payment."""
    preimage = sha256(b"keysend" + payment_id)
    now = node.world.clock.now_seconds
    return PaymentStarted(
        payment_id,
        sha256(preimage),
        amount_msat,
        FEE_LIMIT_MSAT,
        1,
        now,
        now + DEADLINE_SECONDS,
        sha256(b"session" + payment_id),
        payee.node_id,
        "",
        preimage,
        list(custom_records),
        [],
    )


def route_payment(
    node: SimNode, text: str, amount_msat: int, payment_id: bytes, routes: Sequence[FixedRoute]
) -> PaymentStarted:
    """Return the record of a payment of an invoice over given routes."""
    invoice = bolt11.decode(text)
    now = node.world.clock.now_seconds
    return PaymentStarted(
        payment_id,
        invoice.payment_hash,
        amount_msat,
        sum([route.hops[0].amount_msat - route.hops[-1].amount_msat for route in routes]),
        len(routes),
        now,
        now + DEADLINE_SECONDS,
        sha256(b"session" + payment_id),
        invoice.payee_node_id,
        "",
        b"",
        [],
        list(routes),
    )


class Order:
    """A payment that a user asks for until it is accepted, also in the lives that follow: what the API promises.

    accepted: a call has returned, so the record is durable.
    """

    def __init__(self, payer: str, started: PaymentStarted, payee: str) -> None:
        self.payer = payer
        self.payee = payee
        self.started = started
        self.accepted = False

    def ask(self, node: SimNode) -> None:
        """Call `pay`; the same payment again is found, never made twice."""
        if self.accepted:
            return

        def run(manager: Manager) -> None:
            if self.started.payment_id not in manager.node.ledger.payments:
                sending.start_payment(manager, self.started, None)
            manager.outbox.when_durable(manager.node_tail, self._accept)

        node.run(run)

    def _accept(self) -> None:
        self.accepted = True
