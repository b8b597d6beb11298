"""The witness must be able to see what rests on nothing, and the forms what is lost."""

from functools import partial

import pytest

from leyden.journal.records import Claim
from leyden.manager import claiming, handoff, outbox
from leyden.manager.manager import Manager
from leyden.manager.outbox import Line, Outbox, Release, Tail
from leyden.sim.oracles import Violation
from tests.hazards.forms import Form, Hazard, every_form, prefixes, run_in
from tests.hazards.stories import channel, pay, pay_two_parts
from tests.sim import topologies

DIRECT = Hazard(topologies.direct, partial(pay, "alice", "bob"), "bob", channel("bob", "alice"))
TWO_PARTS = Hazard(topologies.double, partial(pay_two_parts, "alice", "bob"), "bob", channel("bob", "alice"))
LATE = Form("L", "")


def test_messages_that_do_not_wait_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the output rule a crash takes back what the peer was told."""

    def drain(self: Outbox, line: Line) -> None:
        while line.entries and (line.entries[0].message or line.entries[0].dropped):
            line.ready.append(line.entries.popleft().message)
        self._touched[line.peer] = line

    monkeypatch.setattr(outbox.Outbox, "_drain", drain)
    with pytest.raises(AssertionError, match=r"sent .* durable"):
        run_in(LATE, DIRECT)


def test_effects_that_do_not_wait_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event, or an act on a fact, before the record behind it."""

    def at_once(self: Outbox, _tail: Tail, release: Release) -> None:
        self._free.append(release)

    monkeypatch.setattr(outbox.Outbox, "when_durable", at_once)
    with pytest.raises(AssertionError, match=r"before|was told"):
        run_in(LATE, DIRECT)


def test_claim_that_is_released_by_its_first_part_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The payer would have its proof while another part may still be lost (invariant P11)."""

    def first_is_enough(m: Manager, claim: Claim, _channel_id: bytes) -> None:
        if m.claim_blockers.pop(claim.claim_id, None) is not None:
            claiming._whole(m, claim)

    monkeypatch.setattr(claiming, "part_durable", first_is_enough)
    with pytest.raises(AssertionError, match=r"all parts|every part"):
        run_in(Form("R", ""), TWO_PARTS)


def test_what_a_crash_loses_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outcome that is forgotten before anybody has acted on it."""
    monkeypatch.setattr(handoff, "_act_on_forward", lambda _m, _slot, _outcome: None)
    monkeypatch.setattr(handoff, "_fulfil_inbound", lambda *_: False)
    hazard = Hazard(topologies.line, partial(pay, "alice", "carol"), "bob", channel("bob", "alice"))
    with pytest.raises(Violation):
        run_in(Form("N", "="), hazard)


def test_form_that_cannot_happen_is_no_form() -> None:
    """A crash that never comes would pass whatever the code does."""
    hazard = Hazard(topologies.direct, partial(pay, "alice", "bob"), "bob", lambda _: "nowhere")
    with pytest.raises(AssertionError, match="no crash of this form"):
        run_in(Form("N", "<"), hazard)


@pytest.mark.parametrize(
    ("restart", "kept"),
    [
        ("", []),
        ("=", [{"this": 2, "other": 1}]),
        ("<", [{"this": 0, "other": 1}, {"this": 1, "other": 1}]),
        (">", [{"this": 2}]),
    ],
)
def test_each_restart_keeps_what_it_says(restart: str, kept: list[dict[str, int]]) -> None:
    """Otherwise three names would stand for one thing."""
    assert list(prefixes(Form("N", restart), {"this": 2, "other": 1}, "this")) == kept


def test_every_form_is_all_of_them() -> None:
    """Three ways to answer, each without a restart and with three kinds of it."""
    [forms] = [argument for argument in every_form.mark.args if isinstance(argument, list)]
    assert len({(form.store, form.restart) for form in forms}) == 12
