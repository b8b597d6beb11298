"""What a decision is (ADR 0001).

A state machine of Leyden is two functions: `decide(state, input, env) -> Decision` says what one input causes, and
`evolve(state, record)` is the only way durable state changes. `decide` does no IO and keeps no clock; what it may know
of the world comes in `env`.
"""

from typing import Generic, TypeVar

import msgspec

RecordT = TypeVar("RecordT")
FactT = TypeVar("FactT")
EffectT = TypeVar("EffectT")


class Decision(msgspec.Struct, Generic[RecordT, FactT, EffectT], frozen=True, gc=False):
    """What one input caused, in this order.

    records: at most one durable record of the channel's journal, folded by `evolve` first (invariant P2).
    facts: changes of the volatile session, which BOLT 2 forgets at a disconnection; applied after the records.
    effects: released only when every record that the journal held when this was decided is durable (invariant P1).
    """

    records: tuple[RecordT, ...] = ()
    facts: tuple[FactT, ...] = ()
    effects: tuple[EffectT, ...] = ()
