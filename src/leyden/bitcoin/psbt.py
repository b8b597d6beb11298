"""Partially signed transactions, version 0 (BIP 174): a thin wrapper over btclib-wallet.

The library is imported on first use (it costs 0.15 s) and none of its types leave this module. A `Psbt` is a value:
every role returns a new one.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, cast

import msgspec

from leyden.base.errors import CommandRejected, DecodeError
from leyden.bitcoin.tx import Transaction, TxOut

if TYPE_CHECKING:
    from btclib_wallet.bip32 import BIP32KeyOrigin
    from btclib_wallet.psbt import Psbt as LibraryPsbt
    from btclib_wallet.psbt import PsbtIn
    from btclib_wallet.psbt.psbt_in import ValidSigHashType

PSBT_MAX_BYTES = 8 * 1024 * 1024
"""Longer PSBTs are refused unread; two blocks full of previous transactions fit."""

# The library refuses with its own errors, all of them kinds of these; a Rust or C part below it may use them bare.
_LIBRARY_ERRORS = (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError)


class KeyOrigin(msgspec.Struct, frozen=True, gc=False):
    """Where a key comes from: the 4-byte fingerprint of the master key and the path of `bip32.parse_path`."""

    master_fingerprint: bytes
    path: tuple[int, ...]


class PsbtSigner(Protocol):
    """Whoever holds keys; answers None for a key it does not have."""

    def sign_ecdsa(self, public_key: bytes, origin: KeyOrigin | None, digest: bytes) -> bytes | None:
        """Return the DER signature, without sighash byte, of a 32-byte digest by a 33-byte public key."""
        ...

    def sign_taproot(
        self, internal_key: bytes, origin: KeyOrigin | None, digest: bytes, merkle_root: bytes
    ) -> bytes | None:
        """Return the 64-byte key-path signature by the tweaked 32-byte internal key; `merkle_root` may be empty."""
        ...


class InputUpdate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an Updater adds to one input; None and empty add nothing.

    Attributes:
        previous_tx: the whole transaction that is spent; signers want it except for taproot.
        key_origins: by 33-byte public key.
        taproot_internal_key: 32 bytes, key path only.
    """

    previous_tx: Transaction | None = None
    witness_utxo: TxOut | None = None
    redeem_script: bytes = b""
    witness_script: bytes = b""
    key_origins: Mapping[bytes, KeyOrigin] = {}
    taproot_internal_key: bytes = b""
    taproot_key_origin: KeyOrigin | None = None
    sighash_type: int | None = None


class OutputUpdate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an Updater adds to one output, so that a signer can recognise change."""

    redeem_script: bytes = b""
    witness_script: bytes = b""
    key_origins: Mapping[bytes, KeyOrigin] = {}


class Psbt(msgspec.Struct, frozen=True, gc=False):
    """A partially signed transaction. Build it with `parse`, `from_base64` or `create`, which check the bytes."""

    raw: bytes

    @staticmethod
    def create(tx: Transaction) -> "Psbt":
        """Start from an unsigned transaction (Creator); scripts and witnesses in it are dropped.

        Raises:
            CommandRejected: the library refuses the transaction (code `psbt_refused`).
        """
        from btclib.tx import Tx
        from btclib_wallet.psbt import Psbt as Library

        try:
            unsigned = Tx.parse(tx.serialize_no_witness(), check_validity=False)
            return Psbt(Library.from_tx(unsigned).serialize())
        except _LIBRARY_ERRORS as error:
            raise _refused(error) from None

    @staticmethod
    def parse(raw: bytes) -> "Psbt":
        """Decode a version 0 PSBT.

        Raises:
            DecodeError: malformed, too long, or another version.
        """
        inner = _load(raw)
        if inner.version != 0:
            raise DecodeError(f"PSBT version {inner.version} is not supported", field="psbt")
        try:
            return Psbt(inner.serialize())
        except _LIBRARY_ERRORS as error:
            raise DecodeError(str(error), field="psbt") from None

    @staticmethod
    def from_base64(text: str) -> "Psbt":
        """Decode the text form; blanks around it are ignored. Raises as `parse`."""
        try:
            raw = b64decode(text.strip(), validate=True)
        except ValueError:
            raise DecodeError("not base64", field="psbt") from None
        return Psbt.parse(raw)

    def to_base64(self) -> str:
        """Return the text form."""
        return b64encode(self.raw).decode("ascii")

    def unsigned_tx(self) -> Transaction:
        """Return the transaction that is being signed, without scripts and witnesses."""
        raw = _load(self.raw).tx.serialize(include_witness=False, check_validity=False)
        return Transaction.parse_no_witness(raw)

    def spent_outputs(self) -> tuple[TxOut, ...]:
        """Return the outputs that the inputs spend, as far as the PSBT says.

        Raises:
            CommandRejected: an input lacks its previous output (code `psbt_refused`).
        """
        from btclib_wallet.psbt import prevouts

        try:
            found = prevouts(_load(self.raw))
        except _LIBRARY_ERRORS as error:
            raise _refused(error) from None
        return tuple(TxOut(out.value, out.script_pub_key.script) for out in found)

    def update(self, inputs: Mapping[int, InputUpdate], outputs: Mapping[int, OutputUpdate]) -> "Psbt":
        """Add what signers need to know (Updater), by index of input and output.

        Raises:
            CommandRejected: no such index, or what is added contradicts the transaction (code `psbt_refused`).
        """
        inner = _load(self.raw)
        try:
            for index, update in inputs.items():
                _update_input(inner.inputs[index], update)
            for index, change in outputs.items():
                psbt_out = inner.outputs[index]
                psbt_out.redeem_script = change.redeem_script or psbt_out.redeem_script
                psbt_out.witness_script = change.witness_script or psbt_out.witness_script
                psbt_out.hd_key_paths = _merged_origins(psbt_out.hd_key_paths, change.key_origins)
            return Psbt(inner.serialize())
        except _LIBRARY_ERRORS as error:
            raise _refused(error) from None

    def sign(self, signer: PsbtSigner, *, require_previous_txs: bool) -> "Psbt":
        """Ask `signer` for the signature of every key that the PSBT names (Signer).

        Args:
            require_previous_txs: refuse inputs that carry only the spent output. Whoever signs the PSBT of a stranger
                insists on them: a lie about an amount would go into the fee.

        Raises:
            CommandRejected: an input cannot be signed as it stands (code `psbt_refused`).
        """
        from btclib_wallet.psbt import sign

        try:
            signed, _ = sign(_load(self.raw), _SignerAdapter(signer), require_non_witness_utxo=require_previous_txs)
            return Psbt(signed.serialize())
        except _LIBRARY_ERRORS as error:
            raise _refused(error) from None

    def finalize(self) -> "Psbt":
        """Turn the signatures of every input into its scripts (Input Finalizer).

        Raises:
            CommandRejected: an input lacks a signature, or one does not verify (code `psbt_refused`).
        """
        from btclib_wallet.psbt import finalize

        try:
            return Psbt(finalize(_load(self.raw)).serialize())
        except _LIBRARY_ERRORS as error:
            raise _refused(error) from None

    def extract(self) -> Transaction:
        """Return the network transaction of a finalized PSBT (Extractor); its scripts are run first.

        The fee is the caller's to check.

        Raises:
            CommandRejected: not final, or a script fails (code `psbt_refused`).
        """
        from btclib_wallet.psbt import extract_tx

        try:
            tx = extract_tx(_load(self.raw), max_fee_rate=None)
        except _LIBRARY_ERRORS as error:
            raise _refused(error) from None
        return Transaction.parse(tx.serialize(include_witness=True))


def combine(psbts: Sequence[Psbt]) -> Psbt:
    """Merge copies of one PSBT that different signers worked on (Combiner).

    Raises:
        CommandRejected: they are not of one transaction, or contradict each other (code `psbt_refused`).
    """
    from btclib_wallet.psbt import combine as library_combine

    try:
        return Psbt(library_combine([_load(psbt.raw) for psbt in psbts]).serialize())
    except _LIBRARY_ERRORS as error:
        raise _refused(error) from None


def _load(raw: bytes) -> "LibraryPsbt":
    from btclib_wallet.psbt import Psbt as Library

    if len(raw) > PSBT_MAX_BYTES:
        raise DecodeError(f"longer than {PSBT_MAX_BYTES} bytes", field="psbt")
    try:
        return Library.parse(raw)
    except _LIBRARY_ERRORS as error:
        raise DecodeError(str(error), field="psbt") from None


def _refused(error: Exception) -> CommandRejected:
    return CommandRejected(f"the PSBT does not allow this: {error}", code="psbt_refused")


def _library_origin(origin: KeyOrigin) -> "BIP32KeyOrigin":
    from btclib_wallet.bip32 import BIP32KeyOrigin

    return BIP32KeyOrigin(origin.master_fingerprint, list(origin.path))


def _merged_origins(
    present: Mapping[bytes, "BIP32KeyOrigin"], added: Mapping[bytes, KeyOrigin]
) -> dict[bytes, "BIP32KeyOrigin"]:
    merged = {**present, **{key: _library_origin(origin) for key, origin in added.items()}}
    return dict(sorted(merged.items()))


def _update_input(psbt_in: "PsbtIn", update: InputUpdate) -> None:
    from btclib.script.sig_hash import assert_valid_hash_type
    from btclib.tx import Tx
    from btclib.tx import TxOut as LibraryTxOut

    if update.previous_tx is not None:
        psbt_in.non_witness_utxo = Tx.parse(update.previous_tx.serialize())
    if update.witness_utxo is not None:
        psbt_in.witness_utxo = LibraryTxOut.parse(update.witness_utxo.serialize())
    psbt_in.redeem_script = update.redeem_script or psbt_in.redeem_script
    psbt_in.witness_script = update.witness_script or psbt_in.witness_script
    psbt_in.hd_key_paths = _merged_origins(psbt_in.hd_key_paths, update.key_origins)
    if update.taproot_internal_key:
        psbt_in.taproot_internal_key = update.taproot_internal_key
    if update.taproot_key_origin is not None:
        origin = _library_origin(update.taproot_key_origin)
        psbt_in.taproot_hd_key_paths = {psbt_in.taproot_internal_key: ([], origin)}
    if update.sighash_type is not None:
        assert_valid_hash_type(update.sighash_type)
        psbt_in.sig_hash_type = cast("ValidSigHashType", update.sighash_type)


class _SignerAdapter:
    """Our signer in the shape that the library asks for."""

    def __init__(self, signer: PsbtSigner) -> None:
        self._signer = signer

    def sign_ecdsa(self, pub_key: bytes, origin: "BIP32KeyOrigin | None", msg_hash: bytes) -> bytes | None:
        return self._signer.sign_ecdsa(pub_key, _own_origin(origin), msg_hash)

    def sign_schnorr(
        self, pub_key: bytes, origin: "BIP32KeyOrigin | None", msg_hash: bytes, merkle_root: bytes
    ) -> bytes | None:
        return self._signer.sign_taproot(pub_key, _own_origin(origin), msg_hash, merkle_root)

    def sign_schnorr_script_path(
        self, pub_key: bytes, origin: "BIP32KeyOrigin | None", msg_hash: bytes, leaf_hash: bytes
    ) -> bytes | None:
        # Leyden's wallet owns no script-path outputs; channel outputs are signed without a PSBT.
        del pub_key, origin, msg_hash, leaf_hash
        return None


def _own_origin(origin: "BIP32KeyOrigin | None") -> KeyOrigin | None:
    return None if origin is None else KeyOrigin(origin.master_fingerprint, tuple(origin.der_path))
