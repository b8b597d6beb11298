"""The key file: the node's entropy, sealed with a passphrase or readable by its owner only.

JSON in one line, so that a person can see what it is. A checksum over everything but itself tells a damaged file from a
wrong passphrase. Whoever has the content (and the passphrase) has the money: nothing here shows it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast
from unicodedata import normalize

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from leyden.base.errors import CommandRejected
from leyden.crypto.chacha import aead_decrypt, aead_encrypt
from leyden.crypto.hashes import sha256
from leyden.drivers.atomic_file import write_atomically

FORMAT = 1
SCRYPT_LOG2_N = 16
"""64 MiB and a few tenths of a second for each guess of a passphrase."""

_SCRYPT_R, _SCRYPT_P = 8, 1
_SCRYPT_LOG2_N_MAX, _SCRYPT_R_MAX, _SCRYPT_P_MAX = 20, 16, 4
"""A damaged or planted file must not make us take gigabytes."""

_ENTROPY_LENGTHS = (16, 32)
_SALT_LENGTH, _KEY_LENGTH, _NONCE_LENGTH, _TAG_LENGTH = 16, 32, 12, 16

_SIZE_MAX = 4096

Fields: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class Seed:
    """What the key file keeps.

    `entropy`: 16 or 32 bytes, the entropy of the BIP 39 words; `node_id`: 33 bytes, the public key that follows from
    it.
    """

    entropy: bytes = field(repr=False)
    node_id: bytes

    def check(self, node_id: bytes) -> None:
        """Raise CommandRejected (`wrong_seed`) unless `node_id` (33 bytes) is the one the file was made for."""
        if node_id != self.node_id:
            raise CommandRejected(
                f"this key file belongs to node {self.node_id.hex()}, the data directory to node {node_id.hex()}: "
                "give each data directory the key file it was made with",
                code="wrong_seed",
            )


class KeyFile:
    """The file at `path`. Every refusal is a CommandRejected whose sentence names the file and says what to do."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def exists(self) -> bool:
        """Return whether there is a file."""
        return self._path.exists()

    def is_sealed(self) -> bool:
        """Return whether a passphrase is needed. Raises like `read`."""
        return "sealed" in self._parse()

    def create(self, seed: Seed, passphrase: str | None, random_bytes: Callable[[int], bytes]) -> None:
        """Write a new file, sealed if there is a passphrase; never over an existing one (code `key_file_exists`)."""
        if self.exists():
            raise CommandRejected(
                f"{self._path} exists and is never overwritten: move it away first if another node is wanted",
                code="key_file_exists",
            )
        self._write(seed, passphrase, random_bytes)

    def change_passphrase(self, old: str | None, new: str | None, random_bytes: Callable[[int], bytes]) -> None:
        """Seal the same seed with another passphrase, or with none. Raises like `read`."""
        self._write(self.read(old), new, random_bytes)

    def read(self, passphrase: str | None) -> Seed:
        """Return the seed.

        Raises CommandRejected with code `key_file_missing`, `key_file_damaged`, `key_file_newer`,
        `key_file_open_to_others`, `passphrase_needed` or `wrong_passphrase`.
        """
        fields = self._parse()
        node_id = self._hex(fields, "node_id", (33,))
        if "sealed" not in fields:
            if self._path.stat().st_mode & 0o077:
                raise CommandRejected(
                    f"{self._path} can be read by other users and has no passphrase: chmod 600 it, or seal it",
                    code="key_file_open_to_others",
                )
            return Seed(self._hex(fields, "entropy", _ENTROPY_LENGTHS), node_id)
        if passphrase is None:
            raise CommandRejected(f"{self._path} is sealed: give its passphrase", code="passphrase_needed")
        return Seed(self._unseal(fields, passphrase, node_id), node_id)

    # ------------------------------------------------------------------ sealing

    def _unseal(self, fields: Fields, passphrase: str, node_id: bytes) -> bytes:
        log2_n, r, p = (self._integer(fields, name) for name in ("scrypt_log2_n", "scrypt_r", "scrypt_p"))
        if not (1 <= log2_n <= _SCRYPT_LOG2_N_MAX and 1 <= r <= _SCRYPT_R_MAX and 1 <= p <= _SCRYPT_P_MAX):
            raise self._damaged("scrypt parameters out of range")
        salt = self._hex(fields, "salt", (_SALT_LENGTH,))
        nonce = self._hex(fields, "nonce", (_NONCE_LENGTH,))
        sealed = self._hex(fields, "sealed", tuple(length + _TAG_LENGTH for length in _ENTROPY_LENGTHS))
        key = _stretch(passphrase, salt, log2_n, r, p)
        entropy = aead_decrypt(key, nonce, node_id, sealed)
        if entropy is None:
            raise CommandRejected(f"wrong passphrase for {self._path}", code="wrong_passphrase")
        return entropy

    def _write(self, seed: Seed, passphrase: str | None, random_bytes: Callable[[int], bytes]) -> None:
        if len(seed.entropy) not in _ENTROPY_LENGTHS or len(seed.node_id) != 33:
            raise ValueError("entropy has 16 or 32 bytes, a node id 33")
        fields: Fields = {"leyden_key_file": FORMAT, "node_id": seed.node_id.hex()}
        if passphrase is None:
            fields["entropy"] = seed.entropy.hex()
        else:
            salt, nonce = random_bytes(_SALT_LENGTH), random_bytes(_NONCE_LENGTH)
            key = _stretch(passphrase, salt, SCRYPT_LOG2_N, _SCRYPT_R, _SCRYPT_P)
            fields |= {
                "scrypt_log2_n": SCRYPT_LOG2_N, "scrypt_r": _SCRYPT_R, "scrypt_p": _SCRYPT_P,
                "salt": salt.hex(), "nonce": nonce.hex(),
                "sealed": aead_encrypt(key, nonce, seed.node_id, seed.entropy).hex(),
            }  # fmt: skip
        fields["checksum"] = _checksum(fields)
        try:
            write_atomically(self._path, json.dumps(fields).encode() + b"\n")
        except OSError as error:
            raise CommandRejected(
                f"cannot write {self._path} ({error.strerror}): check the directory and the disk",
                code="key_file_unwritable",
            ) from error

    # ------------------------------------------------------------------ reading

    def _parse(self) -> Fields:
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError as error:
            raise CommandRejected(
                f"{self._path} does not exist: run `leyden init`, or put the key file back", code="key_file_missing"
            ) from error
        except OSError as error:
            raise CommandRejected(
                f"cannot read {self._path} ({error.strerror}): check its owner and permissions",
                code="key_file_unreadable",
            ) from error
        try:
            fields = json.loads(raw) if len(raw) <= _SIZE_MAX else None
        except (ValueError, RecursionError):
            # Without the cause: its message and its document show what is in the file.
            raise self._damaged("it is no JSON") from None
        if not isinstance(fields, dict) or "leyden_key_file" not in fields:
            raise self._damaged("it is no key file of Leyden")
        known = cast("Fields", fields)
        version = self._integer(known, "leyden_key_file")
        if version > FORMAT:
            raise CommandRejected(
                f"{self._path} has format {version}, this version reads up to {FORMAT}: "
                "use the newer version that wrote it",
                code="key_file_newer",
            )
        if known.pop("checksum", None) != _checksum(known):
            raise self._damaged("its checksum is wrong")
        return known

    def _hex(self, fields: Fields, name: str, lengths: tuple[int, ...]) -> bytes:
        value = fields.get(name)
        try:
            decoded = bytes.fromhex(value) if isinstance(value, str) else b""
        except ValueError:
            decoded = b""
        if len(decoded) not in lengths:
            raise self._damaged(f"`{name}` is missing or has a wrong length")
        return decoded

    def _integer(self, fields: Fields, name: str) -> int:
        value = fields.get(name)
        if type(value) is not int:
            raise self._damaged(f"`{name}` is missing or no number")
        return value

    def _damaged(self, what: str) -> CommandRejected:
        return CommandRejected(
            f"{self._path} is damaged ({what}): put a copy back, or restore it from the seed words with `leyden init`",
            code="key_file_damaged",
        )


def _checksum(fields: Fields) -> str:
    return sha256(json.dumps(fields, sort_keys=True).encode())[:8].hex()


def _stretch(passphrase: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    # Normalised like BIP 39 passphrases: the same letters typed on another keyboard must open the file.
    kdf = Scrypt(salt=salt, length=_KEY_LENGTH, n=1 << log2_n, r=r, p=p)
    return kdf.derive(normalize("NFKD", passphrase).encode())
