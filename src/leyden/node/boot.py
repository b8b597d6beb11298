"""From a data directory to a runtime: key, store, fold, marks. Everything that can be wrong with them is said here."""

import sys
from collections.abc import Callable
from pathlib import Path

from leyden.base.errors import CommandRejected, DecodeError
from leyden.bitcoin import bip39
from leyden.bitcoin.networks import Network
from leyden.drivers.keyfile import KeyFile, Seed
from leyden.manager import effects, rebuild
from leyden.manager.config import ManagerConfig, NodeSigner
from leyden.manager.manager import Manager
from leyden.manager.outbox import Outbox
from leyden.manager.rebuild import Folded
from leyden.node.clock import random_bytes
from leyden.node.settings import NodeConfig
from leyden.ports.store import Store
from leyden.signer.in_memory import InMemorySigner
from leyden.wallet import state as wallet_state
from leyden.wallet.state import WalletState

SWITCH_INTERVAL_SECONDS = 0.0005


def signer_of_entropy(entropy: bytes, network: Network) -> InMemorySigner:
    """Return the signer of BIP 39 entropy (16 or 32 bytes; no BIP 39 passphrase)."""
    seed = bip39.seed_from_mnemonic(bip39.mnemonic_from_entropy(entropy), "")
    return InMemorySigner(seed, network)


def create_key(path: Path, entropy: bytes, passphrase: str | None, network: Network) -> bytes:
    """Write a new key file; return the node_id. Raises CommandRejected."""
    node_id = signer_of_entropy(entropy, network).node_id
    KeyFile(path).create(Seed(entropy, node_id), passphrase, random_bytes)
    return node_id


def open_key(config: NodeConfig, network: Network, passphrase: str | None) -> InMemorySigner:
    """Read the key file; a new data directory gets a new key. Raises CommandRejected."""
    key_file = KeyFile(config.key_path)
    if not key_file.exists():
        if config.store_path.exists():
            raise CommandRejected(
                f"{config.key_path} is missing, but there are journals beside it: restore the key file",
                code="key_file_missing",
            )
        create_key(config.key_path, random_bytes(16), passphrase, network)
    seed = key_file.read(passphrase)
    signer = signer_of_entropy(seed.entropy, network)
    seed.check(signer.node_id)
    return signer


def fold_store(store: Store, signer: NodeSigner, network: Network) -> Folded:
    """Load and fold every journal. Raises CommandRejected (`bad_journal`, `wrong_seed`, `wrong_network`); touches
    nothing.
    """
    try:
        folded = rebuild.fold_journals(store.load())
    except DecodeError as error:
        raise CommandRejected(
            f"{error}. Nothing was changed. If this data directory comes from a newer version of Leyden, use that "
            "version; else restore it from where it was last intact, and do not start an older copy of it",
            code="bad_journal",
        ) from error
    born = folded.node.born
    if born is not None:
        if born.node_id != signer.node_id:
            raise CommandRejected(
                f"these journals belong to node {born.node_id.hex()}, the seed to {signer.node_id.hex()}: "
                "put the key file back that belongs to them, or name another data directory",
                code="wrong_seed",
            )
        if born.chain_hash != network.chain_hash:
            raise CommandRejected(
                f"these journals belong to another network than {network.name}: "
                "correct the setting `network`, or name another data directory",
                code="wrong_network",
            )
    elif folded.channels or folded.unreadable:
        raise CommandRejected("the journal of the node itself is missing", code="bad_journal")
    return folded


def make_manager(config: ManagerConfig, signer: NodeSigner, folded: Folded, random32: Callable[[], bytes]) -> Manager:
    """Return the manager of what was folded, with its handlers."""
    manager = rebuild.load(config, signer, Outbox(), folded, random32)
    try:
        rebuild.check_lost_journals(manager)
    except DecodeError as error:
        raise CommandRejected(f"{error}. Nothing was changed", code="bad_journal") from error
    effects.wire(manager)
    return manager


def fold_wallet(folded: Folded) -> WalletState:
    """Return the wallet's durable state."""
    state = wallet_state.from_snapshot(folded.wallet_snapshot) if folded.wallet_snapshot else WalletState()
    for record in folded.wallet_records:
        wallet_state.fold(state, record)
    return state


def tune_interpreter() -> None:
    """The store's thread and the loop share the interpreter; a long switch interval makes each commit wait
    (HOTPATH).
    """
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
