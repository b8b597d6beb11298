"""Random worlds: everything users do and everything that can go wrong, drawn from one seed.

What is drawn is written down as the commands of a scenario, so a run can be replayed without its seed, cut shorter,
and read. Everything that was disturbed is repaired at the end; then the world must come to rest, and every oracle hold.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec

from leyden.base.ids import NODE_JOURNAL
from leyden.crypto.hashes import sha256
from leyden.sim import commands as cmd
from leyden.sim.commands import AT_REST, WHEN_IDLE, Command, Timed
from leyden.sim.play import Play
from leyden.sim.schedules import Draws
from leyden.sim.script import ChannelLine, NodeLine, Script
from leyden.sim.world import ALL_MESSAGES, Action, Schedule, World

STEPS_MIN = 60
STEPS_MAX = 260
BLOCKS_MAX = 8
FUNDING_SAT = 1_000_000
AMOUNTS_MSAT = (1_000, 400_000, 5_000_000, 90_000_000, 300_000_000, 650_000_000)
FEERATES_PER_KW = (300, 1000, 2500, 6000, 20_000)
DEADLINE_SECONDS = 20
WATCHED_OF = 4
"""One world of so many is watched at every step, which takes twice as long."""
END = (Timed(cmd.Repair(), WHEN_IDLE), Timed(cmd.Repair(), AT_REST), Timed(cmd.Probe(), AT_REST))


def base(pairs: Sequence[tuple[str, str]], hold: str = "", late: Sequence[str] = ()) -> Script:
    """Return a world of channels with half their money on either side.

    hold: a node whose user is asked about every payment. late: nodes whose signer answers late.
    """
    names = dict.fromkeys(name for pair in pairs for name in pair)
    nodes: list[NodeLine] = []
    for name in names:
        settings = (("auto_claim", "false"),) if name == hold else ()
        nodes.append(NodeLine(name, settings + ((("signer", "late"),) if name in late else ())))
    channels = tuple(ChannelLine(one, other, FUNDING_SAT, FUNDING_SAT * 500) for one, other in pairs)
    return Script("", tuple(nodes), channels, ())


_DIRECT = (("alice", "bob"),)
_LINE = (("alice", "bob"), ("bob", "carol"))
_DOUBLE = (("alice", "bob"), ("alice", "bob"))
_DIAMOND = (("alice", "bob"), ("alice", "carol"), ("bob", "dave"), ("carol", "dave"))
BASES: Mapping[str, Script] = {
    "direct": base(_DIRECT),
    "line": base(_LINE),
    "double": base(_DOUBLE),
    "diamond": base(_DIAMOND),
    "hold direct": base(_DIRECT, "bob"),
    "hold line": base(_LINE, "carol"),
    "hold double": base(_DOUBLE, "bob"),
    "hold diamond": base(_DIAMOND, "dave"),
    "late line": base(_LINE, late=("alice", "bob", "carol")),
    "late double": base(_DOUBLE, "bob", late=("bob",)),
}


class Style(NamedTuple):
    """fair: how many of a hundred actions are the oldest one. acts: how many of a hundred steps are commands."""

    fair: int
    acts: int


STYLES = (Style(0, 18), Style(80, 10), Style(95, 5))


class _Recorded:
    """Chooses as the seed says, and writes down what the fair schedule would not have chosen."""

    def __init__(self, world: "RandomWorld") -> None:
        self._world = world

    def choose(self, world: World, enabled: Sequence[Action]) -> Action:
        """See `Schedule`."""
        draws = self._world.draws
        action = enabled[0] if draws.below(100) < self._world.style.fair else enabled[draws.below(len(enabled))]
        world.deliver_count = 1 if action.kind == "deliver" and draws.below(4) == 0 else ALL_MESSAGES
        if action != enabled[0] or world.deliver_count != ALL_MESSAGES:
            self._world.note_choice(action, 1 if world.deliver_count == 1 else 0)
        return action


class RandomWorld:
    """One run. commands: what was drawn so far. end: how it is repaired, and comes to rest."""

    end: Sequence[Timed] = END

    def __init__(self, seed: str, bases: Mapping[str, Script] = BASES) -> None:
        self.seed = seed
        self.draws = Draws(seed.encode())
        names = list(bases)
        self.base_name = names[self.draws.below(len(names))]
        self.style = STYLES[self.draws.below(len(STYLES))]
        self.commands: list[Timed] = []
        self.play = Play(bases[self.base_name], watched=self.draws.below(WATCHED_OF) == 0)
        self.world, self.director = self.play.world, self.play.director
        self._schedule: Schedule = _Recorded(self)
        self._blocks = 0
        self._payments = 0
        self._channel_changes = 0

    def script(self) -> Script:
        """Return what was drawn, as a scenario."""
        return msgspec.structs.replace(
            self.play.script,
            title=f"Seed {self.seed}, {self.base_name}.",
            commands=(*self.commands, *self.end),
            tier="once",
        )

    def run(self) -> str:
        """Run, repair, rest, check; return a hash (hex) of all that happened. Raises: Violation, Livelock."""
        try:
            for _ in range(STEPS_MIN + self.draws.below(STEPS_MAX - STEPS_MIN)):
                self._step()
        except Exception as error:
            error.add_note(f"seed {self.seed}, {self.base_name}")
            raise
        self.world.deliver_count = ALL_MESSAGES
        self.play.script = self.script()
        self.play.finish(self.end)
        return sha256("\n".join(self.world.trace).encode()).hex()

    def _at(self) -> int:
        return self.world.steps - self.play.first

    def note_choice(self, action: Action, messages: int) -> None:
        """Write down an action that was chosen."""
        subject = action.subject or "-"
        if action.kind == "commit":
            subject = self.director.labels.of_journal(action.subject)
        self.commands.append(Timed(cmd.Do(action.kind, action.node or "-", subject, messages), self._at()))

    # --- steps -----------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        enabled = self.world.enabled()
        if enabled and self.draws.below(100) >= self.style.acts:
            self.world.perform(self._schedule.choose(self.world, enabled))
            return
        table = self.table()
        at = self.draws.below(sum([weight for weight, _ in table]))
        for weight, draw in table:
            if at < weight:
                command = draw(self)
                if command is not None:
                    self.commands.append(Timed(command, self._at()))
                    self.director.perform(command)
                return
            at -= weight

    def table(self) -> "Sequence[Drawn]":
        """Return how often what is drawn, in parts of the sum."""
        return DRAWS

    def amount_msat(self) -> int:
        """Draw an amount, dust among them."""
        return AMOUNTS_MSAT[self.draws.below(len(AMOUNTS_MSAT))] + self.draws.below(1000)

    def one_of(self, choices: Sequence[str]) -> str:
        """Draw one of some."""
        return choices[self.draws.below(len(choices))]

    def node(self) -> str:
        """Draw a node."""
        return self.one_of(list(self.world.nodes))

    def link(self) -> tuple[str, str]:
        """Draw a link."""
        links = list(self.world.links)
        return links[self.draws.below(len(links))]

    def journal(self, name: str) -> str:
        """Draw a journal of a node, as a label."""
        node = self.world.nodes[name]
        if not node.is_up:
            return NODE_JOURNAL
        return self.director.labels.of_journal(self.one_of(list(node.runtime.outbox.tails)))

    def kept(self, name: str) -> dict[str, int]:
        """Draw which journals keep how much at a crash."""
        node, labels = self.world.nodes[name], self.director.labels
        return {labels.of_journal(one): self.draws.below(count + 1) for one, count in node.disk.under_way().items()}

    def pay(self) -> Command | None:
        """Draw a payment: of any amount, some with a hash that others have too, or that nobody knows."""
        payer, payee = self.node(), self.node()
        if payer == payee:
            return None
        if self._payments and self.draws.below(12) == 0:
            again = [one.command for one in self.commands if isinstance(one.command, cmd.Pay)]
            return again[self.draws.below(len(again))] if again else None
        self._payments += 1
        amount = self.amount_msat()
        kind = self.draws.below(10)
        return cmd.Pay(
            payer,
            payee,
            amount,
            f"p{self._payments}",
            parts=(8, 2, 1)[self.draws.below(3)],
            deadline=DEADLINE_SECONDS,
            keysend=kind < 2,
            hash={2: "unknown", 3: f"of-{payee}", 4: f"of-{payee}"}.get(kind, ""),
        )

    def mine(self) -> Command | None:
        """Draw blocks, but not so many that a deadline passes."""
        if self._blocks >= BLOCKS_MAX:
            return None
        self._blocks += 1
        return cmd.Reorg(1) if self.draws.below(4) == 0 else cmd.Mine(1)

    def change_channels(self) -> Command | None:
        """Draw an opening or a close, once or twice in a run."""
        if self._channel_changes >= 2:
            return None
        self._channel_changes += 1
        kind = self.draws.below(4)
        if kind == 0:
            one, other = self.link()
            return cmd.Open(one, other, FUNDING_SAT // 2)
        if kind == 1:
            one, other = self.link()
            near = [two if name == one else name for name, two in self.world.links if one in (name, two)]
            return cmd.OpenBatch(one, tuple(f"{name}:{FUNDING_SAT // 4}" for name in [other, near[0]]))
        name = self.node()
        if not self.world.nodes[name].is_up:
            return None
        channels = list(self.world.nodes[name].manager.channels)
        return cmd.Close(name, self.director.labels.of_channel(channels[self.draws.below(len(channels))]))

    def answer(self) -> Command:
        """Draw an answer of a user to what waits."""
        kind = self.draws.below(5)
        name = self.node()
        if kind < 2:
            return cmd.Claim(name)
        if kind == 2:
            return cmd.Ack(name)
        if kind == 3 and self._payments:
            return cmd.Abandon(name, f"p{1 + self.draws.below(self._payments)}")
        return cmd.Refuse(name)

    def application(self) -> Command:
        """Draw how a user behaves from now on."""
        return cmd.App(
            self.node(),
            self.one_of(("claim", "fail", "wait")),
            acks=self.draws.below(4) > 0,
            slow=self.draws.below(3) * 2,
            fails=self.draws.below(3) if self.draws.below(3) == 0 else 0,
        )

    def hold(self) -> Command:
        """Draw a journal that hangs, or the end of that."""
        name = self.node()
        return cmd.Release(name) if self.world.nodes[name].disk.held else cmd.Hold(name, self.journal(name))

    def refuse(self) -> Command:
        """Draw a store that refuses, all or one journal."""
        name = self.node()
        return cmd.StoreFails(name, "unavailable", self.journal(name) if self.draws.below(2) else "")

    def crash(self) -> Command | None:
        """Draw a crash; some nodes stay down."""
        name = self.node()
        if not self.world.nodes[name].is_up:
            return cmd.Start(name, sync=self.draws.below(2) == 0)
        kept = self.kept(name)
        return cmd.Crash(name, kept) if self.draws.below(3) else cmd.Kill(name, kept)

    def lose_connection(self) -> Command:
        """Draw a lost connection; some do not come back soon."""
        one, other = self.link()
        if not self.world.links[(one, other)]:
            return cmd.Link(one, other)
        return cmd.Cut(one, other) if self.draws.below(2) else cmd.Unlink(one, other)

    def snapshot(self) -> Command:
        """Draw a journal to compact."""
        name = self.node()
        return cmd.Snapshot(name, self.journal(name))


Drawn: TypeAlias = tuple[int, Callable[[Any], Command | None]]
"""A weight, and what makes a command of a world."""

DRAWS: tuple[tuple[int, Callable[[RandomWorld], Command | None]], ...] = (
    (30, RandomWorld.pay),
    (14, RandomWorld.crash),
    (10, RandomWorld.lose_connection),
    (8, RandomWorld.hold),
    (4, RandomWorld.refuse),
    (12, lambda world: cmd.Tick(1 + world.draws.below(4))),
    (4, RandomWorld.mine),
    (6, RandomWorld.snapshot),
    (10, RandomWorld.answer),
    (6, RandomWorld.application),
    (3, lambda world: cmd.Feerate(world.node(), FEERATES_PER_KW[world.draws.below(len(FEERATES_PER_KW))])),
    (3, RandomWorld.change_channels),
)
"""How often what is drawn, in parts of the sum."""
