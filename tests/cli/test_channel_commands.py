"""`connect`, `peers`, `trust`, `open`, `channels`, `close`, `policy`."""

import json

import pytest

from leyden.api.views import ChannelRequest, ChannelView, JournalView, NodeInfo
from leyden.cli import channel_commands
from tests.api.small_node import BOB, CAROL, CHANNEL, CLOSING_TXID, OTHER_CHANNEL, SmallNode, channel, node_info
from tests.cli.conftest import Leyden


def test_connect_reads_node_and_place(leyden: Leyden, node: SmallNode) -> None:
    """An address is pasted whole, IPv6 included."""
    assert leyden("connect", f"{BOB}@127.0.0.1:9736").stdout == f"connected to {BOB}\n"
    leyden("connect", f"{BOB}@[::1]:9735")
    assert node.calls[0] == ("connect", (BOB, "127.0.0.1", 9736))
    assert node.calls[1] == ("connect", (BOB, "::1", 9735))


@pytest.mark.parametrize("peer", [BOB, f"{BOB}@host", "host:9735", f"{BOB}@host:x", f"{BOB}@host:99999", f"{BOB}@:1"])
def test_connect_refuses_half_an_address(leyden: Leyden, node: SmallNode, peer: str) -> None:
    """A default port that is wrong costs a minute of waiting."""
    done = leyden("connect", peer)
    assert done.exit_code == 1
    assert "NODE_ID@HOST:PORT" in done.stderr
    assert node.calls == []


def test_peer_that_cannot_be_reached_is_the_worlds_failure(leyden: Leyden, node: SmallNode) -> None:
    """It may be there in a minute."""
    assert leyden("connect", f"{BOB}@127.0.0.1:1").exit_code == 4


def test_peers_are_listed(leyden: Leyden, node: SmallNode) -> None:
    """Who is away matters as much as who is there."""
    lines = leyden("peers").stdout.splitlines()
    assert lines[1].split() == [BOB, "connected", "127.0.0.1:9736", "out", "no", "1"]
    assert lines[2].split() == [CAROL, "away", "-", "-", "yes", "0"]
    assert leyden("disconnect", CAROL).exit_code == 1
    assert leyden("disconnect", BOB).exit_code == 0
    assert "is trusted" in leyden("trust", BOB).stdout
    assert "is not trusted" in leyden("trust", BOB, "--no").stdout


def test_open_passes_both_units(leyden: Leyden, node: SmallNode) -> None:
    """The channel's size is in satoshi, the gift in millisatoshi."""
    done = leyden("open", BOB, "0.01btc", "--push", "1500msat", "--announce", "--static-remotekey")
    assert CHANNEL in done.stdout
    assert node.calls == [("open_channel", (BOB, 1_000_000, 1500, "static_remotekey", True, False))]


def test_batch_is_asked_for_at_once(leyden: Leyden, node: SmallNode) -> None:
    """One call for all channels; one transaction is named."""
    done = leyden("open-batch", f"{BOB}:0.01btc", f"{CAROL}:20000", "--announce", "--feerate", "500perkw")
    assert done.stdout.count(CHANNEL) == 2
    assert 32 * "f0" in done.stdout
    wanted = [
        ChannelRequest(node_id=BOB, amount_sat=1_000_000, announce=True),
        ChannelRequest(node_id=CAROL, amount_sat=20_000, announce=True),
    ]
    assert node.calls == [("open_channels", (wanted, 500))]


def test_batch_without_an_amount_is_refused(leyden: Leyden, node: SmallNode) -> None:
    """Before anything is asked of the node."""
    assert leyden("open-batch", f"{BOB}:20000", CAROL).exit_code == 1
    assert not node.calls


def test_open_with_a_stranger_is_refused(leyden: Leyden, node: SmallNode) -> None:
    """The node's sentence says what to do first."""
    done = leyden("open", CAROL, "1000000", "--json")
    assert done.exit_code == 1
    assert "`connect` first" in done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "unknown_peer"


def test_channels_are_listed_whole_for_pipes(leyden: Leyden, node: SmallNode) -> None:
    """Scripts read columns."""
    lines = leyden("channels").stdout.splitlines()
    assert lines[0].split() == ["channel", "scid", "peer", "state", "ours", "theirs", "HTLCs", "capacity"]
    assert lines[1].split() == [CHANNEL, "800x1x0", BOB, "normal", "650,000", "350,000", "2/1", "1,000,000"]
    assert lines[2].split()[3] == "force_closing"
    assert [view["channel_id"] for view in json.loads(leyden("channels", "--json").stdout)] == [CHANNEL, OTHER_CHANNEL]


@pytest.mark.parametrize("name", [CHANNEL, "cccc", "800x1x0", "16000000x0x7"])
def test_channel_is_found_by_every_name(leyden: Leyden, node: SmallNode, name: str) -> None:
    """Nobody types 64 digits."""
    shown = leyden("channels", "cccc" if name == "cccc" else name)
    assert shown.exit_code == 0
    assert "spendable 630,000" in shown.stdout
    assert "HALTED" not in shown.stdout


def test_channel_says_what_of_it_is_not_durable(
    leyden: Leyden, node: SmallNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is shown of it may vanish at a crash."""
    late = channel(
        journal=JournalView(records_waiting=2, bytes_waiting=345, oldest_waiting_ms=6100, facts_unacknowledged=1)
    )

    async def channels() -> list[ChannelView]:
        return [late]

    assert "to acknowledge" not in leyden("channels", CHANNEL).stdout
    monkeypatch.setattr(node, "channels", channels)
    shown = leyden("channels", CHANNEL).stdout
    assert "2 records, 345 bytes, the oldest for 6.1 s" in shown
    assert "1 fact, 0 events" in shown
    assert json.loads(leyden("channels", "--json").stdout)[0]["journal"]["records_waiting"] == 2
    assert "not durable yet" not in leyden("channels").stdout, "the list for pipes is a table and no more"
    monkeypatch.setattr(channel_commands, "is_terminal", lambda: True)
    assert "not durable yet: 2 records of 1 channel" in leyden("channels").stdout


@pytest.mark.parametrize(("name", "said"), [("c", "no channel `c`"), ("abcd", "no channel"), ("", "no channel")])
def test_channel_that_is_not_there_is_refused(leyden: Leyden, node: SmallNode, name: str, said: str) -> None:
    """A prefix of one digit would close the wrong channel."""
    done = leyden("close", name, "--force")
    assert done.exit_code == 1
    assert said in done.stderr
    assert node.calls == []


def test_close_says_what_it_waits_for(leyden: Leyden, node: SmallNode) -> None:
    """A cooperative close of a peer that is away does nothing yet."""
    assert "shutting_down" in leyden("close", "cccc").stdout
    assert "--force does not wait" in leyden("close", OTHER_CHANNEL).stdout
    assert json.loads(leyden("close", OTHER_CHANNEL, "--force", "--json").stdout)["state"] == "force_closing"
    assert node.calls[-1] == ("close", (OTHER_CHANNEL, True, None, False))
    leyden("close", OTHER_CHANNEL, "--force", "--without-peer")
    assert node.calls[-1] == ("close", (OTHER_CHANNEL, True, None, True))


def test_force_says_when_the_money_is_back(leyden: Leyden, node: SmallNode) -> None:
    """Whoever closes by force must know how long money waits; payments under way are warned of before."""
    done = leyden("close", OTHER_CHANNEL, "--force")
    assert "600,000 sat at height 944" in done.stdout
    assert "65,000 sat in 2, the last expires at height 810" in done.stdout
    assert "2 out and 1 in: they are settled on chain now" in done.stderr
    assert "under way" not in leyden("close", OTHER_CHANNEL).stderr
    assert "prefer to close together" in " ".join(leyden("close", "--help").stdout.split())


def test_closed_channels_say_how_and_what_is_left(
    leyden: Leyden, node: SmallNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open ones are not among them; those that are archived are counted for a person."""
    head, *rows = leyden("channels", "--closed").stdout.splitlines()
    assert head.split() == ["channel", "state", "height", "left", "until", "txid", "how", "it", "ended"]
    assert [line.split() for line in rows] == [
        [OTHER_CHANNEL, "force_closing", "-", "600,000", "944", CLOSING_TXID, "the", "peer", "sent", "an", "error"]
    ]
    views = json.loads(leyden("channels", "--closed", "--json").stdout)
    assert [view["channel_id"] for view in views] == [OTHER_CHANNEL]

    async def info() -> NodeInfo:
        return node_info(channels_archived=7)

    monkeypatch.setattr(node, "info", info)
    monkeypatch.setattr(channel_commands, "is_terminal", lambda: True)
    assert "7 more are closed for good: archived" in leyden("channels", "--closed").stdout


def test_channel_says_when_a_deadline_closes_it(
    leyden: Leyden, node: SmallNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is time to do something about it only before."""

    async def channels() -> list[ChannelView]:
        return [channel(deadline_height=830)]

    assert "closed by force" not in leyden("channels", CHANNEL).stdout
    monkeypatch.setattr(node, "channels", channels)
    assert "at height 830, if its HTLCs stay as they are" in leyden("channels", CHANNEL).stdout


def test_policy_is_shown_and_changed(leyden: Leyden, node: SmallNode) -> None:
    """Without options nothing changes."""
    assert "1000 msat + 100 millionths" in leyden("policy", "cccc").stdout
    assert "2000 msat + 100 millionths" in leyden("policy", "cccc", "--fee-base", "2sat").stdout
    assert "nothing: it is disabled" in leyden("policy", "cccc", "--disable").stdout
    assert "disabled" not in leyden("policy", "cccc", "--enable").stdout
