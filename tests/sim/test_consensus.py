"""What simulated nodes publish is valid, says Bitcoin Core's consensus code."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from leyden.bitcoin.tx import Transaction
from leyden.sim.consensus import Consensus, InvalidTransaction
from leyden.sim.play import Play
from leyden.sim.random_world import RandomWorld
from leyden.sim.script import load_script, parse_script
from tests.sim.test_scenarios import FILES

CLOSE = """# A close.
channel alice bob 1000000 500000000

open bob alice 200000
close alice alice-bob
"""
RANDOM_WORLDS = 60


@pytest.fixture(scope="module")
def consensus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consensus]:
    """One for all."""
    found = Consensus(tmp_path_factory.mktemp("kernel") / "chain")
    yield found
    found.close()


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_transaction_of_a_scenario_is_valid(path: Path, consensus: Consensus) -> None:
    """Fundings, closes, commitments."""
    play = Play(load_script(path))
    play.world.validate = consensus
    play.run()


def test_transactions_of_random_worlds_are_valid(consensus: Consensus) -> None:
    """And there are many."""
    before = consensus.valid
    for number in range(RANDOM_WORLDS):
        world = RandomWorld(str(number))
        world.world.validate = consensus
        world.run()
    assert consensus.valid - before >= RANDOM_WORLDS // 2


def test_transaction_that_is_not_valid_is_noticed(consensus: Consensus) -> None:
    """A signature of something else, and money from nowhere."""
    play = Play(parse_script(CLOSE + "@rest mine 6\n"))
    seen: list[Transaction] = []
    play.world.validate = lambda _chain, transaction: seen.append(transaction)
    chain = play.world.chain.copy()
    play.run()
    close = next(one for one in seen if one.inputs[0].witness and len(one.inputs[0].witness) == 4)
    known = consensus.valid
    consensus(chain, close)
    assert consensus.valid == known + 1
    less = msgspec.structs.replace(close.outputs[0], value_sat=close.outputs[0].value_sat - 1)
    with pytest.raises(InvalidTransaction, match="the script of input 0 fails"):
        consensus(chain, msgspec.structs.replace(close, outputs=(less, *close.outputs[1:])))
    more = msgspec.structs.replace(close.outputs[0], value_sat=10_000_000)
    with pytest.raises(InvalidTransaction, match="pays out more than it takes in"):
        consensus(chain, msgspec.structs.replace(close, outputs=(more,)))


def test_transaction_whose_coins_are_gone_is_left_to_the_mempool(consensus: Consensus) -> None:
    """It cannot be judged, and is not taken."""
    play = Play(parse_script(CLOSE + "@rest mine 6\n"))
    seen: list[Transaction] = []
    play.world.validate = lambda _chain, transaction: seen.append(transaction)
    play.run()
    known = consensus.valid
    consensus(play.world.chain, msgspec.structs.replace(seen[0], locktime=7))
    assert consensus.valid == known
