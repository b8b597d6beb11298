"""Random worlds that end on the chain: the default tests run a hundred and sixty, `make explore` five thousand."""

import pytest

from leyden.sim import commands as cmd
from leyden.sim.chain_world import AWAY_BLOCKS_MAX, CHAIN_DRAWS, SETTINGS, ChainWorld
from leyden.sim.play import Play
from leyden.sim.random_world import DRAWS, RandomWorld

SEEDS = 160
GROUP = 20


@pytest.mark.parametrize("first", range(0, SEEDS, GROUP))
def test_whatever_ends_a_channel_nobody_honest_loses(first: int) -> None:
    """Closes, cheats, reorganisations, fees, evictions, crashes, slow stores, all at once."""
    for seed in range(first, first + GROUP):
        ChainWorld(f"c{seed}").run()


def test_what_is_drawn_replays_without_its_seed() -> None:
    """A violation is a scenario that anybody can run."""
    world = ChainWorld("c7")
    world.run()
    again = Play(world.script())
    again.run()
    assert again.world.trace[-50:] == world.world.trace[-50:]


def test_everything_else_is_drawn_too() -> None:
    """Only openings, and blocks in small numbers, are left out."""
    kept = [draw for _, draw in CHAIN_DRAWS]
    left_out = [draw for _, draw in DRAWS if draw not in kept]
    assert left_out == [RandomWorld.mine, RandomWorld.change_channels]


def test_nobody_misses_so_many_blocks_that_a_cheater_wins() -> None:
    """Nothing but a watchtower helps whoever is away for longer than the delay."""
    world = ChainWorld("c7")
    world.world.crash("bob")
    world.world.operated[bytes(32)] = "alice"
    for _ in range(100):
        for command in (world.mine_some(), world.reorganise()):
            if command is not None:
                world.director.perform(command)
    missed = world.world.nodes["bob"].blocks_behind()
    assert missed == AWAY_BLOCKS_MAX < int(dict(SETTINGS)["to_self_delay"])
    world.world.operated.clear()
    world.world.mine(20)
    depths = [command.depth for command in [world.reorganise() for _ in range(100)] if isinstance(command, cmd.Reorg)]
    assert max(depths) > AWAY_BLOCKS_MAX
