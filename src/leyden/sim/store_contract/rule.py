"""A rule of the contract: a promise with a name, a check of it, and what to do when it is broken."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from enum import Enum
from typing import Any, NoReturn, TypeAlias

import msgspec

from leyden.ports.store import Store
from leyden.sim.store_contract.maker import StoreMaker

Check: TypeAlias = Callable[[StoreMaker], Awaitable[None]]

open_stores: ContextVar[list[Store]] = ContextVar("open_stores")
"""Stores that the rule which runs here has opened and not closed."""


class ContractBroken(AssertionError):
    """A store does not keep a promise. what: what was seen and where; advice: what to do."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.rule = ""
        self.advice = ""

    def __str__(self) -> str:
        """Name the rule, what was seen, and what to do."""
        return f"{self.rule}: {self.what}. What to do: {self.advice}" if self.rule else self.what


class NotTried(Exception):
    """The place cannot do what the rule needs; its text says what would have to be written."""


class Rule(msgspec.Struct, frozen=True):
    """One promise. promise: one sentence; advice: what to do; hazards: numbers of docs/hazards.md."""

    name: str
    promise: str
    advice: str
    hazards: tuple[str, ...]
    check: Check

    def __str__(self) -> str:
        """Return the name, as a test's id."""
        return self.name


class Verdict(Enum):
    """What a rule found."""

    KEPT = "kept"
    BROKEN = "BROKEN"
    NOT_TRIED = "not tried"


class Outcome(msgspec.Struct, frozen=True):
    """What became of one rule; `why` is empty when it was kept."""

    rule: Rule
    verdict: Verdict
    why: str = ""

    def __str__(self) -> str:
        """Return a line for a person."""
        return f"{self.verdict.value:9}  {self.rule.name}" + (f"\n           {self.why}" if self.why else "")


def rule(*hazards: str, advice: str) -> Callable[[Check], Rule]:
    """Make a rule of a coroutine function: its name is the rule's, the first line of its docstring the promise."""

    def make(check: Check) -> Rule:
        lines = (check.__doc__ or "").strip().splitlines()
        return Rule(check.__name__, lines[0], advice, hazards, check)

    return make


def broken(what: str) -> NoReturn:
    """Say that a promise is broken."""
    raise ContractBroken(what)


def require(kept: object, what: str) -> None:
    """Say `what` is broken unless `kept` is true."""
    if not kept:
        broken(what)


async def run_rule(one: Rule, maker: StoreMaker) -> None:
    """Try a rule on a place with nothing on it.

    Raises: ContractBroken when the store does not keep it, whatever the store raised; NotTried when the place cannot do
    what the rule needs.
    """
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    raised: list[str] = []

    def note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        raised.append(str(context.get("exception") or context.get("message")))

    loop.set_exception_handler(note)
    opened: list[Store] = []
    open_stores.set(opened)
    try:
        await one.check(maker)
        if raised:
            broken(f"something of the store raised in the event loop: {raised[0]}")
    except ContractBroken as failure:
        failure.rule, failure.advice = one.name, one.advice
        if raised:
            failure.what += f" (the event loop saw: {raised[0]})"
        raise
    except NotTried:
        raise
    except Exception as error:  # whatever it is, the store owes better
        raised_inside = ContractBroken(f"the store raised {type(error).__name__}: {error}")
        raised_inside.rule, raised_inside.advice = one.name, one.advice
        raise raised_inside from error
    finally:
        for store in opened:
            # Only a rule that failed leaves one: it must not write on while the next rule is tried.
            with suppress(Exception):
                await asyncio.wait_for(store.close(), maker.answer_seconds)
        loop.set_exception_handler(before)
        maker.close()
