"""Mutants of channels that are closed and still have something to say; and which mutant lets which hazard happen."""

from typing import Any, Final

import msgspec

from leyden.base.transition import Decision
from tests.mutants.mutant import Hit, mutant

CLOSED = "tests.hazards.test_closed_channels:"


def _refuses(_original: Any, hit: Hit) -> Any:
    def decide_htlcs(_state: Any, _event: Any, _env: Any) -> Any:
        hit()
        return Decision((), (), ())

    return decide_htlcs


def _at_the_next_record(original: Any, hit: Hit) -> Any:
    """What waits for a journal runs when any record of it becomes durable."""

    def when_durable(self: Any, tail: Any, release: Any) -> None:
        if tail.durable + 1 < tail.position:
            hit()
            tail.waiting.append((tail.durable + 1, release))
        else:
            original(self, tail, release)

    return when_durable


def _though_records_wait(original: Any, hit: Hit) -> Any:
    def may_go(m: Any, slot: Any) -> Any:
        durable = slot.tail.durable
        slot.tail.durable = slot.tail.position
        found = original(m, slot)
        slot.tail.durable = durable
        if found and durable < slot.tail.position:
            hit()
        return found

    return may_go


def _waits_for_the_archived(original: Any, hit: Hit) -> Any:
    """An outcome whose inbound channel is unknown is kept, as if that came back."""

    def acknowledge_later(m: Any, slot: Any, by_channel: Any) -> None:
        if any(channel_id not in m.channels for channel_id in by_channel):
            hit()
        original(m, slot, {one: found for one, found in by_channel.items() if one in m.channels})

    return acknowledge_later


def _waits_for_ever(original: Any, hit: Hit) -> Any:
    """A funding that never comes keeps its channel."""

    def on_height(m: Any, slot: Any, height: int) -> None:
        config = m.config
        if (
            slot.state.core.funding is None
            and height - slot.state.core.opened.birth_height >= config.funding_timeout_blocks
        ):
            hit()
        m.config = msgspec.structs.replace(config, funding_timeout_blocks=1 << 30)
        original(m, slot, height)
        m.config = config

    return on_height


MUTANTS = (
    mutant(
        "decisions of closed channels are not taken",
        "channel.dispatch:_HANDLERS[Closed][DecideHtlcs]",
        _refuses,
        why="a preimage that comes after the close is lost",
        guards="P5; DESIGN 1 Promises",
        scenarios=(f"{CLOSED}test_channel_is_there_while_its_records_are_under_way[kept=1]",),
    ),
    mutant(
        "effects wait for the next record of their journal",
        "manager.outbox:Outbox.when_durable",
        _at_the_next_record,
        why="with two records under way the second one's effects leave with the first",
        guards="P1",
        scenarios=(f"{CLOSED}test_records_of_a_closed_channel_are_numbered_and_waited_for_one_by_one",),
    ),
    mutant(
        "journal dropped while records of it are under way",
        "manager.archive:may_go",
        _though_records_wait,
        why="what the store holds back is thrown away with the channel",
        guards="P26",
        scenarios=("tests.manager.test_archive:test_records_under_way_and_a_halt_keep_it",),
    ),
    mutant(
        "outcome for an archived channel is kept",
        "manager.handoff:_acknowledge_later",
        _waits_for_the_archived,
        why="its own journal stays for ever",
        guards="P9",
        scenarios=("tests.hazards.test_startup:test_outcome_for_an_archived_channel_is_done[what='claim']",),
    ),
    mutant(
        "funding that never comes is waited for",
        "manager.chain:_on_height",
        _waits_for_ever,
        why="strangers fill memory and disk with channels that cost them nothing",
        guards="DESIGN 4 Birth",
        scenarios=("tests.hazards.test_openings:test_channel_that_never_confirms_is_forgotten_by_rule",),
    ),
)

HAZARDS: Final = {
    "H34": ("failure wins over a preimage", "chain fails what was fulfilled"),
    "H35": ("own unsigned adds are offered again by nobody",),
    "H36": ("failed upstream with the first block", "signature taken back that may have left"),
    "H37": ("decisions of closed channels are not taken", "decided preimage is not used on the chain"),
    "H59": ("own commitment published before Closing is durable", "own commitment published without Closing"),
    "H72": ("proof of lost data is not recorded", "stale channel closes"),
    "H76": ("preimage of the chain is told in one life alone",),
    "H77": ("decisions of closed channels are not taken",),
    "H78": ("effects wait for the next record of their journal",),
    "H79": ("effects wait for the next record of their journal",),
    "H80": ("journal dropped while records of it are under way",),
    "H81": ("outcome forgotten before the inbound journal has acted", "outcome forgotten before node has acted"),
    "H82": ("journal dropped while an outcome of it waits", "journal dropped while another one names it"),
    "H83": ("journal dropped before node says that it is archived",),
    "H84": ("best block noted before what it brought", "spend of an output is recorded again"),
    "H85": ("events of channels are told in one life alone",),
    "H87": ("what was spent is claimed again", "spend of an output is recorded again"),
    "H88": ("claims go on without the fence", "own commitment published without Closing"),
    "H89": ("claim stays whole though an input of it was taken",),
    "H90": ("preimage on the chain fulfils all HTLCs of its hash", "claims on the chain take HTLCs by hash"),
    "H91": ("outcome for an archived channel is kept",),
    "H92": ("funding that never comes is waited for",),
}
"""The hazards of closes and of the chain, and the mutants that let them happen. None for H86: the close is a record of
the journal that its consequences are written to, so nothing could be taken out.
"""
