"""Rules, and what becomes of a store that raises instead of answering."""

import asyncio

import pytest

from leyden.sim.store_contract.life import begin
from leyden.sim.store_contract.maker import StoreMaker
from leyden.sim.store_contract.rule import ContractBroken, NotTried, require, rule, run_rule
from tests.sim.store_contract.faulty import FaultyStore, Place


class _Closing(Place):
    closed = 0

    def close(self) -> None:
        self.closed += 1


@rule("H01", "H02", advice="do better")
async def something_holds(_maker: StoreMaker) -> None:
    """It holds.

    Not part of the promise.
    """
    require(False, "it does not hold")


@rule(advice="raise nothing")
async def raises(_maker: StoreMaker) -> None:
    """Nothing is raised."""
    raise KeyError("x")


@rule(advice="raise nothing")
async def raises_in_the_loop(_maker: StoreMaker) -> None:
    """Nothing is raised in a callback."""
    asyncio.get_running_loop().call_soon(dict[str, str]().__getitem__, "x")
    await asyncio.sleep(0.001)


@rule(advice="nothing")
async def cannot_be_tried(_maker: StoreMaker) -> None:
    """Whatever."""
    raise NotTried("no disk")


def test_rule_has_a_name_a_promise_and_hazards() -> None:
    """They are the documentation of the contract."""
    assert str(something_holds) == "something_holds"
    assert something_holds.promise == "It holds."
    assert something_holds.hazards == ("H01", "H02")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (something_holds, "something_holds: it does not hold. What to do: do better"),
        (raises, "raises: the store raised KeyError: 'x'. What to do: raise nothing"),
        (raises_in_the_loop, "something of the store raised in the event loop: 'x'"),
    ],
)
async def test_failure_says_which_rule_and_what_to_do(broken: object, words: str) -> None:
    """A user who sees only this line must be able to begin."""
    place = _Closing()
    with pytest.raises(ContractBroken) as raised:
        await run_rule(broken, place)  # type: ignore[arg-type]
    assert words in str(raised.value)
    assert place.closed == 1


async def test_what_cannot_be_tried_is_no_failure() -> None:
    """And the place is given back all the same."""
    place = _Closing()
    with pytest.raises(NotTried, match="no disk"):
        await run_rule(cannot_be_tried, place)
    assert place.closed == 1


@rule(advice="nothing")
async def opens_and_fails(maker: StoreMaker) -> None:
    """Nothing holds."""
    await begin(maker)
    await (await begin(maker)).end()
    require(False, "it does not hold")


async def test_rule_that_fails_leaves_no_store_open() -> None:
    """What it left would write on, under the feet of the next rule."""
    place = _Closing()
    closed: list[FaultyStore] = []

    class _Noting(FaultyStore):
        async def close(self) -> None:
            closed.append(self)

    place.store = lambda: _Noting(place)  # type: ignore[method-assign]
    with pytest.raises(ContractBroken):
        await run_rule(opens_and_fails, place)
    assert len({id(one) for one in closed}) == len(closed) == 2
