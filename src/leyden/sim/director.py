"""Carries out the commands of a scenario in a world, and remembers whose payments they ordered."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from leyden.base.errors import CommandRejected, StorageBroken, StorageFailed, StorageFenced, StorageUnavailable
from leyden.channel.inputs import ForceClose
from leyden.channel.states import Normal
from leyden.crypto.hashes import sha256
from leyden.manager import fees, handoff, sending
from leyden.manager.events import PaymentClaimable
from leyden.manager.manager import Manager
from leyden.manager.state import Slot
from leyden.sim import commands as cmd
from leyden.sim import settlement, user
from leyden.sim.cheating import old_commitment
from leyden.sim.commands import Command, Timed
from leyden.sim.handler import Prompt
from leyden.sim.labels import Labels
from leyden.sim.node import Backup, SimNode
from leyden.sim.probe import order_over
from leyden.sim.user import Order
from leyden.sim.world import ALL_MESSAGES, Act, Action, World

BLOCKS_AT_REPAIR = 6
STORE_FAILURES: Mapping[str, type[StorageFailed]] = {
    "unavailable": StorageUnavailable,
    "broken": StorageBroken,
    "fenced": StorageFenced,
}


class Impossible(Exception):
    """A command that cannot be carried out now, as when its node is down. The text says why."""


def payment_id(name: str) -> bytes:
    """Return the payment_id (32 bytes) of a payment by its name."""
    return sha256(b"payment " + name.encode())


class Director:
    """See the module. orders: of payments, in the order in which they were accepted or asked for.

    skipped: commands that could not be carried out, and why. preimages: by payment_hash, of hashes whose preimage only
    users know. answered: by set_id, what users have answered once, and answer again when they are asked again.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.labels = Labels(world)
        self.labels.learn()
        self.orders: list[Order] = []
        self.skipped: list[str] = []
        self.preimages: dict[bytes, bytes] = {}
        self.answered: dict[bytes, str] = {}
        for node in world.nodes.values():
            node.application = Prompt("claim", preimages=self.preimages, answered=self.answered)
        self._by_name: dict[str, Order] = {}
        self._touched_chain = False
        self._backups: dict[str, Backup] = {}
        self._closes: dict[bytes, cmd.Close | cmd.ForceClose] = {}

    # --- when ------------------------------------------------------------------------------------------------------

    def announce(self, timed: Timed) -> None:
        """Take in a command without a step: it will be an action of the world, behind those announced before."""
        command = timed.command
        name = cmd.format_command(Timed(command))
        self.world.acts.append(Act(name, _needs(command), partial(self._act, command), timed.step))

    def _act(self, command: Command) -> None:
        self.perform(command)

    def perform(self, command: Command) -> bool:
        """Carry out a command; return whether that was possible. What was not is noted in `skipped`."""
        try:
            PERFORM[type(command)](self, command)
        except (Impossible, CommandRejected, LookupError) as error:
            self.skipped.append(f"{cmd.format_command(Timed(command))}: {error}")
            return False
        self.world.settle()
        return True

    def node(self, name: str) -> SimNode:
        """Return a node that is up. Raises: Impossible."""
        node = self.world.nodes.get(name)
        if node is None:
            raise Impossible(f"no node is called {name}")
        if not node.is_up:
            raise Impossible(f"{name} is down")
        return node

    def kept(self, kept: Mapping[str, int]) -> dict[str, int]:
        """Return which journal keeps how many of its records under way."""
        return {self.labels.journal(label): count for label, count in kept.items()}

    # --- payments ----------------------------------------------------------------------------------------------------

    def pay(self, command: cmd.Pay) -> None:
        """See `Pay`."""
        order = self._by_name.get(command.name)
        if order is not None:
            order.accepted = False
            order.ask(self.node(order.payer))
            return
        payer, payee = self.node(command.payer), self.node(command.payee)
        if not payer.synced or not payee.synced:
            raise Impossible("the payer or the payee has not caught up with the chain")
        if command.keysend:
            started = user.keysend_payment(payer, payee, command.amount_msat, payment_id(command.name))
        else:
            text = user.make_invoice(
                payee,
                command.amount_msat,
                hints=True,
                tag=command.name,
                payment_hash=self._hash(command.hash),
                expiry_seconds=command.expiry,
            )
            started = user.invoice_payment(
                payer,
                text,
                payment_id(command.name),
                fee_limit_msat=command.fee,
                deadline_seconds=command.deadline,
                parts_max=command.parts,
            )
        order = Order(command.payer, started, command.payee)
        order.ask(payer)
        self._by_name[command.name] = order
        self.orders.append(order)

    def _hash(self, name: str) -> bytes | None:
        if not name:
            return None
        preimage = sha256(b"preimage " + name.encode())
        if name != "unknown":
            self.preimages[sha256(preimage)] = preimage
        return sha256(preimage)

    def answer(self, node: SimNode, answer: str, first: int = 0) -> None:
        """Answer the questions that are open, oldest first, all or so many; what cannot be claimed is refused."""
        prompt = Prompt(answer, preimages=self.preimages)

        def run(manager: Manager) -> None:
            left = first or len(manager.events)
            for event in list(manager.events.values()):
                if left and isinstance(event, PaymentClaimable) and event.set_id in manager.asked:
                    left -= 1
                    self.answered[event.set_id] = answer
                    try:
                        prompt.on_event(manager, event)
                    except CommandRejected:
                        continue  # too late, or a part of it has gone

        node.run(run)

    def acknowledge(self, node: SimNode) -> None:
        """Acknowledge all that was shown and is no question."""

        def run(manager: Manager) -> None:
            for event_id, event in list(manager.events.items()):
                if not isinstance(event, PaymentClaimable):
                    handoff.acknowledge_event(manager, event_id)

        node.run(run)

    def abandon(self, command: cmd.Abandon) -> None:
        """See `Abandon`."""
        self.node(command.node).run(lambda m: sending.abandon_payment(m, payment_id(command.name)))

    def set_application(self, command: cmd.App) -> None:
        """See `App`."""
        node = self.world.nodes[command.node]
        node.application = Prompt(
            "" if command.answer == "wait" else command.answer,
            preimages=self.preimages,
            answered=self.answered,
            acknowledges=command.acks,
            delay_seconds=command.slow,
            fails=command.fails,
        )

    # --- channels and chain -------------------------------------------------------------------------------------------

    def open(self, command: cmd.Open) -> None:
        """See `Open`."""
        self._touched_chain = True
        user.open_channel(self.node(command.node), self.node(command.peer), command.funding_sat, command.push_msat)

    def open_batch(self, command: cmd.OpenBatch) -> None:
        """See `OpenBatch`."""
        self._touched_chain = True
        wanted: list[tuple[SimNode, int]] = []
        for channel in command.channels:
            name, _, satoshis = channel.partition(":")
            if not satoshis.isdigit():
                raise Impossible(f"'{channel}' is no peer with an amount, as bob:300000")
            wanted.append((self.node(name), int(satoshis)))
        user.open_batch(self.node(command.node), wanted)

    def close(self, command: cmd.Close) -> None:
        """See `Close`."""
        node, channel_id = self.node(command.node), self.labels.channel(command.channel)
        if channel_id not in node.manager.channels:
            raise Impossible(f"{command.node} has no channel {command.channel}")
        self._touched_chain = True
        slot = node.manager.channels[channel_id]
        user.close_channel(node, slot)
        self._close_is_asked(command, node, slot)

    def force_close(self, command: cmd.ForceClose) -> None:
        """See `ForceClose`."""
        node, channel_id = self.node(command.node), self.labels.channel(command.channel)
        self._touched_chain = True
        slot = node.manager.channels[channel_id]
        node.run(lambda m: m.apply(slot, ForceClose("the user asked for it")))
        self._close_is_asked(command, node, slot)

    def _close_is_asked(self, command: cmd.Close | cmd.ForceClose, node: SimNode, slot: Slot) -> None:
        """A close that was asked for may happen; once its call has returned it must."""
        asked = self.world.closes_asked
        asked.setdefault(slot.channel_id, False)
        self._closes[slot.channel_id] = command
        node.runtime.outbox.when_durable(slot.tail, lambda: asked.__setitem__(slot.channel_id, True))

    def reorganise(self, command: cmd.Reorg) -> None:
        """See `Reorg`."""
        if command.depth >= self.world.chain.tip.height:
            raise Impossible(f"there are {self.world.chain.tip.height} blocks")
        self._touched_chain = True
        self.world.reorganise(command.depth, without=command.without)

    def cheat(self, command: cmd.Cheat) -> None:
        """See `Cheat`; the channel may be closed from now on. Whether it cheats somebody is seen when it is mined."""
        world, node = self.world, self.world.nodes[command.node]
        channel_id = self.labels.channel(command.channel)
        transaction = old_commitment(node, channel_id, command.number)
        self._touched_chain = True
        result = world.broadcast(transaction, f"commitment {command.number}, by its operator", node.name)
        if not result.accepted:
            raise Impossible(result.reject_reason)
        world.operated[transaction.txid()] = node.name
        world.closes_asked.setdefault(channel_id, False)

    def may_close(self, command: cmd.MayClose) -> None:
        """See `MayClose`."""
        self.world.closes_asked.setdefault(self.labels.channel(command.channel), False)

    def resolve(self, command: cmd.Resolve) -> None:
        """See `Resolve`. It comes again at rest until nothing is left, or until that takes too long."""
        down = [node.name for node in self.world.nodes.values() if not node.is_up]
        if down:
            raise Impossible(f"{down[0]} is down")
        self._touched_chain = True
        for channel_id, asked in self._closes.items():
            slot = self.world.nodes[asked.node].manager.channels.get(channel_id)
            if slot is not None and type(slot.state) is Normal:
                self.perform(asked)  # a crash took the call
        self.world.tick()  # what is written now and then, is
        count = settlement.blocks_to_mine(self.world)
        if count:
            self.world.mine(count, quick=True)
            name = cmd.format_command(Timed(command))
            self.world.acts.appendleft(Act(name, (), partial(self._act, command), cmd.AT_REST))

    def set_fees(self, command: cmd.Fees) -> None:
        """See `Fees`."""
        self._touched_chain = True
        self.world.set_fees(command.feerate_per_kw, command.minimum or command.feerate_per_kw // 2)

    def evict(self, _command: cmd.Evict) -> None:
        """See `Evict`."""
        self._touched_chain = True
        self.world.evict()

    def drop(self, command: cmd.Drop) -> None:
        """See `Drop`."""
        if command.node not in self.world.nodes or command.switch not in ("on", "off"):
            raise Impossible("say which node, and on or off")
        self._touched_chain = True
        self.world.dislike(command.node, dislikes=command.switch == "on")

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    def crash(self, command: cmd.Crash) -> None:
        """See `Crash`."""
        self.kill(cmd.Kill(command.node, command.kept))
        self.start(cmd.Start(command.node))

    def kill(self, command: cmd.Kill) -> None:
        """See `Kill`."""
        self.node(command.node)
        self.world.crash(command.node, self.kept(command.kept))

    def start(self, command: cmd.Start) -> None:
        """See `Start`; users whose calls did not return call again."""
        node = self.world.nodes[command.node]
        if node.is_up:
            raise Impossible(f"{command.node} is up")
        node.start(sync=command.sync)
        self.world.settle()
        for order in self.orders:
            if order.payer == command.node:
                order.ask(node)

    def back_up(self, command: cmd.Backup) -> None:
        """See `Backup`."""
        self._backups[command.node] = self.node(command.node).backup()

    def restore(self, command: cmd.Restore) -> None:
        """See `Restore`; its channels may be closed by their peers from now on."""
        node = self.node(command.node)
        if command.node not in self._backups:
            raise Impossible(f"nothing was put aside of {command.node}")
        self._touched_chain = True
        for channel_id in node.manager.channels:
            self.world.closes_asked.setdefault(channel_id, False)
        self.world.restored[command.node] = None
        self.world.crash(command.node)
        node.restore(self._backups[command.node], with_mark=command.mark)
        self.start(cmd.Start(command.node))

    def unlink(self, command: cmd.Unlink) -> None:
        """See `Unlink`."""
        self.set_link(command.one, command.other, is_open=False)
        self.world.cut(command.one, command.other)

    def set_link(self, one: str, other: str, *, is_open: bool) -> None:
        """Let two nodes connect, or not."""
        for link in ((one, other), (other, one)):
            if link in self.world.links:
                self.world.links[link] = is_open

    def fail_store(self, command: cmd.StoreFails) -> None:
        """See `StoreFails`."""
        if command.how not in STORE_FAILURES:
            raise Impossible(f"a store does not fail as '{command.how}'")
        journal = self.labels.journal(command.journal) if command.journal else None
        self.node(command.node).disk.refuse(STORE_FAILURES[command.how]("the scenario says so"), journal)

    def do(self, command: cmd.Do) -> None:
        """See `Do`."""
        subject = "" if command.subject == "-" else command.subject
        if command.kind == "commit":
            subject = self.labels.journal(subject)
        enabled = self.world.enabled()
        action = Action(command.kind, command.node, subject)
        if command.kind == "act":
            action = next((one for one in enabled if one.kind == "act"), action)
        if action not in enabled:
            raise Impossible("it is not possible now")
        self.world.deliver_count = command.messages or ALL_MESSAGES
        self.world.perform(action)
        self.world.deliver_count = ALL_MESSAGES

    # --- the end ------------------------------------------------------------------------------------------------------

    def repair(self, _command: Command) -> None:
        """See `Repair`."""
        world = self.world
        for link in world.links:
            world.links[link] = True
        for node in world.nodes.values():
            if not node.is_up or node.runtime.broken is not None:
                if node.is_up:
                    world.crash(node.name)
                self.start(cmd.Start(node.name))
            node.disk.held.clear()
            node.sync()
            node.application = Prompt("fail", preimages=self.preimages, answered=self.answered)
            self.answer(node, "fail")
            self.acknowledge(node)
            for order in self.orders:
                if order.payer == node.name:
                    order.ask(node)
            node.reports[:] = [report for report in node.reports if report.subsystem != "store"]
        for name in world.nodes:
            world.dislike(name, dislikes=False)
        world.chain.set_mempool_feerate(0)
        if self._touched_chain:
            world.mine(BLOCKS_AT_REPAIR)

    def probe(self, _command: Command) -> None:
        """See `Probe`."""
        for node in self.world.nodes.values():
            node.application = Prompt("claim", preimages=self.preimages, answered=self.answered)
        for node in self.world.nodes.values():
            for slot in node.manager.channels.values():
                peer = self.world.node_of(slot.peer)
                if slot.channel_id in self.world.closes_asked:
                    continue
                self.orders.append(order_over(node, slot, peer))


def _needs(command: Command) -> tuple[str, ...]:
    if isinstance(
        command, cmd.Repair | cmd.Probe | cmd.Start | cmd.Kill | cmd.Crash | cmd.Cheat | cmd.Drop | cmd.Resolve
    ):
        return ()
    fields = ("payer", "payee", "node", "peer")
    peers = tuple(one.partition(":")[0] for one in getattr(command, "channels", ()))
    return tuple(str(getattr(command, field)) for field in fields if hasattr(command, field)) + peers


PERFORM: dict[type[Command], Callable[[Director, Any], object]] = {}
"""What carries out each kind of command."""
CommandT = TypeVar("CommandT", bound=Command)


def _performs(kind: type[CommandT], run: Callable[[Director, CommandT], object]) -> None:
    PERFORM[kind] = run


_performs(cmd.Pay, Director.pay)
_performs(cmd.Claim, lambda d, c: d.answer(d.node(c.node), "claim", c.first))
_performs(cmd.Refuse, lambda d, c: d.answer(d.node(c.node), "fail", c.first))
_performs(cmd.Abandon, Director.abandon)
_performs(cmd.App, Director.set_application)
_performs(cmd.Ack, lambda d, c: d.acknowledge(d.node(c.node)))
_performs(cmd.Open, Director.open)
_performs(cmd.OpenBatch, Director.open_batch)
_performs(cmd.Close, Director.close)
_performs(cmd.ForceClose, Director.force_close)
_performs(
    cmd.Feerate,
    lambda d, c: d.node(c.node).run(lambda m: fees.set_feerates(m, c.feerate_per_kw, c.feerate_per_kw)),
)
_performs(cmd.Mine, lambda d, c: d.world.mine(c.count, quick=c.quick))
_performs(cmd.Resolve, Director.resolve)
_performs(cmd.MayClose, Director.may_close)
_performs(cmd.Reorg, Director.reorganise)
_performs(cmd.Cheat, Director.cheat)
_performs(cmd.Fees, Director.set_fees)
_performs(cmd.Evict, Director.evict)
_performs(cmd.Drop, Director.drop)
_performs(cmd.Tick, lambda d, c: d.world.tick(c.seconds))
_performs(cmd.Snapshot, lambda d, c: d.node(c.node).runtime.snapshot(d.labels.journal(c.journal)))
_performs(cmd.Crash, Director.crash)
_performs(cmd.Kill, Director.kill)
_performs(cmd.Start, Director.start)
_performs(cmd.Backup, Director.back_up)
_performs(cmd.Restore, Director.restore)
_performs(cmd.Cut, lambda d, c: d.world.cut(c.one, c.other))
_performs(cmd.Unlink, Director.unlink)
_performs(cmd.Stall, lambda d, c: d.world.stall(c.one, c.other, c.after))
_performs(cmd.Link, lambda d, c: d.set_link(c.one, c.other, is_open=True))
_performs(cmd.Hold, lambda d, c: d.node(c.node).disk.held.__setitem__(d.labels.journal(c.journal), None))
_performs(cmd.Release, lambda d, c: d.node(c.node).disk.held.clear())
_performs(cmd.StoreFails, Director.fail_store)
_performs(cmd.Do, Director.do)
_performs(cmd.Repair, Director.repair)
_performs(cmd.Probe, Director.probe)
