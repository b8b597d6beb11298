"""Random worlds whose channels end on the chain: forced and cooperative closes, cheating operators, reorganisations,
fees that rise, mempools that forget, miners that leave out what a node publishes; beside crashes and slow stores.

Some amounts are dust, which no commitment has an output of, and some have one that hardly pays for its claim. Delays
are short, and every wallet has a coin that pays for claims. The operator of one node of a world may publish any
commitment of its own, revoked or not yet.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from leyden.sim import commands as cmd
from leyden.sim.commands import AT_REST, WHEN_IDLE, Command, Timed
from leyden.sim.random_world import BASES, DRAWS, Drawn, RandomWorld
from leyden.sim.script import NodeLine, Script

AMOUNTS_MSAT = (2_000, 340_000, 400_000, 900_000, 5_000_000, 90_000_000, 300_000_000)
FEERATES_PER_KW = (500, 2_500, 20_000)
REORG_BLOCKS_MAX = 20
SETTINGS = (("to_self_delay", "8"), ("coins", "400000"))
AWAY_BLOCKS_MAX = 6
"""No node misses more blocks than that: after the delay a cheater has won, whoever was not there to punish it."""
FLOOR_PER_KW = 253
LEFT_OUT = (RandomWorld.change_channels, RandomWorld.mine)


def _with_coins(script: Script) -> Script:
    nodes = tuple([NodeLine(node.name, node.settings + SETTINGS) for node in script.nodes])
    return msgspec.structs.replace(script, nodes=nodes)


CHAIN_BASES: Mapping[str, Script] = {
    name: _with_coins(BASES[name]) for name in ("direct", "line", "double", "hold line")
}


class ChainWorld(RandomWorld):
    """See the module."""

    end = (
        Timed(cmd.Repair(), WHEN_IDLE),
        Timed(cmd.Fees(FLOOR_PER_KW, 1), AT_REST),
        Timed(cmd.Repair(), AT_REST),
        Timed(cmd.Resolve(), AT_REST),
        Timed(cmd.Probe(), AT_REST),
    )

    def __init__(self, seed: str, bases: Mapping[str, Script] = CHAIN_BASES) -> None:
        super().__init__(seed, bases)
        self.cheater = self.node()
        for node in self.world.nodes.values():
            for channel_id in node.manager.channels:
                # A deadline may close any of them.
                self.world.closes_asked.setdefault(channel_id, False)

    def table(self) -> Sequence[Drawn]:
        """See `RandomWorld`."""
        return CHAIN_DRAWS

    def amount_msat(self) -> int:
        """Draw an amount, dust among them."""
        return AMOUNTS_MSAT[self.draws.below(len(AMOUNTS_MSAT))] + self.draws.below(1000)

    def close(self) -> Command | None:
        """Draw a close: by force, cooperative, or of an old state."""
        name = self.node()
        node = self.world.nodes[name]
        channels = list(node.manager.channels) if node.is_up else []
        if not channels:
            return None
        channel_id = channels[self.draws.below(len(channels))]
        label = self.director.labels.of_channel(channel_id)
        kind = self.draws.below(6)
        if kind == 0:
            return cmd.Close(name, label)
        if kind == 1 and name == self.cheater:
            return cmd.Cheat(
                name, label, self.draws.below(1 + node.manager.channels[channel_id].state.core.local.number)
            )
        return cmd.ForceClose(name, label)

    def mine_some(self) -> Command | None:
        """Draw blocks, if nobody has too many to see."""
        count = 1 + self.draws.below(4)
        return cmd.Mine(count) if self._missed() + count <= AWAY_BLOCKS_MAX else None

    def reorganise(self) -> Command | None:
        """Draw a reorganisation, with or without what the blocks held; while somebody may be cheating, a short one."""
        if self.world.chain.tip.height <= REORG_BLOCKS_MAX + 10:
            return None
        depth = 1 + self.draws.below(AWAY_BLOCKS_MAX - 1 if self.world.operated else REORG_BLOCKS_MAX)
        without = self.draws.below(2) == 0
        if self.world.operated and self._missed() + depth + 1 > AWAY_BLOCKS_MAX:
            return None
        return cmd.Reorg(depth, without=without)

    def _missed(self) -> int:
        return max([node.blocks_behind() for node in self.world.nodes.values()])


CHAIN_DRAWS: tuple[tuple[int, Callable[[ChainWorld], Command | None]], ...] = (
    *[one for one in DRAWS if one[1] not in LEFT_OUT],
    (5, ChainWorld.close),
    (10, ChainWorld.mine_some),
    (3, ChainWorld.reorganise),
    (2, lambda world: cmd.Fees(FEERATES_PER_KW[world.draws.below(len(FEERATES_PER_KW))])),
    (2, lambda _world: cmd.Evict()),
    (2, lambda world: cmd.Drop(world.node(), ("on", "off")[world.draws.below(2)])),
)
