"""Two parties wired in memory: messages wait in both directions until a test delivers, drops or reorders them."""

from collections import deque
from itertools import count
from typing import Any

import msgspec

from leyden.base.errors import PeerViolation
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.channel import effects as fx
from leyden.channel import opening_v1
from leyden.channel.build import channel_keys, remote_commitment
from leyden.channel.core import new_core
from leyden.channel.dispatch import apply
from leyden.channel.env import ChannelLimits
from leyden.channel.inputs import (
    BecomeReady,
    Commit,
    Connected,
    DecideHtlcs,
    Disconnected,
    Learn,
    PendingAdd,
    QueueAdd,
)
from leyden.channel.session import ConnectionOpened, ReestablishPassed
from leyden.crypto.hashes import sha256
from leyden.journal.records import (
    ChannelOpened,
    FailedHtlc,
    ForwardedPayment,
    ForwardingPolicy,
    FundingConfirmed,
    HtlcSource,
)
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from leyden.wire.messages import FundingCreated, FundingSigned, decode, encode
from tests.channel.play import Party

POLICY = ForwardingPolicy(1_000, 10, 40, 1)
TEMPORARY_CHANNEL_ID = b"t" * 32
FUNDING_BLOCK = FundingConfirmed(101, b"b" * 32, 101 << 40 | 1 << 16)
_serial = count(1)


def preimage_of(index: int) -> bytes:
    """The preimage of test payment `index`."""
    return sha256(b"preimage %d" % index)


def pending_add(index: int, amount_msat: int = 10_000_000, cltv_expiry: int = 500, **changes: Any) -> PendingAdd:
    """An HTLC to offer. Its hash belongs to `preimage_of(index)`."""
    fields: dict[str, Any] = {
        "amount_msat": amount_msat,
        "payment_hash": sha256(preimage_of(index)),
        "cltv_expiry": cltv_expiry,
        "onion_routing_packet": bytes(1366),
        "source": HtlcSource(b"p" * 32, index, forwarded=False),
        "fee_msat": 0,
    }
    return PendingAdd(**(fields | changes))


def fulfil(htlc_id: int, index: int) -> ForwardedPayment:
    """The decision to fulfil an inbound HTLC of test payment `index`."""
    return ForwardedPayment(htlc_id, preimage_of(index), b"o" * 32, 7, 9_000_000, b"")


def failure(htlc_id: int, failure_code: int = 0) -> FailedHtlc:
    """The decision to fail an inbound HTLC."""
    return FailedHtlc(htlc_id, b"x" * 32 if failure_code else b"x" * 292, failure_code, b"")


class Pair:
    """`parties[0]` opened the channel. `wires[i]`: what i has sent and the other has not received, oldest first."""

    def __init__(self, *parties: Party) -> None:
        self.parties = parties
        self.a, self.b = parties
        self.wires: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        self.violations: list[tuple[int, PeerViolation]] = []

    # --- inputs --------------------------------------------------------------------------------------------------

    def give(self, who: int, event: object) -> list[Any]:
        """Give one party an input; what it sends goes on the wire."""
        party = self.parties[who]
        transcript = party.handle(event)
        self.collect(who)
        return transcript

    def collect(self, who: int) -> None:
        """Put on the wire what a party wants to send."""
        party = self.parties[who]
        self.wires[who].extend(party.out)
        party.out.clear()

    def finish_pass(self, who: int) -> None:
        """What the run loop does after one read: sign everything that is queued, let the signer answer."""
        self.give(who, Commit())
        while self.parties[who].to_sign:
            self.give(who, self.parties[who].answer_of_signer())

    # --- the wire ------------------------------------------------------------------------------------------------

    def deliver(self, who: int, messages: int | None = None) -> int:
        """Let the other party receive `messages` (all: None) of what `who` has sent, as one read."""
        wire = self.wires[who]
        number = len(wire) if messages is None else min(messages, len(wire))
        for _ in range(number):
            if wire:  # a party may have disconnected meanwhile
                self.give(1 - who, decode(wire.popleft()))
        if number:
            self.finish_pass(1 - who)
        return number

    def sent(self, who: int) -> list[Any]:
        """What waits on the wire, decoded."""
        return [decode(message) for message in self.wires[who]]

    def sent_kinds(self, who: int) -> list[str]:
        """The names of what waits on the wire."""
        return [type(message).__name__ for message in self.sent(who)]

    def reorder(self, who: int, *order: int) -> None:
        """Put what waits on the wire into another order, which no honest link does."""
        wire = self.wires[who]
        messages = list(wire)
        wire.clear()
        wire.extend([messages[place] for place in order])

    def drop(self, who: int, messages: int | None = None) -> None:
        """Lose the newest `messages` (all: None) of what `who` has sent."""
        wire = self.wires[who]
        for _ in range(len(wire) if messages is None else messages):
            wire.pop()

    def pump(self) -> None:
        """Deliver everything until nothing moves."""
        for who in (0, 1):
            self.finish_pass(who)
        for _ in range(10_000):
            if not self.deliver(0) + self.deliver(1):
                return
        raise AssertionError("the parties talk for ever")

    # --- connections ---------------------------------------------------------------------------------------------

    def disconnect(self) -> None:
        """Break the connection: what is on the wire is lost."""
        for who in (0, 1):
            self.give(who, Disconnected())
            self.parties[who].to_sign.clear()
            self.wires[who].clear()

    def reconnect(self) -> None:
        """Break the connection if there is one, and make a new one; `channel_reestablish` of both waits on the wire."""
        self.disconnect()
        for who in (0, 1):
            self.give(who, Connected())

    def crash(self, who: int, lost: int = 0) -> None:
        """One party dies with its connection and starts again without its last `lost` records."""
        self.parties[who].crash(lost)
        self.wires[0].clear()
        self.wires[1].clear()
        self.give(1 - who, Disconnected())
        self.parties[1 - who].to_sign.clear()

    # --- what tests do often -------------------------------------------------------------------------------------

    def offer(self, who: int, *adds: PendingAdd) -> None:
        """Queue HTLCs and sign them; the messages wait on the wire."""
        for add in adds:
            self.give(who, QueueAdd(add))
        self.finish_pass(who)

    def offered(self, who: int, *adds: PendingAdd) -> list[int]:
        """Offer HTLCs and let them become irrevocable; return the ids that the other party was told."""
        seen = len(self.parties[1 - who].seen)
        self.offer(who, *adds)
        self.pump()
        effects = self.parties[1 - who].seen[seen:]
        return [htlc_id for effect in effects if type(effect) is fx.HtlcsCommitted for htlc_id in effect.htlc_ids]

    def resolve(self, who: int, *decisions: ForwardedPayment | FailedHtlc) -> None:
        """Party `who` decides inbound HTLCs and signs; the messages wait on the wire."""
        forwarded = [one for one in decisions if isinstance(one, ForwardedPayment)]
        failed = [one for one in decisions if isinstance(one, FailedHtlc)]
        self.give(who, DecideHtlcs(forwarded, failed, []))
        self.finish_pass(who)

    def set_env(self, **changes: Any) -> None:
        """The world changes for both."""
        for party in self.parties:
            party.env = msgspec.structs.replace(party.env, **changes)

    def balances_msat(self) -> tuple[int, int]:
        """The balances of both, once nothing is pending; both parties must agree on both commitments."""
        cores = [party.core for party in self.parties]
        assert not any(core.has_pending_htlcs() for core in cores), "something is pending"
        balances = {(core.local.local_msat, core.local.remote_msat) for core in (cores[0],)}
        balances |= {(core.remote.local_msat, core.remote.remote_msat) for core in (cores[0],)}
        balances |= {(core.local.remote_msat, core.local.local_msat) for core in (cores[1],)}
        balances |= {(core.remote.remote_msat, core.remote.local_msat) for core in (cores[1],)}
        assert len(balances) == 1, f"the parties disagree: {balances}"
        return balances.pop()


def open_request(pair_ends: tuple[Party, Party], **changes: Any) -> opening_v1.OpenRequest:
    """What the first party asks for."""
    fields: dict[str, Any] = {
        "counterparty_node_id": pair_ends[1].signer.node_id,
        "funding_satoshis": 10_000_000,
        "push_msat": 4_000_000_000,
        "channel_type": ChannelType(CommitmentFormat.ANCHORS),
        "announce_channel": False,
        "feerate_per_kw": 1_000,
        "chain_hash": REGTEST.chain_hash,
        "temporary_channel_id": TEMPORARY_CHANNEL_ID,
        "channel_keys_id": pair_ends[0].keys_id,
        "user_channel_id": b"u" * 16,
        "upfront_shutdown_script": b"",
        "policy": POLICY,
    }
    return opening_v1.OpenRequest(**(fields | changes))


def accept_request(party: Party, **changes: Any) -> opening_v1.AcceptRequest:
    """What the second party answers with."""
    fields: dict[str, Any] = {
        "minimum_depth": 3,
        "channel_keys_id": party.keys_id,
        "user_channel_id": b"v" * 16,
        "upfront_shutdown_script": b"",
        "policy": POLICY,
    }
    return opening_v1.AcceptRequest(**(fields | changes))


def two_parties(limits: tuple[ChannelLimits | None, ChannelLimits | None] = (None, None)) -> tuple[Party, Party]:
    """Two nodes without a channel."""
    serial = next(_serial).to_bytes(31, "big")
    return Party(b"\x01" * 32, b"A" + serial, limits[0]), Party(b"\x02" * 32, b"B" + serial, limits[1])


def funding_transaction(script: bytes, satoshis: int) -> Transaction:
    """A transaction that pays a funding output."""
    spend = TxIn(OutPoint(b"\x01" * 32, 0), b"", 0xFFFFFFFF, ())
    return Transaction(2, (spend,), (TxOut(satoshis, p2wsh_of_script(script)),), 0)


def signature_on_first_commitment(party: Party, birth: ChannelOpened) -> bytes:
    """What `funding_created` and `funding_signed` carry."""
    core = new_core(birth)
    commitment = remote_commitment(channel_keys(birth), core.remote, core.remote_point)
    return party.signer.sign_counterparty_commitment(party.keys_id, commitment)[0]


def wired(message: Any) -> Any:
    """A message as the other side reads it."""
    return decode(encode(message))


def born_pair(
    limits: tuple[ChannelLimits | None, ChannelLimits | None] = (None, None),
    accept: dict[str, Any] | None = None,
    **request: Any,
) -> Pair:
    """Two parties with a signed funding on one connection; neither has said `channel_ready`."""
    a, b = two_parties(limits)
    asked = open_request((a, b), **request)
    awaiting = opening_v1.start_opening(asked, a.signer.channel_basepoints(a.keys_id), a.env)
    created = opening_v1.accept_opening(
        a.signer.node_id,
        wired(awaiting.sent),
        accept_request(b, **(accept or {})),
        b.signer.channel_basepoints(b.keys_id),
        b.env,
    )
    funding = opening_v1.on_accept_channel(awaiting, wired(created.sent), a.env)
    transaction = funding_transaction(funding.funding_script(), asked.funding_satoshis)
    signed = opening_v1.on_funding_transaction(funding, transaction, 0, 100)
    signature = signature_on_first_commitment(a, signed.birth)
    message = FundingCreated(TEMPORARY_CHANNEL_ID, transaction.txid(), 0, signature)
    birth_b = opening_v1.on_funding_created(created, wired(message), 100, b.env)
    b.be_born(birth_b)
    signature = signature_on_first_commitment(b, birth_b)
    a.be_born(opening_v1.on_funding_signed(signed, wired(FundingSigned(birth_b.channel_id, signature)), a.env))
    for party in (a, b):
        apply(party.state, ConnectionOpened())
        apply(party.state, ReestablishPassed())
    return Pair(a, b)


def ready_pair(
    limits: tuple[ChannelLimits | None, ChannelLimits | None] = (None, None),
    accept: dict[str, Any] | None = None,
    **request: Any,
) -> Pair:
    """Two parties with a usable channel: 6,000,000 and 4,000,000 sat unless the request says otherwise."""
    pair = born_pair(limits, accept, **request)
    for who in (0, 1):
        pair.give(who, Learn(FUNDING_BLOCK))
    pair.set_env(block_height=110)
    for who in (0, 1):
        pair.give(who, BecomeReady(1_000 + who))
    pair.pump()
    for party in pair.parties:
        party.seen.clear()
    return pair
