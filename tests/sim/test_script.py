"""Scenario files."""

from pathlib import Path

import pytest

from leyden.sim.commands import IN_TURN, WHEN_IDLE
from leyden.sim.script import (
    SCHEDULES,
    BadScript,
    configured,
    format_script,
    load_script,
    make_base,
    parse_script,
    script_of,
    token_of,
)

TEXT = """# Two parts.
# Each over a channel of its own.

proves 1 P11
explore fixed 2
schedule slow-store
node bob auto_claim=false signer=late
node alice
channel alice bob 1000000 500000000
channel alice bob 1000000 500000000

pay alice bob 700000000 one parts=2
@idle claim bob
@12 crash bob node=1
----
12 bob crashes
"""


def test_text_is_read_and_written() -> None:
    """Every part of it."""
    script = parse_script(TEXT)
    assert (script.title, script.about, script.proves) == (
        "Two parts.",
        ("Each over a channel of its own.",),
        ("1", "P11"),
    )
    assert (script.tier, script.schedule, script.expected) == ("fixed", "slow-store", ("12 bob crashes",))
    assert len(script.channels) == 2
    assert [timed.step for timed in script.commands] == [IN_TURN, WHEN_IDLE, 12]
    assert format_script(script) == TEXT


def test_channels_may_be_without_anchors_and_nodes_may_have_limits_and_coins() -> None:
    """Delays are short in a world of which each block is a step."""
    text = TEXT.replace("node alice", "node alice to_self_delay=6 coins=100000")
    text = text.replace("1000000 500000000\n\n", "1000000 500000000 static\n\n")
    script = parse_script(text)
    assert format_script(script) == text
    assert [channel.kind for channel in script.channels] == ["anchors", "static"]
    assert configured(script.nodes[1].settings).limits.to_self_delay == 6
    alice, bob = [make_base(script.nodes, ()).nodes[name] for name in ("alice", "bob")]
    assert alice.runtime.wallet.balance().confirmed_sat == 100_000
    assert not bob.runtime.wallet.balance().confirmed_sat


def test_token_is_the_scenario_in_one_word() -> None:
    """Without what only readers need."""
    script = parse_script(TEXT)
    again = script_of(token_of(script))
    assert " " not in token_of(script)
    assert (again.commands, again.nodes, again.channels, again.schedule) == (
        script.commands,
        script.nodes,
        script.channels,
        script.schedule,
    )


@pytest.mark.parametrize("token", ["", "nonsense", token_of(parse_script(TEXT))[:-9]])
def test_broken_token_is_refused(token: str) -> None:
    """It was pasted by hand."""
    with pytest.raises(BadScript):
        script_of(token)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("explore everything", "line 4: explore takes one of fixed"),
        ("schedule random", "line 4: schedule takes one of fair"),
        ("channel alice bob many 0", "line 4: channel takes two nodes"),
        ("node", "line 4: node takes a name"),
        ("node carol colour=red", "line 4: a node has no setting 'colour=red'"),
        ("node carol auto_claim=perhaps", "line 4: auto_claim: "),
        ("juggle", "line 4: 'juggle' is no command"),
    ],
)
def test_bad_line_is_named_with_its_number(line: str, complaint: str) -> None:
    """People write these files."""
    lines = TEXT.splitlines()
    lines[3] = line
    with pytest.raises(BadScript, match=f"mine.txt, {complaint}"):
        parse_script("\n".join(lines), name="mine.txt")


def test_world_without_nodes_is_refused(tmp_path: Path) -> None:
    """With a line that would help."""
    path = tmp_path / "empty.txt"
    path.write_text("# Nobody.\n")
    with pytest.raises(BadScript, match="it has no node; write a line such as 'channel"):
        load_script(path)


def test_base_has_what_the_file_says() -> None:
    """Channels with money on both sides, and coins to open another one."""
    script = parse_script(TEXT)
    world = make_base(script.nodes, script.channels)
    assert script.base() is world
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    assert sorted(slot.state.core.local.local_msat for slot in bob.manager.channels.values()) == [500_000_000] * 2
    assert len(alice.manager.channels) == 2
    assert alice.runtime.wallet.balance().spendable_sat > 1_000_000
    assert not bob.config.auto_claim
    assert bob.signs_late
    assert not alice.signs_late


def test_settings_have_the_type_of_the_configuration() -> None:
    """A number is a number."""
    assert configured([("min_final_cltv_expiry_delta", "40")]).min_final_cltv_expiry_delta == 40


def test_every_schedule_chooses_something() -> None:
    """Whatever is possible."""
    world = parse_script(TEXT).base().copy()
    for make in SCHEDULES.values():
        assert make().choose(world, world.enabled()) in world.enabled()
