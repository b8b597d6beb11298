"""Tells what happens in a run, moment by moment, for people: messages by name, records by name, crashes, events."""

from itertools import islice
from typing import NamedTuple

from leyden.base.errors import DecodeError
from leyden.base.ids import NODE_JOURNAL
from leyden.journal.codec import decode_record
from leyden.journal.node_codec import decode_node_record
from leyden.manager.events import Event
from leyden.sim import commands as cmd
from leyden.sim.commands import Timed, format_command
from leyden.sim.labels import Labels
from leyden.sim.node import SimNode
from leyden.sim.world import Action, World
from leyden.wire.messages import decode


class Moment(NamedTuple):
    """Something that happened.

    kind: that of an `Action`, or `command`, `tell` (an event is shown), `publish`, `report`. node: where. other: the
    peer, or the label of a journal. text: what.
    """

    step: int
    kind: str
    node: str
    other: str
    text: str

    def line(self) -> str:
        """Return it in one line."""
        match self.kind:
            case "deliver":
                what = f"{self.other} > {self.node}: {self.text}"
            case "commit":
                what = f"{self.node} keeps {self.other}: {self.text}"
            case "connect":
                what = f"{self.node} connects to {self.other}"
            case "command":
                what = f"! {self.text}"
            case _:
                what = f"{self.node} {self.text}".strip()
        return f"{self.step:4} {what}"


class Narrator:
    """Watches a world from now on. moments: what has happened since."""

    def __init__(self, world: World, labels: Labels) -> None:
        self.moments: list[Moment] = []
        self._world = world
        self._labels = labels
        self._first = world.steps
        self._shown = {name: len(node.shown) for name, node in world.nodes.items()}
        self._reports = {name: len(node.reports) for name, node in world.nodes.items()}
        self._broadcasts = len(world.broadcasts)
        self._durable = {name: _durable(node) for name, node in world.nodes.items()}
        self._arriving = ""

    def lines(self) -> list[str]:
        """Return all that has happened, a line each."""
        return [moment.line() for moment in self.moments]

    def before(self, action: Action) -> None:
        """See `Observer`."""
        if action.kind == "deliver":
            end = self._world.end_of(action.node, action.subject)
            self._arriving = ", ".join([_message(raw) for raw in islice(end.arrived, self._world.deliver_count)])

    def after(self, action: Action) -> None:
        """See `Observer`."""
        match action.kind:
            case "deliver":
                self._add("deliver", action.node, action.subject, self._arriving)
            case "commit":
                self._add_kept(action.node, action.subject)
            case "connect":
                self._add("connect", action.node, action.subject, "")
            case "block":
                self._add("block", action.node, "", f"sees block {self._world.nodes[action.node].best.height}")
            case "mempool":
                self._add("mempool", action.node, "", "looks into the mempool")
            case "sign":
                self._add("sign", action.node, "", "gets a signature")
            case _:
                self._add("command", "", "", action.subject)
                self._durable = {name: _durable(node) for name, node in self._world.nodes.items()}
        self._add_consequences()

    def command(self, timed: Timed) -> None:
        """A command of the scenario comes next."""
        command = timed.command
        if isinstance(command, cmd.Do):
            return
        text = format_command(Timed(command))
        if isinstance(command, cmd.Crash | cmd.Kill) and self._world.nodes[command.node].is_up:
            waiting = self._world.nodes[command.node].disk.under_way()
            lost = [
                f"{self._labels.of_journal(journal)} {count - command.kept.get(self._labels.of_journal(journal), 0)}"
                for journal, count in waiting.items()
            ]
            text += f" (lost: {', '.join(lost) or 'nothing'})"
        self._add("command", getattr(command, "node", ""), "", text)

    def settled(self) -> None:
        """A command was carried out."""
        self._durable = {name: _durable(node) for name, node in self._world.nodes.items()}
        self._add_consequences()

    def _add(self, kind: str, node: str, other: str, text: str) -> None:
        self.moments.append(Moment(self._world.steps - self._first, kind, node, other, text))

    def _add_kept(self, name: str, journal: str) -> None:
        before = self._durable[name].get(journal, 0)
        self._durable[name] = _durable(self._world.nodes[name])
        stored = {one.journal: one for one in self._world.nodes[name].disk.journals()}.get(journal)
        label = self._labels.of_journal(journal)
        if stored is None:
            self._add("commit", name, label, "nothing more, it is dropped")
            return
        kinds = [_record(journal, raw) for raw in stored.records[max(0, before - stored.position) :]]
        self._add("commit", name, label, ", ".join(kinds) or "a snapshot")

    def _add_consequences(self) -> None:
        for name, node in self._world.nodes.items():
            for shown in node.shown[self._shown[name] :]:
                self._add("tell", name, "", f"tells {_event(shown.event)}")
            self._shown[name] = len(node.shown)
            for report in node.reports[self._reports[name] :]:
                if report.level != "info":
                    self._add("report", name, "", f"reports: {report.text}")
            self._reports[name] = len(node.reports)
        for _, what in self._world.broadcasts[self._broadcasts :]:
            self._add("publish", "", "", f"published: {what}")
        self._broadcasts = len(self._world.broadcasts)


def _durable(node: SimNode) -> dict[str, int]:
    return {stored.journal: stored.position + len(stored.records) for stored in node.disk.journals()}


def _message(raw: bytes | None) -> str:
    if raw is None:
        return "end of the connection"
    try:
        message = decode(raw)
    except DecodeError:
        return f"message of type {int.from_bytes(raw[:2], 'big')}"
    htlc_id = getattr(message, "htlc_id", getattr(message, "id", None))
    name = _snake(type(message).__name__)
    return name if htlc_id is None else f"{name} {htlc_id}"


def _record(journal: str, raw: bytes) -> str:
    record = decode_node_record(raw) if journal == NODE_JOURNAL else decode_record(raw)
    return type(record).__name__


def _event(event: Event) -> str:
    amount = getattr(event, "amount_msat", None)
    reason = getattr(event, "reason", "")
    name = type(event).__name__
    return " ".join([name, *([f"{amount} msat"] if amount is not None else []), *([f"({reason})"] if reason else [])])


def _snake(name: str) -> str:
    return "".join(["_" + letter.lower() if letter.isupper() else letter for letter in name]).lstrip("_")
