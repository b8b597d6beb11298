"""`init`, `node`, `info`, `stop`, `call`."""

import json
import stat
from pathlib import Path

import pytest

from leyden.api import client
from leyden.api.views import NodeInfo, StoreView
from leyden.drivers.keyfile import KeyFile
from tests.api.small_node import ALICE, CHAIN_IS_DOWN, SmallNode, node_info
from tests.cli.conftest import Leyden

WORDS = "abandon " * 11 + "about"
NODE_ID_OF_WORDS = "02609e8009741f2405ef9ee1cd9b4da7f909bdda5b2ddab7e683a6b5b237f933c5"


def test_init_makes_a_directory_and_shows_the_words_once(leyden: Leyden, tmp_path: Path) -> None:
    """The words are the only way back to the coins: they must be seen, and stored nowhere in the clear."""
    made = leyden("init", "-d", str(tmp_path / "node"), "--alias", "alice", "--listen", "127.0.0.1:0")
    assert made.exit_code == 0, made.stderr
    words = [word for word in made.stdout.split() if word.isalpha() and word.islower()]
    entropy = KeyFile(tmp_path / "node" / "node.key").read(None).entropy
    from leyden.bitcoin.bip39 import mnemonic_from_entropy

    assert set(mnemonic_from_entropy(entropy).split()) <= set(words)
    assert stat.S_IMODE((tmp_path / "node").stat().st_mode) == 0o700
    assert 'alias = "alice"' in (tmp_path / "node" / "leyden.toml").read_text()
    again = leyden("init", "-d", str(tmp_path / "node"))
    assert again.exit_code == 1
    assert "never overwritten" in again.stderr


def test_init_restores_from_words(leyden: Leyden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words are the same node, also years later."""
    monkeypatch.setenv("LEYDEN_WORDS", WORDS)
    monkeypatch.setenv("LEYDEN_PASSPHRASE", "pass")
    made = leyden("init", "-d", str(tmp_path / "node"), "--restore", "--passphrase", "--json")
    view = json.loads(made.stdout)
    assert (view["node_id"], view["words"]) == (NODE_ID_OF_WORDS, "")
    assert KeyFile(tmp_path / "node" / "node.key").is_sealed()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--network", "mainet"], "use one of mainnet"),
        (["--listen", "nowhere"], "not host:port"),
        (["--restore"], "set LEYDEN_WORDS"),
        (["--alias", "x" * 40], "alias"),
    ],
)
def test_init_that_is_refused_makes_nothing(leyden: Leyden, tmp_path: Path, arguments: list[str], said: str) -> None:
    """Half a data directory would be in the way of the next try."""
    done = leyden("init", "-d", str(tmp_path / "node"), *arguments)
    assert done.exit_code == 1
    assert said in done.stderr
    assert not (tmp_path / "node").exists()


def test_words_that_are_wrong_are_not_repeated(leyden: Leyden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error message ends up in logs and screenshots."""
    monkeypatch.setenv("LEYDEN_WORDS", "abandon " * 11 + "zebra")
    done = leyden("init", "-d", str(tmp_path / "node"), "--restore")
    assert done.exit_code == 1
    assert "abandon" not in done.output
    assert "zebra" not in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "payments.auto_clam=false"], "did you mean `payments.auto_claim`?"),
        (["--set", "payments.auto_claim"], "write path=value"),
        (["--set", "payments.auto_claim=perhaps"], "payments.auto_claim"),
        (["--set", "listen=nowhere"], "listen: `nowhere` is not host:port"),
        (["--set", "store.delay_ms="], "command line: `store.delay_ms`"),
        (["--log-level", "loud"], "use one of debug, error, info, warning"),
        (["--config", "/nonexistent/leyden.toml"], "does not exist"),
    ],
)
def test_node_with_a_wrong_setting_does_not_start(leyden: Leyden, arguments: list[str], said: str) -> None:
    """A setting that is silently not there is found out when it is needed."""
    done = leyden("node", *arguments)
    assert done.exit_code == 1
    assert said in done.stderr


def test_node_that_takes_no_connections(leyden: Leyden) -> None:
    """An empty list is a value: what is missing then is only the data directory."""
    done = leyden("node", "--set", "listen=")
    assert done.exit_code == 1
    assert "leyden init" in done.stderr


def test_node_without_a_data_directory_says_how_to_make_one(leyden: Leyden, tmp_path: Path) -> None:
    """And makes nothing by itself: the words of its seed would never be seen."""
    done = leyden("node", "-d", str(tmp_path / "none"))
    assert done.exit_code == 1
    assert "leyden init" in done.stderr
    assert not (tmp_path / "none").exists()


def test_file_may_be_named_by_a_variable(leyden: Leyden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service manager sets variables more easily than arguments."""
    monkeypatch.setenv("LEYDEN_CONFIG", str(tmp_path / "missing.toml"))
    done = leyden("node")
    assert done.exit_code == 1
    assert "missing.toml does not exist" in done.stderr


def test_node_with_a_sealed_key_asks_for_its_passphrase(
    leyden: Leyden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal there is nobody to ask, and waiting would hang a service manager."""
    monkeypatch.setenv("LEYDEN_PASSPHRASE", "pass")
    assert leyden("init", "-d", str(tmp_path / "node"), "--passphrase").exit_code == 0
    monkeypatch.delenv("LEYDEN_PASSPHRASE")
    done = leyden("node", "-d", str(tmp_path / "node"))
    assert done.exit_code == 1
    assert "LEYDEN_PASSPHRASE" in done.stderr


def test_info_shows_the_node(leyden: Leyden, node: SmallNode) -> None:
    """The first thing anybody asks."""
    shown = leyden("info")
    assert shown.exit_code == 0
    assert ALICE in shown.stdout
    assert "1 usable, 1 pending, 0 closing" in shown.stdout
    view = json.loads(leyden("info", "--json").stdout)
    assert view["node_id"] == ALICE
    assert view["block_height"] == 812


@pytest.mark.parametrize(
    ("behind", "synced", "said"),
    [(0, True, "812\n"), (12_345, False, "812 (12,345 blocks behind, catching up)"), (0, False, "812 (catching up)")],
)
def test_info_shows_how_far_a_rescan_is(
    leyden: Leyden, node: SmallNode, monkeypatch: pytest.MonkeyPatch, behind: int, synced: bool, said: str
) -> None:
    """A node that was away for a month looks at thousands of blocks before it meets its peers."""

    async def info() -> NodeInfo:
        return node_info(blocks_behind=behind, is_synced=synced)

    monkeypatch.setattr(node, "info", info)
    assert f"block height    {said}" in leyden("info").stdout


def test_info_shows_how_the_store_keeps_up(leyden: Leyden, node: SmallNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """A payment that hangs is most often a disk that hangs."""
    assert "waits for it" in leyden("info").stdout
    assert "nothing" in leyden("info").stdout
    store = StoreView(
        records_waiting=12, bytes_waiting=3456, oldest_waiting_ms=2340, effects_waiting=7, journals_waiting=2,
        facts_unacknowledged=5, batches=90, refusals=4, batch_records_p50=3, batch_records_p99=40,
        commit_ms_p50=1.25, commit_ms_p99=80.0,
    )  # fmt: skip

    async def info() -> NodeInfo:
        return node_info(store=store)

    monkeypatch.setattr(node, "info", info)
    shown = leyden("info").stdout
    assert "12 records, 3,456 bytes, the oldest for 2.3 s; 7 effects held back" in shown
    assert "1.25 ms (p99 80 ms) for 3 records (p99 40); 90 batches, 4 refused for a time" in shown
    assert json.loads(leyden("info", "--json").stdout)["store"]["oldest_waiting_ms"] == 2340


def test_commands_without_a_node_say_how_to_start_it(leyden: Leyden) -> None:
    """Exit code 3 lets a script start the node."""
    for arguments in (["info"], ["pay", "lnbcrt1x"], ["channels"], ["events", "--follow"], ["stop"]):
        done = leyden(*arguments)
        assert done.exit_code == 3
        assert "leyden node" in done.stderr
    assert json.loads(leyden("info", "--json").stdout)["error"]["code"] == "node_not_running"


def test_failures_of_the_node_have_their_exit_codes(leyden: Leyden, node: SmallNode) -> None:
    """A script repeats what the world broke and reports what is a fault."""
    node.failure = CHAIN_IS_DOWN
    assert leyden("info").exit_code == 4
    assert json.loads(leyden("info", "--json").stdout)["error"]["code"] == "chain_unavailable"
    node.failure = ZeroDivisionError()
    assert leyden("info").exit_code == 7


def test_stop_stops(leyden: Leyden, node: SmallNode) -> None:
    """It returns when the node has understood."""
    assert leyden("stop").exit_code == 0
    assert node.stopped.is_set()


def test_call_reaches_every_method(leyden: Leyden, node: SmallNode) -> None:
    """What has no command of its own yet can be called by its name."""
    done = leyden("call", "trust_peer", f'{{"node_id": "{ALICE}", "trusted": true}}')
    assert json.loads(done.stdout)["is_trusted"] is True
    assert leyden("call", "stop").stdout == "null\n"
    wrong = leyden("call", "trust_peer", '{"node_id": "x", "truste": 1}')
    assert wrong.exit_code == 1
    assert "did you mean `trusted`?" in wrong.stderr


def test_socket_has_its_place_in_the_data_directory(tmp_path: Path) -> None:
    """Client and node must agree on it without asking each other."""
    assert client.socket_path(tmp_path) == tmp_path / "api.sock"
