"""Where the files of a data directory are."""

from pathlib import Path

from leyden.node import files
from leyden.node.settings import BitcoindSettings, NodeConfig


def test_every_file_is_in_the_data_directory() -> None:
    """A backup of the directory is a backup of the node."""
    config = NodeConfig(data_dir="/data")
    paths = [config.key_path, config.store_path, config.mark_path, config.socket_path, config.log_path]
    assert {path.parent for path in paths} == {Path("/data")}
    names = [path.name for path in paths]
    assert names == [files.KEY_FILE, files.STORE_FILE, files.MARK_FILE, files.SOCKET_FILE, files.LOG_FILE]
    assert len({*names, files.CONFIG_FILE}) == 6


def test_password_is_not_in_the_repr() -> None:
    """It would end in a log."""
    assert "pass" not in repr(BitcoindSettings(user="u", password="pass"))
