"""Scenario files: a world, what users do in it, what goes wrong, and what a run of it looks like.

    # A title.
    # More about it.

    proves 1 P11           the lines of the assurance table that it stands for
    explore tiered 2       how it is explored (`explore.Tier`), and how many crashes, one in the recovery of the other
    schedule fair
    node bob auto_claim=false
    channel alice bob 1000000 500000000

    pay alice bob 50000000 one
    @12 crash bob alice-bob=0 node=1
    ----
    what the run told when it was last looked at

The file is also what a violation is reported as, in one word: `token_of`.
"""

import base64
import binascii
import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec

from leyden.bitcoin.networks import REGTEST
from leyden.manager.config import ManagerConfig
from leyden.sim import user
from leyden.sim.commands import BadLine, Timed, format_command, parse_command
from leyden.sim.explore import Tier
from leyden.sim.schedules import STORE_FIRST, STORE_LAST, Drawn, Draws, Fair, Last, Newest, run_to_rest
from leyden.sim.world import Schedule, World

SCHEDULES: Mapping[str, Callable[[], Schedule]] = {
    "fair": Fair,
    "slow-store": partial(Last, "commit"),
    "slow-links": partial(Last, "deliver"),
    "newest": Newest,
    "store-first": lambda: STORE_FIRST,
    "store-last": lambda: STORE_LAST,
    "drawn": lambda: Drawn(Draws(b"drawn")),
}
TIERS = (*[tier.value for tier in Tier], "once")
"""How a scenario is explored; `once`: not at all, it is a run that was found."""
KINDS = {"anchors": user.ANCHORS, "static": user.STATIC_REMOTEKEY}
"""Channel types, by the last word of a channel's line."""
COINS = 4
"""What `coins=` gives a node comes in so many."""
GRANT_FACTOR = 3
BLOCKS_TO_READY = 6
SEPARATOR = "----"
TOKEN_LENGTH_MAX = 1 << 20


class BadScript(ValueError):
    """Text that is no scenario. The message names the line and what is wrong with it."""


class NodeLine(msgspec.Struct, frozen=True):
    """A node. settings: fields of `ManagerConfig` and its `ChannelLimits`, `signer=late`, and `coins=` (sat)."""

    name: str
    settings: tuple[tuple[str, str], ...] = ()


class ChannelLine(msgspec.Struct, frozen=True):
    """A channel that is open and ready when the run begins. kind: see `KINDS`."""

    one: str
    other: str
    funding_sat: int
    push_msat: int
    kind: str = "anchors"


class Script(msgspec.Struct, frozen=True):
    """One scenario; see the module."""

    title: str
    nodes: tuple[NodeLine, ...]
    channels: tuple[ChannelLine, ...]
    commands: tuple[Timed, ...]
    about: tuple[str, ...] = ()
    proves: tuple[str, ...] = ()
    tier: str = "tiered"
    crashes: int = 1
    schedule: str = "fair"
    expected: tuple[str, ...] = ()

    def base(self) -> World:
        """Return the world at rest in which it begins; made once, to be copied."""
        return make_base(self.nodes, self.channels)


# --- text ------------------------------------------------------------------------------------------------------------


def parse_script(text: str, *, name: str = "scenario") -> Script:
    """Return the scenario of a text. Raises: BadScript."""
    body, _, expected = text.partition(f"\n{SEPARATOR}\n")
    reader = _Reader()
    for number, line in enumerate(body.splitlines(), 1):
        try:
            reader.read(line.rstrip())
        except (BadLine, ValueError) as error:
            raise BadScript(f"{name}, line {number}: {error}") from None
    if not reader.channels and not reader.nodes:
        raise BadScript(f"{name}: it has no node; write a line such as 'channel alice bob 1000000 500000000'")
    return reader.script(tuple(expected.splitlines()))


class _Reader:
    """Reads line by line."""

    def __init__(self) -> None:
        self.comments: list[str] = []
        self.nodes: dict[str, NodeLine] = {}
        self.channels: list[ChannelLine] = []
        self.commands: list[Timed] = []
        self.proves: tuple[str, ...] = ()
        self.tier = "tiered"
        self.crashes = 1
        self.schedule = "fair"

    def read(self, line: str) -> None:
        """Take in one line. Raises: ValueError."""
        if line.startswith("#"):
            if not self.commands:
                self.comments.append(line.lstrip("# "))
            return
        words = line.split()
        if not words:
            return
        match words[0]:
            case "proves":
                self.proves += tuple(words[1:])
            case "explore":
                self._explore(words[1:])
            case "schedule" if len(words) == 2 and words[1] in SCHEDULES:
                self.schedule = words[1]
            case "schedule":
                raise ValueError(f"schedule takes one of {', '.join(SCHEDULES)}")
            case "node":
                self._node(words[1:])
            case "channel":
                self._channel(words[1:])
            case _:
                self.commands.append(parse_command(line))

    def _explore(self, words: list[str]) -> None:
        if not 1 <= len(words) <= 2 or words[0] not in TIERS or (len(words) == 2 and not words[1].isdigit()):
            raise ValueError(f"explore takes one of {', '.join(TIERS)}, and a number of crashes")
        self.tier = words[0]
        self.crashes = int(words[1]) if len(words) > 1 else 1

    def _node(self, words: list[str]) -> None:
        if not words:
            raise ValueError("node takes a name")
        settings = tuple((key, value) for key, _, value in [word.partition("=") for word in words[1:]])
        configured(settings)
        self.nodes[words[0]] = NodeLine(words[0], settings)

    def _channel(self, words: list[str]) -> None:
        kind = words.pop() if len(words) == 5 and words[4] in KINDS else "anchors"
        if len(words) != 4 or not words[2].isdigit() or not words[3].isdigit():
            raise ValueError("channel takes two nodes, the capacity in sat, and the msat that the first one gives away")
        for name in words[:2]:
            self.nodes.setdefault(name, NodeLine(name))
        self.channels.append(ChannelLine(words[0], words[1], int(words[2]), int(words[3]), kind))

    def script(self, expected: tuple[str, ...]) -> Script:
        """Return what was read."""
        title, about = (self.comments[0], tuple(self.comments[1:])) if self.comments else ("", ())
        return Script(
            title,
            tuple(self.nodes.values()),
            tuple(self.channels),
            tuple(self.commands),
            about,
            self.proves,
            self.tier,
            self.crashes,
            self.schedule,
            expected,
        )


def format_script(script: Script) -> str:
    """Return the text of a scenario; `parse_script` gives it back."""
    lines = [f"# {line}".rstrip() for line in (script.title, *script.about)]
    lines.append("")
    if script.proves:
        lines.append(" ".join(("proves", *script.proves)))
    crashes = f" {script.crashes}" if script.crashes != 1 else ""
    lines += [f"explore {script.tier}{crashes}", f"schedule {script.schedule}"]
    for node in script.nodes:
        lines.append(" ".join(["node", node.name, *[f"{key}={value}" for key, value in node.settings]]))
    for channel in script.channels:
        kind = "" if channel.kind == "anchors" else f" {channel.kind}"
        lines.append(f"channel {channel.one} {channel.other} {channel.funding_sat} {channel.push_msat}{kind}")
    lines.append("")
    lines += [format_command(timed) for timed in script.commands]
    if script.expected:
        lines += [SEPARATOR, *script.expected]
    return "\n".join(lines) + "\n"


def token_of(script: Script) -> str:
    """Return a scenario in one word that can be pasted anywhere."""
    bare = msgspec.structs.replace(script, expected=(), about=())
    packed = zlib.compress(format_script(bare).encode(), 9)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def script_of(token: str) -> Script:
    """Return the scenario of a token. Raises: BadScript."""
    try:
        packed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        text = zlib.decompressobj().decompress(packed, TOKEN_LENGTH_MAX).decode()
    except (ValueError, binascii.Error, zlib.error):
        raise BadScript("this is no token: some of it is missing, or it was never one") from None
    return parse_script(text, name="token")


def load_script(path: Path) -> Script:
    """Read a scenario file. Raises: BadScript; OSError."""
    return parse_script(path.read_text(), name=str(path))


# --- worlds ----------------------------------------------------------------------------------------------------------


def configured(settings: Iterable[tuple[str, str]]) -> ManagerConfig:
    """Return the configuration of a node. Raises: ValueError for a setting that does not exist."""
    config = ManagerConfig(REGTEST)
    changes: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    for key, text in settings:
        if (key, text) == ("signer", "late") or (key == "coins" and text.isdigit()):
            continue
        of_limits = hasattr(config.limits, key)
        before = getattr(config.limits if of_limits else config, key, None)
        if not isinstance(before, int):
            raise ValueError(f"a node has no setting '{key}={text}'")
        try:
            value = msgspec.convert(text, bool if isinstance(before, bool) else int, strict=False)
        except msgspec.ValidationError as error:
            raise ValueError(f"{key}: {error}") from None
        (limits if of_limits else changes)[key] = value
    changes["limits"] = msgspec.structs.replace(config.limits, **limits)
    return msgspec.structs.replace(config, **changes)


@cache
def make_base(nodes: tuple[NodeLine, ...], channels: tuple[ChannelLine, ...]) -> World:
    """Return a world at rest with these nodes and channels, and coins left in the wallets of those who opened them."""
    world = World(b"scenario")
    for node in nodes:
        world.add_node(node.name, configured(node.settings), signs_late=("signer", "late") in node.settings)
    for pair in dict.fromkeys((channel.one, channel.other) for channel in channels):
        world.link(*pair)
    run_to_rest(world, Fair())
    for node in nodes:
        for _ in range(COINS if "coins" in dict(node.settings) else 0):
            world.grant(node.name, int(dict(node.settings)["coins"]) // COINS)
    if world.granted_sat:
        world.mine()
        run_to_rest(world, Fair())
    for channel in channels:
        world.grant(channel.one, GRANT_FACTOR * channel.funding_sat)
        world.mine()
        run_to_rest(world, Fair())
        one, other = world.nodes[channel.one], world.nodes[channel.other]
        user.open_channel(one, other, channel.funding_sat, channel.push_msat, KINDS[channel.kind])
        run_to_rest(world, Fair())
        world.mine(BLOCKS_TO_READY)
        run_to_rest(world, Fair())
    return world
