"""A signer that answers when the world says so."""

from leyden.sim.play import Play
from leyden.sim.script import parse_script

LATE = """# Late.
node alice signer=late
node bob signer=late
channel alice bob 1000000 500000000

pay alice bob 5000000 one
pay bob alice 5000000 two
@20 crash alice
"""


def test_signatures_are_actions_and_everything_works() -> None:
    """From the opening of the channel on, and over a crash."""
    play = Play(parse_script(LATE))
    play.run()
    assert len([line for line in play.world.trace if line.startswith("sign")]) > 5
    assert {type(shown.event).__name__ for shown in play.world.nodes["alice"].shown} == {
        "PaymentSent",
        "PaymentClaimed",
    }
