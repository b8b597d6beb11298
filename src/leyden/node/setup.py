"""Making a data directory: its configuration and its key, new or from seed words."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from leyden.base.errors import CommandRejected, DecodeError
from leyden.bitcoin import bip39
from leyden.drivers.atomic_file import make_directory, write_atomically
from leyden.drivers.keyfile import KeyFile
from leyden.node import boot, config, config_file, files
from leyden.node.clock import random_bytes

ENTROPY_LENGTH = 16


class NewNode(msgspec.Struct, frozen=True):
    """A data directory that is ready.

    words: its seed, to be written down now and shown never again; empty when they were given.
    """

    node_id: str
    network: str
    directory: str
    words: str

    def __repr__(self) -> str:
        """Show no words."""
        return f"NewNode(node_id={self.node_id!r}, network={self.network!r}, directory={self.directory!r})"


def create(
    directory: Path,
    values: Mapping[str, object],
    words: str | None,
    passphrase: str | None,
    environment: Mapping[str, str],
) -> NewNode:
    """Make a data directory (mode 0700), or complete one that has a configuration but no key.

    Args:
        values: settings by path that go into a new `leyden.toml`. words: 12 or 24 seed words to restore from, or None.
        passphrase: seals the key file, or None. environment: usually `os.environ`.
    Raises: CommandRejected: `key_file_exists`, `journals_exist`, `invalid_words`, `invalid_config`,
    `directory_unwritable`.
    """
    entropy = random_bytes(ENTROPY_LENGTH) if words is None else _entropy(words)
    _refuse_used(directory)
    # Checked before anything is made.
    settings = config.load(None, {**environment, "LEYDEN_DATA_DIR": str(directory)}, values)
    try:
        make_directory(directory)
        os.chmod(directory, 0o700)
        if not (directory / files.CONFIG_FILE).exists():
            kept = values if words is None else {**values, "restored": True}
            write_atomically(directory / files.CONFIG_FILE, config_file.config_text(kept).encode())
    except OSError as error:
        raise CommandRejected(
            f"cannot make {directory} ({error.strerror}): check the place and its permissions",
            code="directory_unwritable",
        ) from None
    node_id = boot.create_key(settings.key_path, entropy, passphrase, config.network_of(settings))
    shown = bip39.mnemonic_from_entropy(entropy) if words is None else ""
    return NewNode(node_id.hex(), settings.network, str(directory), shown)


def _refuse_used(directory: Path) -> None:
    if KeyFile(directory / files.KEY_FILE).exists():
        raise CommandRejected(
            f"{directory} has a key already, which is never overwritten: name another directory", code="key_file_exists"
        )
    if (directory / files.STORE_FILE).exists():
        raise CommandRejected(
            f"{directory} has journals but no key: put its own {files.KEY_FILE} back; a new key could not use them",
            code="journals_exist",
        )


def _entropy(words: str) -> bytes:
    try:
        entropy = bip39.entropy_from_mnemonic(words)
    except DecodeError as error:
        raise CommandRejected(f"the seed words are not right: {error}", code="invalid_words") from None
    if len(entropy) not in (16, 32):
        raise CommandRejected("the seed has 12 or 24 words", code="invalid_words")
    return entropy


def needs_passphrase(directory: Path) -> bool:
    """Return whether the key file of a data directory is sealed.

    Raises: CommandRejected: `not_initialised` when there is none (a daemon must not make a seed whose words nobody
    sees), `key_file_damaged` and the like.
    """
    key_file = KeyFile(directory / files.KEY_FILE)
    if not key_file.exists():
        raise CommandRejected(
            f"{directory} is no data directory of a node yet: make it with `leyden init`", code="not_initialised"
        )
    return key_file.is_sealed()
