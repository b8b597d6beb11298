"""What everybody owns, on the chain and in channels."""

from leyden.channel.inputs import ForceClose
from leyden.sim import user
from leyden.sim.books import Books, balance_msat, chain_msat
from leyden.sim.play import Play
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.script import parse_script
from tests.sim import topologies
from tests.sim.scenarios import pay


def test_closed_channel_is_counted_on_the_chain() -> None:
    """The closing fee is all that is gone, and no satoshi is counted twice on the way."""
    world = topologies.direct().copy()
    run_to_rest(world, Fair())
    before = {name: balance_msat(node) for name, node in world.nodes.items()}
    alice = world.nodes["alice"]
    user.close_channel(alice, next(iter(alice.manager.channels.values())))
    run_to_rest(world, Fair())
    for blocks in (1, 5):
        world.mine(blocks)
        run_to_rest(world, Fair())
        owned = {name: balance_msat(node) for name, node in world.nodes.items()}
        assert owned["bob"] == before["bob"]
        assert 0 < before["alice"] - owned["alice"] < 10_000_000
        assert sum(owned.values()) == chain_msat(world)


def test_forwarder_is_expected_to_have_earned_its_fee() -> None:
    """Its event says how much."""
    world = topologies.line().copy()
    run_to_rest(world, Fair())
    books = Books(world)
    order = pay(world, "alice", "carol")
    run_to_rest(world, Fair())
    expected = books.expected(world, [order])
    assert expected["bob"] - books.opened["bob"] == 6000
    assert sum(expected.values()) == sum(books.opened.values())


def test_what_miners_got_is_known_to_the_satoshi() -> None:
    """An owner may be poorer by that much and no more."""
    world = topologies.direct().copy()
    run_to_rest(world, Fair())
    books, alice = Books(world), world.nodes["alice"]
    assert books.fees_msat(world) == {"alice": 0, "bob": 0}
    user.close_channel(alice, next(iter(alice.manager.channels.values())))
    run_to_rest(world, Fair())
    world.mine()
    run_to_rest(world, Fair())
    assert books.fees_msat(world)["alice"] == books.opened["alice"] - balance_msat(alice)


def test_force_closed_channel_is_counted_by_what_its_commitment_pays() -> None:
    """The opener pays the fee and the anchors, which nobody is credited with."""
    world = topologies.direct().copy()
    run_to_rest(world, Fair())
    before = {name: balance_msat(node) for name, node in world.nodes.items()}
    bob = world.nodes["bob"]
    [slot] = bob.manager.channels.values()
    bob.run(lambda m: m.apply(slot, ForceClose("the user asked for it")))
    run_to_rest(world, Fair())
    world.mine()
    run_to_rest(world, Fair())
    owned = {name: balance_msat(node) for name, node in world.nodes.items()}
    assert owned["bob"] == before["bob"]
    assert 660_000 < before["alice"] - owned["alice"] < 5_000_000
    assert sum(owned.values()) == chain_msat(world)


def test_end_that_a_closing_transaction_does_not_pay_may_have_lost_what_is_no_output() -> None:
    """And nothing more, whatever the other one pays for the close."""
    text = "node alice\nnode bob\nchannel alice bob 1000000 200000\nclose bob alice-bob\n@rest mine 1\n"
    play = Play(parse_script(text))
    play.carry_out(play.script.commands)
    fees_msat, bob = play.books.fees_msat(play.world), play.world.nodes["bob"]
    assert play.books.opened["bob"] - balance_msat(bob) == 200_000
    assert fees_msat["bob"] == 354_000 < fees_msat["alice"]
