"""A channel with HTLCs each way that ends in a given way, and a look at everything that is published about it."""

from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import NamedTuple

import msgspec

from leyden.base.ids import ChannelId, channel_journal
from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.manager import claiming, closes
from leyden.manager.onchain.active import ActiveClaim
from leyden.manager.state import ClaimableStatus, Slot
from leyden.monitor.closed import ClosedView
from leyden.monitor.watched import WatchedKind, WatchedOutput
from leyden.ports.chain import BroadcastResult
from leyden.sim.cheating import old_commitment
from leyden.sim.world import World
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.manager.stage import Stage
from tests.sim import topologies

FORMATS = ("anchors", "static_remotekey")
SIDES = (("alice", "bob"), ("bob", "alice"))
PATIENT_SECONDS = 10_000_000
HTLC_MSAT = 20_000_000
OURS = (
    WatchedKind.TO_LOCAL,
    WatchedKind.TO_REMOTE,
    WatchedKind.SECOND_STAGE,
    WatchedKind.OWN_ANCHOR,
    WatchedKind.OTHER_ANCHOR,
)


@cache
def base(form: str, *, signs_late: bool = False) -> World:
    """alice - bob; both ask their users about payments."""
    channel_type = ChannelType(CommitmentFormat[form.upper()], scid_alias=False, zeroconf=False)
    world = topologies.make([("alice", "bob")], "", channel_type)
    world.grant("bob", topologies.CAPACITY_SAT)
    world.mine()
    topologies.rest(world)
    for node in world.nodes.values():
        node.config = msgspec.structs.replace(node.config, auto_claim=False)
        node.signs_late = signs_late
    return world


class Offer(NamedTuple):
    """A transaction that a node offered to the mempool, alone or in a package, and what that said."""

    name: str
    transaction: Transaction
    txid: bytes
    result: BroadcastResult


class Ending(Stage):
    """`us` is the node under test, `them` its peer. offers: in order."""

    def __init__(self, form: str, us: str = "alice", *, signs_late: bool = False) -> None:
        super().__init__(base(form, signs_late=signs_late))
        self.us = us
        self.them = {"alice": "bob", "bob": "alice"}[us]
        self.channel_id = self.slot(us, self.them).channel_id
        for name in ("alice", "bob"):
            self.prompt(name, "")
        self.offers: list[Offer] = []
        self._listen()

    def _listen(self) -> None:
        offer = self.world.broadcast_package

        def offered(transactions: Sequence[Transaction], what: str, name: str = "") -> BroadcastResult:
            result = offer(transactions, what, name)
            self.offers += [Offer(name, one, one.txid(), result) for one in transactions]
            return result

        self.world.broadcast_package = offered  # type: ignore[method-assign, assignment]

    # --- before ----------------------------------------------------------------------------------------------------

    def held(self, ours: int = 1, theirs: int = 1, amount_msat: int = HTLC_MSAT) -> "Ending":
        """HTLCs that each side has offered, and about which nothing is decided."""
        for count, payer, payee in ((ours, self.us, self.them), (theirs, self.them, self.us)):
            for number in range(count):
                tag = f"{payer} {number}"
                text = self.invoice(payee, amount_msat, tag=tag)
                self.pay(payer, payee, text, tag, deadline_seconds=PATIENT_SECONDS)
        self._write()
        self.act()
        self.seconds(3)
        core = self.ours.state.core
        assert (len(core.outbound), len(core.inbound)) == (ours, theirs)
        return self

    def _write(self) -> None:
        """Write what waits before anything else happens: many payments wait then for one signature, not each for its
        own.
        """
        while writes := [one for one in self.world.enabled() if one.kind == "commit"]:
            self.world.perform(writes[0])

    def claim(self, name: str, count: int = 1) -> None:
        """The user of a node takes payments that it was asked about."""
        m = self.m(name)
        asked = [set_id for set_id, one in m.asked.items() if one.status is ClaimableStatus.SHOWN][:count]
        assert len(asked) == count
        for set_id in asked:
            self[name].run(partial(claiming.claim_payment, set_id=set_id, preimage=b""))
        self.act()

    def part(self) -> None:
        """They cannot reach each other any more."""
        for link in self.world.links:
            self.world.links[link] = False
        self.world.cut("alice", "bob")
        self.act()

    # --- the end ---------------------------------------------------------------------------------------------------

    def close(self, how: str, claims: int = 0) -> None:
        """Publish a commitment: `local`, `remote`, `prior` (of theirs, not revoked), or `revoked` (held ones in it).

        claims: how many of their payments we take when they cannot be told any more.
        """
        self.world.closes_asked[self.channel_id] = True
        if how == "revoked":
            number = self.slot(self.them, self.us).state.core.local.number
            self.go_on()
            self.part()
            self.publish_old(number)
            return
        if how == "prior":
            self._sign_one_more()
        self.part()
        self.claim(self.us, claims)
        name = self.us if how == "local" else self.them
        self.force(name)

    def force(self, name: str) -> None:
        """A user closes."""
        slot = self.slot(name, {"alice": "bob", "bob": "alice"}[name])
        self[name].run(lambda m: closes.force_by_user(m, slot, without_peer=True))
        self.act()

    def go_on(self) -> None:
        """One more payment, so that what is held is in a revoked state too."""
        text = self.invoice(self.them, 3_000_000, tag="later")
        self.pay(self.us, self.them, text, "later", deadline_seconds=PATIENT_SECONDS)
        self.act()
        self.seconds(1)

    def publish_old(self, number: int) -> None:
        """The operator of the peer publishes a commitment that it has revoked."""
        self.world.cheats[self.channel_id] = (self.them, self.us)
        transaction = old_commitment(self[self.them], self.channel_id, number)
        result = self.world.broadcast(transaction, "cheat")
        assert result.accepted, result.reject_reason

    def _sign_one_more(self) -> None:
        """We sign a commitment that the peer never sees."""
        text = self.invoice(self.them, 3_000_000, tag="later")
        before = self.ours.state.core.remote.number
        self.pay(self.us, self.them, text, "later", deadline_seconds=PATIENT_SECONDS)
        while self.ours.tail.unsent or self.ours.state.core.remote.number == before:
            [action, *_] = [one for one in self.world.enabled() if one.kind in ("commit", "sign")]
            self.world.perform(action)
        assert self.ours.state.core.remote_prior is not None

    # --- what is seen ----------------------------------------------------------------------------------------------

    @property
    def ours(self) -> Slot:
        """Our channel."""
        return self.slot(self.us, self.them)

    @property
    def height(self) -> int:
        """Of the best block."""
        return self.world.chain.tip.height

    @property
    def view(self) -> ClosedView:
        """Our view of the closed channel."""
        view = self.ours.closed_view
        assert view is not None
        return view

    @property
    def claims(self) -> list[ActiveClaim]:
        """Our claims of now."""
        return self.ours.onchain_claims

    def expiry(self, name: str) -> int:
        """The first expiry of what a node has offered."""
        slot = self.slot(name, {"alice": "bob", "bob": "alice"}[name])
        return min(htlc.add.cltv_expiry for htlc in slot.state.core.outbound.values())

    def mine_to(self, height: int) -> None:
        """Mine up to a height; everybody sees each block."""
        while self.height < height:
            self.mine()

    def htlcs(self, *, offered: bool) -> list[WatchedOutput]:
        """Outputs of the commitment that hold HTLCs which we offered, or received."""
        kinds = (WatchedKind.HTLC, WatchedKind.REVOKED_HTLC)
        return [
            one for one in self.view.outputs.values() if one.kind in kinds and one.htlc and one.htlc.offered is offered
        ]

    def waiting(self, outpoint: OutPoint) -> Transaction | None:
        """What spends an output in the mempool."""
        return self.world.chain.pool_spends(outpoint)

    def fee_sat(self, transaction: Transaction) -> int:
        """What a transaction pays whose inputs are all of the watched outputs."""
        spent = sum(self.view.outputs[one.prevout].value_sat for one in transaction.inputs)
        return spent - sum(one.value_sat for one in transaction.outputs)

    def pays_us(self, transaction: Transaction) -> bool:
        """Whether all goes to our wallet."""
        script = self.m(self.us).signer.shutdown_script_pubkey()
        return all(one.script_pubkey == script for one in transaction.outputs)

    def published(self) -> Iterator[Transaction]:
        """What we offered to the mempool that spends a watched output, each once."""
        ours = {one.txid: one.transaction for one in self.offers if one.name == self.us}
        for transaction in ours.values():
            if any(one.prevout in self.view.outputs for one in transaction.inputs):
                yield transaction

    def took(self, output: WatchedOutput) -> bool:
        """Whether a transaction of ours in a block has spent an output."""
        seen = self.view.spenders.get(output.outpoint)
        return seen is not None and any(one.name == self.us and one.txid == seen.txid for one in self.offers)

    def refusals(self) -> list[str]:
        """What the mempool did not take of us."""
        return [one.result.reject_reason for one in self.offers if one.name == self.us and not one.result.accepted]

    def left(self) -> list[WatchedOutput]:
        """Watched outputs that nobody has spent, anchors apart."""
        return [
            one for one in self.view.unspent() if one.kind not in (WatchedKind.OWN_ANCHOR, WatchedKind.OTHER_ANCHOR)
        ]

    def journal(self) -> str:
        """The name of the channel's journal."""
        return channel_journal(ChannelId(self.channel_id))
