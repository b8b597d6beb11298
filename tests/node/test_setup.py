"""Making a data directory."""

from pathlib import Path

import pytest

from leyden.base.errors import CommandRejected
from leyden.bitcoin.bip39 import entropy_from_mnemonic
from leyden.drivers.keyfile import KeyFile
from leyden.node import setup

WORDS_12 = "abandon " * 11 + "about"
WORDS_24 = "abandon " * 23 + "art"
WORDS_15 = "abandon " * 14 + "address"


def test_new_seed_is_random_and_its_words_lead_back(tmp_path: Path) -> None:
    """The words that are shown must be those of the key that is stored."""
    first = setup.create(tmp_path / "a", {}, None, None, {})
    second = setup.create(tmp_path / "b", {}, None, None, {})
    assert first.node_id != second.node_id
    assert entropy_from_mnemonic(first.words) == KeyFile(tmp_path / "a" / "node.key").read(None).entropy
    again = setup.create(tmp_path / "c", {}, first.words, None, {})
    assert (again.node_id, again.words) == (first.node_id, "")
    assert first.words not in repr(first)


def test_network_is_part_of_the_configuration_not_of_the_key(tmp_path: Path) -> None:
    """The same words are the same node id on every network."""
    made = setup.create(tmp_path / "a", {"network": "signet"}, WORDS_24, "pass", {})
    other = setup.create(tmp_path / "b", {}, WORDS_24, "pass", {})
    assert (made.network, other.network) == ("signet", "regtest")
    assert made.node_id == other.node_id
    assert setup.needs_passphrase(tmp_path / "a")


def test_directory_with_a_configuration_gets_a_key(tmp_path: Path) -> None:
    """A configuration that was written by hand stays as it is."""
    (tmp_path / "leyden.toml").write_text('network = "testnet"\n')
    made = setup.create(tmp_path, {}, WORDS_12, None, {})
    assert made.network == "testnet"
    assert (tmp_path / "leyden.toml").read_text() == 'network = "testnet"\n'
    assert not setup.needs_passphrase(tmp_path)


@pytest.mark.parametrize("words", ["", "abandon", "abandon " * 12, WORDS_15, "zebra " * 11 + "zzz"])
def test_wrong_words_are_refused_without_repeating_them(tmp_path: Path, words: str) -> None:
    """Another seed would be another node, and an empty wallet."""
    with pytest.raises(CommandRejected) as refused:
        setup.create(tmp_path / "a", {}, words, None, {})
    assert refused.value.code == "invalid_words"
    assert "abandon" not in refused.value.what
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("name", "code"), [("node.key", "key_file_exists"), ("journals.sqlite", "journals_exist")])
def test_directory_in_use_is_left_alone(tmp_path: Path, name: str, code: str) -> None:
    """A new key over an old one loses everything."""
    (tmp_path / name).write_text("precious")
    with pytest.raises(CommandRejected) as refused:
        setup.create(tmp_path, {}, None, None, {})
    assert refused.value.code == code
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """The sentence names the place."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandRejected, match="file/node") as refused:
        setup.create(tmp_path / "file" / "node", {}, None, None, {})
    assert refused.value.code in ("directory_unwritable", "invalid_config", "key_file_unreadable")


def test_directory_without_a_key_is_not_started(tmp_path: Path) -> None:
    """A daemon that makes its own seed would make one whose words nobody has written down."""
    with pytest.raises(CommandRejected, match="leyden init") as refused:
        setup.needs_passphrase(tmp_path)
    assert refused.value.code == "not_initialised"
