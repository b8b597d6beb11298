"""What a world notes of commitments in blocks: who has cheated, and what dust is nobody's."""

import pytest

from leyden.sim.oracles import Violation, check_rest
from leyden.sim.play import Play
from leyden.sim.script import parse_script

BASE = """# A close.
node alice to_self_delay=6 coins=100000
node bob to_self_delay=6 coins=100000
channel alice bob 1000000 500000000

"""
FEW_MSAT = 300_000


def played(*lines: str) -> Play:
    """Run to rest what came after the base, and judge it."""
    play = Play(parse_script(BASE + "\n".join(lines)))
    play.run()
    assert not play.director.skipped
    return play


def claimed(amount_msat: int, *, before: str = "claim bob") -> Play:
    """bob has claimed what alice cannot come to know of but from the chain, and alice closes."""
    return played(
        "app bob wait",
        f"pay alice bob {amount_msat} one deadline=5 hash=known",
        "@rest unlink alice bob",
        before,
        "@rest force-close alice alice-bob",
        "@rest mine 1",
        "@rest resolve",
    )


@pytest.mark.parametrize("amount_msat", [FEW_MSAT, 400_000])
def test_dust_may_be_claimed_and_fail_at_its_payer(amount_msat: int) -> None:
    """It has no output, or one that costs what it holds."""
    play = claimed(amount_msat)
    (order,) = play.director.orders
    assert play.world.dust_msat(order.started.payment_hash) >= amount_msat
    assert play.world.nodes["alice"].manager.node.ledger.payments[order.started.payment_id].failed


def test_what_is_no_dust_may_not() -> None:
    """Nothing of it is noted, and without a note the oracle says so."""
    play = claimed(50_000_000)
    assert not play.world.dust
    play = claimed(FEW_MSAT)
    play.world.dust.clear()
    with pytest.raises(Violation, match=r"bob claimed \[300000\], the payers say \[\]"):
        check_rest(play.world, play.books, play.director.orders)


def test_dust_of_a_commitment_that_was_undone_is_forgotten() -> None:
    """Another one may have an output of it."""
    lines = ["app bob wait", f"pay alice bob {FEW_MSAT} one deadline=5 hash=known", "@rest force-close alice alice-bob"]
    play = Play(parse_script(BASE + "\n".join([*lines, "@rest mine 1"])))
    play.carry_out(play.script.commands)
    assert len(play.world.dust) == 2, "both ends see it"
    play.carry_out(parse_script(BASE + "@rest reorg 1 without=true").commands)
    assert not play.world.dust


def test_operator_cheats_when_what_it_has_published_is_revoked_by_the_time_a_block_holds_it() -> None:
    """Not when it is published, and not when it is the latest."""
    play = played("cheat bob alice-bob 0", "@rest pay alice bob 50000000 two", "@rest mine 1", "@rest resolve")
    assert list(play.world.cheats.values()) == [("bob", "alice")]
    play = played("cheat bob alice-bob 0", "@rest mine 1", "@rest resolve")
    assert not play.world.cheats


def test_own_revoked_commitment_that_no_operator_has_published_cheats() -> None:
    """A node that publishes one of its own is at fault, and is judged like any other."""
    play = Play(parse_script(BASE + "cheat bob alice-bob 0\n@rest pay alice bob 50000000 two"))
    play.carry_out(play.script.commands)
    play.world.operated.clear()
    play.carry_out(parse_script(BASE + "@rest mine 1\n@rest resolve\n").commands)
    assert not play.world.cheats
    with pytest.raises(Violation, match="alice: reports"):
        check_rest(play.world, play.books, play.director.orders)
