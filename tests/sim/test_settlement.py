"""What is left on the chain when closed channels are settled."""

import msgspec

from leyden.sim import settlement
from leyden.sim.play import Play
from leyden.sim.script import parse_script
from leyden.sim.settlement import QUIET_BLOCKS, blocks_to_mine, check_settled, left_over, quiet_blocks

TEXT = """# A close.
node alice to_self_delay=6
node bob to_self_delay=6
channel alice bob 1000000 500000000

force-close alice alice-bob
"""


def closed(*lines: str) -> Play:
    """Return a world in which a channel was closed by force, and what came then."""
    play = Play(parse_script(TEXT + "\n".join(lines)))
    play.carry_out(play.script.commands)
    return play


def test_it_is_mined_until_every_closed_channel_is_archived() -> None:
    """One block while something waits, many when not, none at the end."""
    assert blocks_to_mine(closed().world) == 1
    assert blocks_to_mine(closed("@rest mine 1").world) == settlement.QUICK_BLOCKS
    world = closed("@rest resolve").world
    assert blocks_to_mine(world) == 0
    assert not any(node.manager.channels for node in world.nodes.values())
    assert not list(check_settled(world))
    assert not left_over(world)


def test_channel_that_is_never_archived_is_noticed() -> None:
    """When nothing has happened on the chain for as long as anything can take."""
    world = closed("@rest mine 1", "@rest mine 3").world
    for node in world.nodes.values():
        node.manager.is_started = False  # it decides nothing any more
    world.chain.mine(QUIET_BLOCKS, b"")
    assert quiet_blocks(world) == QUIET_BLOCKS
    assert blocks_to_mine(world) == 0
    assert sum("never archived" in line for line in check_settled(world)) == 2


def test_output_that_nobody_looks_at_is_noticed() -> None:
    """A channel that is forgotten too early leaves its money there; a small one may stay."""
    world = closed("@rest mine 1").world
    assert not list(check_settled(world))
    for node in world.nodes.values():
        for slot in list(node.manager.channels.values()):
            node.manager.remove_channel(slot)
    wrong = list(check_settled(world))
    assert wrong
    assert all("is nobody's" in line for line in wrong)
    world.nodes["alice"].manager.feerates = {1: 600_000}
    assert not list(check_settled(world))


def test_coin_that_the_wallet_has_and_the_chain_has_not_is_noticed() -> None:
    """And the other way round."""
    world = closed("@rest resolve").world
    coins = world.nodes["alice"].wallet.state.coins
    outpoint = next(one for one, coin in coins.items() if not coin.spent_height)
    coin = coins.pop(outpoint)
    assert [line[-13:] for line in check_settled(world)] == ["and not known"]
    coins[outpoint] = msgspec.structs.replace(coin, height=0)
    assert list(check_settled(world))
