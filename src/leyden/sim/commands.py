"""What users of a simulated world do and what happens to it, as values with one line of text each.

A line is a verb, the fields that have no default in their order, and the others as `name=value`:

    pay alice bob 50000000 one parts=2
    @12 crash bob alice-bob=0 node=1

`@12`: after 12 steps of the run. Without it as soon as its nodes are up, in the order of the lines; with `@idle` only
when nothing else can happen before the clock moves, with `@rest` only when the clock would change nothing either.
"""

import re
from typing import Any

import msgspec

FEE_LIMIT_MSAT = 100_000
DEADLINE_SECONDS = 30
PARTS_MAX = 8
IN_TURN, WHEN_IDLE, AT_REST = -1, -2, -3
_WHENS = {"@idle": WHEN_IDLE, "@rest": AT_REST}


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all commands; its verb is the name of its class in lower case, with hyphens."""


class Pay(Command, frozen=True):
    """Pay an invoice that the payee makes, or the same payment again when `name` is known.

    name: of the payment, its payment_id follows from it. hash: the invoice has the hash of this name, and only the
    payee's user knows the preimage (`unknown`: nobody does); empty: the payee's node makes hash and preimage.
    """

    payer: str
    payee: str
    amount_msat: int
    name: str
    parts: int = PARTS_MAX
    fee: int = FEE_LIMIT_MSAT
    deadline: int = DEADLINE_SECONDS
    keysend: bool = False
    hash: str = ""
    expiry: int = 3600


class Claim(Command, frozen=True):
    """Claim the payments that the user of `node` is asked about, the oldest `first` ones, or all."""

    node: str
    first: int = 0


class Refuse(Command, frozen=True):
    """Fail the payments that the user of `node` is asked about, the oldest `first` ones, or all."""

    node: str
    first: int = 0


class Abandon(Command, frozen=True):
    """Give up a payment by its name."""

    node: str
    name: str


class App(Command, frozen=True):
    """Say how the user of `node` answers from now on: `claim`, `fail`, `wait`. slow: seconds before each event is
    handled. acks: whether it acknowledges. fails: how many events its handler fails at first.
    """

    node: str
    answer: str
    acks: bool = True
    slow: int = 0
    fails: int = 0


class Ack(Command, frozen=True):
    """Acknowledge every event that was shown to the user of `node`."""

    node: str


class Open(Command, frozen=True):
    """Open a channel; it is ready after six blocks."""

    node: str
    peer: str
    funding_sat: int
    push_msat: int = 0


class OpenBatch(Command, frozen=True):
    """Open channels that one transaction funds. channels: `bob:300000`, peer and satoshis, as many as wanted."""

    node: str
    channels: tuple[str, ...]


class Close(Command, frozen=True):
    """Close a channel cooperatively."""

    node: str
    channel: str


class ForceClose(Command, frozen=True):
    """Publish our commitment."""

    node: str
    channel: str


class Cheat(Command, frozen=True):
    """The operator of `node` publishes its own commitment `number` of a channel, revoked or not (`sim.cheating`)."""

    node: str
    channel: str
    number: int


class Fees(Command, frozen=True):
    """All fees change: every node hears of it. minimum: what the mempool takes and keeps, half of it when 0."""

    feerate_per_kw: int
    minimum: int = 0


class Evict(Command, frozen=True):
    """The mempool loses all that waits there."""


class Drop(Command, frozen=True):
    """Miners take nothing that `node` publishes from now on (`on`), or everything again (`off`)."""

    node: str
    switch: str


class Feerate(Command, frozen=True):
    """Tell a node a new feerate."""

    node: str
    feerate_per_kw: int


class Mine(Command, frozen=True):
    """Mine blocks. quick: a node sees all of them in one step."""

    count: int
    quick: bool = False


class Resolve(Command, frozen=True):
    """Mine, one block after the other while something waits for one, until every closed channel is archived."""


class MayClose(Command, frozen=True):
    """From now on a channel may be closed by force, as when a deadline passes; it need not."""

    channel: str


class Reorg(Command, frozen=True):
    """Replace the last blocks by one more. without: their transactions wait in the mempool, if they may."""

    depth: int
    without: bool = False


class Tick(Command, frozen=True):
    """Move the clock."""

    seconds: int


class Snapshot(Command, frozen=True):
    """Compact a journal."""

    node: str
    journal: str


class Crash(Command, frozen=True):
    """Kill a node and start it again. kept: how many of the records under way each journal keeps (0 if not named)."""

    node: str
    kept: dict[str, int] = {}


class Kill(Command, frozen=True):
    """Kill a node; it stays down."""

    node: str
    kept: dict[str, int] = {}


class Start(Command, frozen=True):
    """Start a node again. sync: it follows the chain at once, not when the schedule says so."""

    node: str
    sync: bool = True


class Backup(Command, frozen=True):
    """Put aside what is durable of a node now."""

    node: str


class Restore(Command, frozen=True):
    """Kill a node and start it from what was put aside. mark: the second place (`drivers/markfile.py`) is as old."""

    node: str
    mark: bool = False


class Cut(Command, frozen=True):
    """Lose a connection."""

    one: str
    other: str


class Unlink(Command, frozen=True):
    """Lose a connection, and connect no more."""

    one: str
    other: str


class Link(Command, frozen=True):
    """Let two nodes connect again."""

    one: str
    other: str


class Stall(Command, frozen=True):
    """Messages between two nodes stay on their way until the connection is lost, and are lost with it.

    after: so many still arrive, in each direction.
    """

    one: str
    other: str
    after: int = 0


class Hold(Command, frozen=True):
    """From now on nothing of a journal becomes durable."""

    node: str
    journal: str


class Release(Command, frozen=True):
    """Let every journal of a node become durable again."""

    node: str


class StoreFails(Command, frozen=True):
    """The store refuses what it has under way, of one journal or all: `unavailable` (for now), `broken` (for good),
    `fenced`.
    """

    node: str
    how: str
    journal: str = ""


class Do(Command, frozen=True):
    """Let this action happen now, if it can, and not what the schedule would choose.

    kind, node, subject: as in `Action`, `-` for none and for an act. messages: how many are delivered in one read, 0
    for all.
    """

    kind: str
    node: str
    subject: str
    messages: int = 0


class Repair(Command, frozen=True):
    """Everything works again: nodes are up, links and stores work, users answer (what they are asked, they refuse)."""


class Probe(Command, frozen=True):
    """Send a payment through every channel, in both directions where there is money; all must arrive."""


class Timed(msgspec.Struct, frozen=True):
    """A command, and the number of steps after which it comes, or IN_TURN, WHEN_IDLE, AT_REST."""

    command: Command
    step: int = IN_TURN


class BadLine(ValueError):
    """A line that is no command. The text says what is wrong with it."""


def verb_of(kind: type[Command]) -> str:
    """Return the verb of a kind of command: ForceClose is `force-close`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


VERBS: dict[str, type[Command]] = {verb_of(kind): kind for kind in Command.__subclasses__()}
_LABEL = re.compile(r"[A-Za-z][\w.-]*")


def parse_command(text: str) -> Timed:
    """Return the command of a line. Raises: BadLine."""
    words = text.split()
    step = IN_TURN
    if words and words[0].startswith("@"):
        at = words.pop(0)
        if at not in _WHENS and not at[1:].isdigit():
            raise BadLine(f"'{at}' is no step: write @ and a number, @idle or @rest")
        step = _WHENS[at] if at in _WHENS else int(at[1:])
    if not words:
        raise BadLine("a command is missing")
    kind = VERBS.get(words[0])
    if kind is None:
        raise BadLine(f"'{words[0]}' is no command; known are {', '.join(sorted(VERBS))}")
    return Timed(_build(kind, words[0], words[1:]), step)


def _build(kind: type[Command], verb: str, words: list[str]) -> Command:
    fields = msgspec.structs.fields(kind)
    positional = [field.name for field in fields if field.required]
    optional = [field.name for field in fields if not field.required and field.name != "kept"]
    keeps = "kept" in kind.__struct_fields__
    given: dict[str, Any] = {}
    if "channels" in positional:
        # The last field takes all words that are left.
        words, given["channels"] = words[: len(positional) - 1], words[len(positional) - 1 :]
        positional.remove("channels")
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            if not positional:
                raise BadLine(f"{verb}: '{word}' is too much; what has a default is written name=value")
            given[positional.pop(0)] = word
        elif name in optional:
            given[name] = value
        elif keeps and value.isdigit() and _LABEL.fullmatch(name):
            given.setdefault("kept", {})[name] = int(value)
        else:
            raise BadLine(f"{verb}: there is no '{name}' in '{word}'")
    missing = [name for name in positional if name not in given] + [name for name in given if not given[name]]
    if missing:
        raise BadLine(f"{verb}: {', '.join(missing)} is missing")
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadLine(f"{verb}: {error}") from None


def format_command(timed: Timed) -> str:
    """Return the line of a command; `parse_command` gives it back."""
    command = timed.command
    words = [verb_of(type(command))]
    options: list[str] = []
    for field in msgspec.structs.fields(command):
        value = getattr(command, field.name)
        if field.name == "channels":
            words += value
        elif field.required:
            words.append(_format(value))
        elif field.name == "kept":
            options += [f"{name}={count}" for name, count in value.items()]
        elif value != field.default:
            options.append(f"{field.name}={_format(value)}")
    return " ".join(_format_step(timed.step) + words + options)


def _format_step(step: int) -> list[str]:
    if step == IN_TURN:
        return []
    return [f"@{step}"] if step >= 0 else [at for at, when in _WHENS.items() if when == step]


def _format(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
