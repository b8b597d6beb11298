"""The key file: what it keeps, whom it refuses, and that it never tells."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from leyden.base.errors import CommandRejected
from leyden.drivers.keyfile import KeyFile, Seed

SEED = Seed(bytes(range(32)), b"\x02" + bytes(32))
SHORT_SEED = Seed(bytes(range(16)), b"\x03" + bytes(32))
SECRETS = (SEED.entropy.hex(), SHORT_SEED.entropy.hex(), "correct horse")


def _counting() -> Callable[[int], bytes]:
    counter = iter(range(1, 1000))
    return lambda length: bytes([next(counter)]) * length


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the key goes."""
    return tmp_path / "seed.json"


@pytest.mark.parametrize("seed", [SEED, SHORT_SEED])
@pytest.mark.parametrize("passphrase", [None, "correct horse", "", "pass\u00e9 \U0001f511"])
def test_seed_comes_back(path: Path, seed: Seed, passphrase: str | None) -> None:
    """Without it the money is gone."""
    file = KeyFile(path)
    file.create(seed, passphrase, _counting())
    assert file.is_sealed() == (passphrase is not None)
    assert KeyFile(path).read(passphrase) == seed
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_passphrase_in_another_normal_form_opens_the_file(path: Path) -> None:
    """Keyboards write the same letter in different ways."""
    KeyFile(path).create(SEED, "caf\u00e9", _counting())
    assert KeyFile(path).read("cafe\u0301") == SEED


def test_sealed_file_shows_nothing_of_the_seed_and_costs_each_guess(path: Path) -> None:
    """The disk may be stolen: a guess must be slow, and parameters may rise later."""
    KeyFile(path).create(SEED, "correct horse", _counting())
    content = json.loads(path.read_text())
    assert content["scrypt_log2_n"] >= 15
    assert (content["scrypt_r"], content["scrypt_p"]) == (8, 1)
    assert not any(secret in path.read_text() for secret in SECRETS)


def test_existing_file_is_never_overwritten(path: Path) -> None:
    """It may be the only copy of the key to somebody's money."""
    KeyFile(path).create(SEED, None, _counting())
    with pytest.raises(CommandRejected, match="never overwritten") as refusal:
        KeyFile(path).create(SHORT_SEED, None, _counting())
    assert refusal.value.code == "key_file_exists"
    assert KeyFile(path).read(None) == SEED


@pytest.mark.parametrize(("given", "code"), [(None, "passphrase_needed"), ("wrong", "wrong_passphrase")])
def test_sealed_file_needs_its_passphrase(path: Path, given: str | None, code: str) -> None:
    """The owner must learn that the passphrase is wrong, not that the file is broken."""
    KeyFile(path).create(SEED, "correct horse", _counting())
    with pytest.raises(CommandRejected, match=str(path)) as refusal:
        KeyFile(path).read(given)
    assert refusal.value.code == code


def test_passphrase_can_be_changed_and_removed(path: Path) -> None:
    """Salt and nonce are drawn again each time."""
    file, random_bytes = KeyFile(path), _counting()
    file.create(SEED, "one", random_bytes)
    first = path.read_text()
    file.change_passphrase("one", "two", random_bytes)
    assert json.loads(first)["nonce"] != json.loads(path.read_text())["nonce"]
    assert file.read("two") == SEED
    file.change_passphrase("two", None, random_bytes)
    assert file.read(None) == SEED


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_every_damaged_byte_is_noticed_and_nothing_secret_is_said(path: Path, passphrase: str | None) -> None:
    """A seed with a flipped bit is another wallet: it would start, empty."""
    KeyFile(path).create(SEED, passphrase, _counting())
    whole = path.read_bytes()
    damaged = [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(len(whole) - 1)]
    for content in [*damaged, *(whole[:i] for i in range(0, len(whole) - 2, 7)), b"", b"[]", b"{}", b"\xff\xfe"]:
        path.write_bytes(content)
        with pytest.raises(CommandRejected, match=str(path)) as refusal:
            KeyFile(path).read(passphrase)
        assert refusal.value.code in ("key_file_damaged", "key_file_newer")
        assert refusal.value.__cause__ is None
        assert not any(secret in str(refusal.value) for secret in SECRETS)


def test_newer_format_is_named(path: Path) -> None:
    """The way out is another version, not a repair."""
    KeyFile(path).create(SEED, None, _counting())
    path.write_text(path.read_text().replace('"leyden_key_file": 1', '"leyden_key_file": 2'))
    with pytest.raises(CommandRejected, match="format 2") as refusal:
        KeyFile(path).read(None)
    assert refusal.value.code == "key_file_newer"


def test_missing_file_and_missing_directory_are_named(tmp_path: Path) -> None:
    """A wrong path is the most common mistake."""
    with pytest.raises(CommandRejected) as refusal:
        KeyFile(tmp_path / "no").read(None)
    assert refusal.value.code == "key_file_missing"
    with pytest.raises(CommandRejected) as refusal:
        KeyFile(tmp_path / "no" / "seed").create(SEED, None, _counting())
    assert refusal.value.code == "key_file_unwritable"


def test_plain_file_that_others_can_read_is_refused(path: Path) -> None:
    """A copy restored with the wrong mode gives the money to every user of the machine."""
    KeyFile(path).create(SEED, None, _counting())
    path.chmod(0o640)
    with pytest.raises(CommandRejected, match="chmod 600") as refusal:
        KeyFile(path).read(None)
    assert refusal.value.code == "key_file_open_to_others"


def test_greedy_scrypt_parameters_are_refused(path: Path) -> None:
    """A planted file must not make the node take all memory."""
    KeyFile(path).create(SEED, "correct horse", _counting())
    fields = json.loads(path.read_text())
    del fields["checksum"]
    fields["scrypt_log2_n"] = 40
    from leyden.crypto.hashes import sha256

    fields["checksum"] = sha256(json.dumps(fields, sort_keys=True).encode())[:8].hex()
    path.write_text(json.dumps(fields))
    with pytest.raises(CommandRejected, match="scrypt parameters"):
        KeyFile(path).read("correct horse")


def test_seed_of_another_node_is_refused_and_repr_is_silent() -> None:
    """With a wrong seed for a data directory every signature would be wrong; a log must not hold entropy."""
    SEED.check(SEED.node_id)
    with pytest.raises(CommandRejected) as refusal:
        SEED.check(SHORT_SEED.node_id)
    assert refusal.value.code == "wrong_seed"
    assert "entropy" not in repr(SEED)


@pytest.mark.parametrize("seed", [Seed(bytes(15), bytes(33)), Seed(bytes(32), bytes(32))])
def test_wrong_lengths_are_our_bug(path: Path, seed: Seed) -> None:
    """Nothing is written then."""
    with pytest.raises(ValueError, match="entropy has 16 or 32 bytes"):
        KeyFile(path).create(seed, None, _counting())
    assert not path.exists()
