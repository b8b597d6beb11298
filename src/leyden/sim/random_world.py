"""Random worlds: payments, questions, crashes, lost connections, slow and failing stores, blocks; from one seed.

Everything that was disturbed is repaired at the end; then the world must come to rest, and every oracle must hold.
"""

from collections.abc import Callable, Mapping, Sequence

from leyden.base.errors import CommandRejected, StorageUnavailable
from leyden.crypto.hashes import sha256
from leyden.manager.events import PaymentClaimable
from leyden.manager.manager import Manager
from leyden.sim import user
from leyden.sim.books import Books
from leyden.sim.handler import Prompt
from leyden.sim.node import SimNode
from leyden.sim.oracles import check_rest
from leyden.sim.schedules import Drawn, Draws, Fair, run_to_rest
from leyden.sim.user import Order
from leyden.sim.world import World

STEPS_MIN = 60
STEPS_MAX = 260
BLOCKS_MAX = 8
PROBE_MSAT = 2_000_000
AMOUNTS_MSAT = (1_000, 400_000, 5_000_000, 90_000_000, 300_000_000, 650_000_000)


class RandomWorld:
    """One run. bases: worlds at rest to start from, by name."""

    def __init__(self, seed: str, bases: Mapping[str, Callable[[], World]]) -> None:
        self.seed = seed
        self.draws = Draws(seed.encode())
        names = list(bases)
        self.base_name = names[self.draws.below(len(names))]
        self.world = bases[self.base_name]().copy()
        self.schedule = Drawn(self.draws)
        self.orders: list[Order] = []
        self.down: dict[str, None] = {}
        self.blocks = 0
        run_to_rest(self.world, Fair())
        self.books = Books(self.world)
        for node in self.world.nodes.values():
            node.application = Prompt(self._one_of(("claim", "fail", "")), acknowledges=self.draws.below(4) > 0)

    def _one_of(self, choices: Sequence[str]) -> str:
        return choices[self.draws.below(len(choices))]

    def _node(self) -> SimNode:
        return self.world.nodes[self._one_of(list(self.world.nodes))]

    def run(self) -> str:
        """Run, repair, rest, check; return a hash of all that happened. Raises: Violation, Livelock."""
        try:
            for _ in range(STEPS_MIN + self.draws.below(STEPS_MAX - STEPS_MIN)):
                self._step()
            self._repair()
            run_to_rest(self.world, Fair())
            self._repair()
            run_to_rest(self.world, Fair())
            check_rest(self.world, self.books, self.orders)
            self._probe()
        except Exception as error:
            error.add_note(f"seed {self.seed}, {self.base_name}")
            error.add_note("\n".join(self.world.trace[-60:]))
            raise
        return sha256("\n".join(self.world.trace).encode()).hex()

    # --- steps -----------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        enabled = self.world.enabled()
        if enabled and self.draws.below(100) < 82:
            self.world.perform(self.schedule.choose(self.world, enabled))
            return
        acts: tuple[tuple[int, Callable[[], None]], ...] = (
            (30, self._pay),
            (12, self._crash),
            (8, self._cut),
            (8, self._hold),
            (4, self._refuse),
            (12, self._tick),
            (4, self._mine),
            (6, self._snapshot),
            (10, self._answer),
            (6, self._return),
        )
        at = self.draws.below(sum([weight for weight, _ in acts]))
        for weight, act in acts:
            if at < weight:
                act()
                return
            at -= weight

    def _pay(self) -> None:
        payer, payee = self._node(), self._node()
        if payer is payee or not payer.is_up or not payee.is_up or not payer.synced or not payee.synced:
            return
        amount = AMOUNTS_MSAT[self.draws.below(len(AMOUNTS_MSAT))] + self.draws.below(1000)
        payment_id = sha256(f"{self.seed} {len(self.orders)}".encode())
        if self.draws.below(5) == 0:
            started = user.keysend_payment(payer, payee, amount, payment_id)
        else:
            tag = f"{len(self.orders)}"
            unknown = sha256(payment_id) if self.draws.below(8) == 0 else None
            text = user.make_invoice(payee, amount, hints=True, tag=tag, payment_hash=unknown)
            started = user.invoice_payment(payer, text, payment_id, deadline_seconds=20)
        order = Order(payer.name, started, payee.name)
        try:
            order.ask(payer)
        except CommandRejected:
            return
        self.orders.append(order)

    def _crash(self) -> None:
        node = self._node()
        if not node.is_up:
            return
        kept = {journal: self.draws.below(count + 1) for journal, count in node.disk.under_way().items()}
        self.world.crash(node.name, kept)
        if self.draws.below(3):
            self._start(node)
        else:
            self.down[node.name] = None

    def _start(self, node: SimNode) -> None:
        node.start(sync=self.draws.below(2) == 0)
        self.world.settle()
        self._ask_again(node)

    def _ask_again(self, node: SimNode) -> None:
        for order in self.orders:
            if order.payer == node.name and not order.accepted:
                order.ask(node)

    def _return(self) -> None:
        for name in list(self.down):
            del self.down[name]
            self._start(self.world.nodes[name])
        for link in self.world.links:
            self.world.links[link] = True

    def _cut(self) -> None:
        links = list(self.world.links)
        one, other = links[self.draws.below(len(links))]
        self.world.links[(one, other)] = self.draws.below(2) == 0
        self.world.cut(one, other)

    def _hold(self) -> None:
        node = self._node()
        if not node.is_up:
            return
        if node.disk.held:
            node.disk.held.clear()
        else:
            node.disk.held[self._one_of(list(node.runtime.outbox.tails))] = None

    def _refuse(self) -> None:
        node = self._node()
        if node.is_up:
            node.disk.refuse(StorageUnavailable("no space left"))
            self.world.settle()

    def _tick(self) -> None:
        self.world.tick(1 + self.draws.below(4))

    def _mine(self) -> None:
        if self.blocks < BLOCKS_MAX:
            self.blocks += 1
            self.world.mine()

    def _snapshot(self) -> None:
        node = self._node()
        if node.is_up:
            node.runtime.snapshot(self._one_of(list(node.runtime.outbox.tails)))

    def _answer(self) -> None:
        node = self._node()
        if node.is_up:
            self._answer_all(node, Prompt(self._one_of(("claim", "fail"))))

    def _answer_all(self, node: SimNode, prompt: Prompt) -> None:
        def run(manager: Manager) -> None:
            for event in list(manager.events.values()):
                if isinstance(event, PaymentClaimable) and event.set_id not in manager.claimables:
                    continue
                try:
                    prompt.on_event(manager, event)
                except CommandRejected:
                    continue  # an unknown preimage, or too late

        node.run(run)

    # --- the end -----------------------------------------------------------------------------------------------------

    def _repair(self) -> None:
        """Everything works again, and every user answers."""
        self._return()
        self.world.deliver_count = 1_000_000
        for node in self.world.nodes.values():
            node.disk.held.clear()
            if not node.synced:
                node.sync()
            node.application = Prompt("fail")
            self._answer_all(node, Prompt("fail"))
            self._ask_again(node)
            node.reports[:] = [report for report in node.reports if "the store does not take" not in report.text]

    def _probe(self) -> None:
        """Every channel still carries a payment, one way or the other."""
        for node in self.world.nodes.values():
            for slot in node.manager.channels.values():
                peer = self.world.node_of(slot.peer)
                payment_id = sha256(b"probe" + slot.channel_id + node.node_id)
                node.application = peer.application = Prompt("claim")
                order = Order(node.name, user.keysend_payment(node, peer, PROBE_MSAT, payment_id), peer.name)
                order.ask(node)
                self.orders.append(order)
        run_to_rest(self.world, Fair())
        check_rest(self.world, self.books, self.orders)
