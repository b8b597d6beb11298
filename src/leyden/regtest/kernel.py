"""Adapter over Bitcoin Core's consensus library (py-bitcoinkernel, module `pbk`).

Everything that is dangerous about the library ends in this file:

- wrong arguments of `verify` abort the process: they are checked here before the call;
- the library reports an invalid block in three different ways: `process_block` makes one `BlockOutcome` of them;
- its objects die with their owner or after a callback: only bytes and ints leave this file;
- an exception in a callback is swallowed: callbacks store facts, and errors are raised after the call;
- a call from inside a callback deadlocks, and the log belongs to the process: one lock, one thread per kernel.

The databases are in memory, because the library cannot be told to flush: what lasts is our own block journal.
"""

import ctypes
import shutil
import threading
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Final, cast, final

import pbk
from msgspec import Struct
from pbk.capi import bindings
from pbk.log import LoggingConnection, LoggingOptions, logging_set_options
from pbk.notifications import NotificationInterfaceCallbacks

from leyden.base.errors import ChainUnavailable
from leyden.crypto.hashes import sha256d

_MODE_VALID: Final = 0
_HEADER_LENGTH: Final = 80

VERIFY_P2SH: Final = 1 << 0
VERIFY_DERSIG: Final = 1 << 2
VERIFY_NULLDUMMY: Final = 1 << 4
VERIFY_CHECKLOCKTIMEVERIFY: Final = 1 << 9
VERIFY_CHECKSEQUENCEVERIFY: Final = 1 << 10
VERIFY_WITNESS: Final = 1 << 11
VERIFY_TAPROOT: Final = 1 << 17
VERIFY_CONSENSUS: Final = (
    VERIFY_P2SH
    | VERIFY_DERSIG
    | VERIFY_NULLDUMMY
    | VERIFY_CHECKLOCKTIMEVERIFY
    | VERIFY_CHECKSEQUENCEVERIFY
    | VERIFY_WITNESS
    | VERIFY_TAPROOT
)
"""Every rule that a block is held to on regtest; the library knows no other flag."""

SpentOutput = tuple[int, bytes]
"""value_sat and script_pubkey of an output that is spent."""


class Verdict(Enum):
    """What the library thinks of a block that was given to it."""

    VALID = "valid"
    SIDE = "side"
    """Stored; its scripts have not been run, because another branch has at least as much work."""
    DUPLICATE = "duplicate"
    INVALID = "invalid"
    UNDECODABLE = "undecodable"


class BlockOutcome(Struct, frozen=True):
    """The result of one `process_block`.

    `reason` is Core's reject reason, e.g. `bad-cb-amount`, and is empty unless the verdict is INVALID;
    `invalid` names every block (32 bytes, internal order) that was found invalid in this call, with its reason:
    a reorganisation can run the scripts of blocks that came earlier.
    """

    verdict: Verdict
    reason: str
    invalid: tuple[tuple[bytes, str], ...]


class _Log:
    """The one log connection of the process; keeps the latest reject reason."""

    def __init__(self) -> None:
        self.reason = ""
        self.last_error = ""
        logging_set_options(LoggingOptions(False, False, False, False, False))
        self._connection = LoggingConnection(self._on_line)

    def _on_line(self, line: str) -> None:
        if line.startswith("UpdateTip"):
            return
        if "Block validation error: " in line:
            self.reason = line.split("Block validation error: ", 1)[1].strip()
        elif " FAILED (" in line:
            self.reason = line.split(" FAILED (", 1)[1].strip().removesuffix(")")
        elif "[error]" in line:
            self.last_error = line.split("[error]", 1)[1].strip()


_PROCESS_LOCK: Final = threading.RLock()
_logs: Final[list[_Log]] = []


def _process_log() -> _Log:
    if not _logs:
        _logs.append(_Log())
    return _logs[0]


def short_reason(reason: str) -> str:
    """Return the part of a reject reason before its explanation: `bad-cb-amount, coinbase pays …` → `bad-cb-amount`."""
    head = reason.split(", ", 1)[0]
    return head.split(" (", 1)[0]


def _hash_bytes(handle: "bindings.Handle") -> bytes:
    buffer = (ctypes.c_ubyte * 32)()
    bindings.btck_block_hash_to_bytes(handle, buffer)
    return bytes(buffer)


def _entry_hash(entry: "bindings.Handle") -> bytes:
    return _hash_bytes(bindings.btck_block_tree_entry_get_block_hash(entry))


@final
class Kernel:
    """One regtest chain state, used by the thread that made it and by no other.

    Args of the constructor: directory: a folder of our own; it is wiped (block files of an earlier life are of no use
    without the databases). Raises ChainUnavailable when the library refuses (no disk space, no permission).
    """

    def __init__(self, directory: Path) -> None:
        self._thread = threading.get_ident()
        self._directory = directory
        self._checked: list[tuple[bytes, int]] = []
        self._reasons: list[tuple[bytes, str]] = []
        self._fatal: list[str] = []
        self._manager: pbk.ChainstateManager | None = None
        shutil.rmtree(directory, ignore_errors=True)
        with _PROCESS_LOCK:
            log = _process_log()
            log.last_error = ""
            try:
                directory.mkdir(parents=True)
                self._manager = self._open(directory)
            except (OSError, RuntimeError) as error:
                raise ChainUnavailable(f"the consensus library does not start: {log.last_error or error}") from error

    def _open(self, directory: Path) -> pbk.ChainstateManager:
        options = pbk.ContextOptions()
        options.set_chainparams(pbk.ChainParameters(pbk.ChainType.REGTEST))
        options.set_validation_interface(pbk.ValidationInterfaceCallbacks(block_checked=self._on_block_checked))
        options.set_notifications(
            NotificationInterfaceCallbacks(fatal_error=self._on_fatal, flush_error=self._on_fatal)
        )
        manager_options = pbk.ChainstateManagerOptions(pbk.Context(options), str(directory), str(directory / "blocks"))
        manager_options.update_block_tree_db_in_memory(True)
        manager_options.update_chainstate_db_in_memory(True)
        manager_options.set_worker_threads_num(0)
        return pbk.ChainstateManager(manager_options)

    def close(self) -> None:
        """Free the library's memory and its files; the object is of no more use. May be called twice."""
        manager, self._manager = self._manager, None
        if manager is not None:
            with _PROCESS_LOCK:
                manager.__del__()
            shutil.rmtree(self._directory, ignore_errors=True)

    def _live(self) -> pbk.ChainstateManager:
        assert threading.get_ident() == self._thread, "a kernel belongs to the thread that made it"
        assert self._manager is not None, "the kernel is closed"
        return self._manager

    def _on_block_checked(self, _: object, block: pbk.Block, state: pbk.BlockValidationState) -> None:
        handle = bindings.btck_block_get_hash(block)
        block_hash = _hash_bytes(handle)
        bindings.btck_block_hash_destroy(handle)
        mode = int(state.validation_mode)
        self._checked.append((block_hash, mode))
        if mode != _MODE_VALID:
            self._reasons.append((block_hash, _process_log().reason))

    def _on_fatal(self, _: object, message: object, length: int) -> None:
        text: bytes = ctypes.string_at(cast(ctypes.c_char_p, message), length)
        self._fatal.append(text.decode(errors="replace"))

    def process_block(self, raw: bytes) -> BlockOutcome:
        """Give a serialised block to the library.

        Raises ChainUnavailable when the library fails for a reason that is not the block's (disk full).
        """
        manager = self._live()
        handle = bindings.btck_block_create(raw, len(raw))
        if not handle:
            return BlockOutcome(Verdict.UNDECODABLE, "", ())
        block_hash = sha256d(raw[:_HEADER_LENGTH])
        is_new = ctypes.c_int32()
        with _PROCESS_LOCK:
            log = _process_log()
            log.reason = ""
            self._checked.clear()
            self._reasons.clear()
            self._fatal.clear()
            try:
                code = bindings.btck_chainstate_manager_process_block(manager, handle, ctypes.pointer(is_new))
            finally:
                bindings.btck_block_destroy(handle)
            last_reason = log.reason
        if self._fatal:
            raise ChainUnavailable(f"the consensus library failed: {self._fatal[0]}")
        # A header's or a merkle root's fault reaches the log only after the callback.
        invalid = tuple((bad, reason or last_reason) for bad, reason in self._reasons)
        verdicts = [mode for checked, mode in self._checked if checked == block_hash]
        if verdicts and verdicts[-1] != _MODE_VALID:
            return BlockOutcome(Verdict.INVALID, dict(invalid)[block_hash], invalid)
        if code != 0:
            raise ChainUnavailable(f"the consensus library failed: {last_reason or log.last_error or code}")
        if verdicts:
            return BlockOutcome(Verdict.VALID, "", invalid)
        return BlockOutcome(Verdict.SIDE if is_new.value else Verdict.DUPLICATE, "", invalid)

    def tip(self) -> tuple[int, bytes]:
        """Return height and hash (32 bytes, internal order) of the best block."""
        chain = bindings.btck_chainstate_manager_get_active_chain(self._live())
        height = bindings.btck_chain_get_height(chain)
        return height, _entry_hash(bindings.btck_chain_get_by_height(chain, height))

    def first_bad_input(self, raw_transaction: bytes, spent: Sequence[SpentOutput], flags: int) -> int | None:
        """Run the scripts of all inputs; return the index of the first that fails, or None.

        Args: raw_transaction: with witness; spent: one entry per input, in input order; flags: of `VERIFY_*`.
        Raises ValueError when the arguments do not fit each other (the library would abort the process).
        """
        self._live()
        if flags & ~VERIFY_CONSENSUS:
            raise ValueError("unknown script verification flag")
        transaction = bindings.btck_transaction_create(raw_transaction, len(raw_transaction))
        if not transaction:
            raise ValueError("the transaction does not decode")
        try:
            if bindings.btck_transaction_count_inputs(transaction) != len(spent) or not spent:
                raise ValueError("one spent output per input is needed")
            return _first_bad_input(transaction, spent, flags)
        finally:
            bindings.btck_transaction_destroy(transaction)


def _first_bad_input(transaction: "bindings.Handle", spent: Sequence[SpentOutput], flags: int) -> int | None:
    scripts = [bindings.btck_script_pubkey_create(script, len(script)) for _, script in spent]
    outputs = [
        bindings.btck_transaction_output_create(script, value_sat)
        for script, (value_sat, _) in zip(scripts, spent, strict=True)
    ]
    array_type = ctypes.POINTER(bindings.btck_TransactionOutput) * len(outputs)
    precomputed = bindings.btck_precomputed_transaction_data_create(transaction, array_type(*outputs), len(outputs))
    status = bindings.btck_ScriptVerifyStatus(0)
    try:
        for index, (value_sat, _) in enumerate(spent):
            ok = bindings.btck_script_pubkey_verify(
                scripts[index], value_sat, transaction, precomputed, index, flags, status
            )
            if not ok:
                return index
        return None
    finally:
        bindings.btck_precomputed_transaction_data_destroy(precomputed)
        for output in outputs:
            bindings.btck_transaction_output_destroy(output)
        for script in scripts:
            bindings.btck_script_pubkey_destroy(script)
