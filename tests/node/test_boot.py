"""A start reads key and journals, and refuses both when they do not belong together; then nothing was changed."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from leyden.base.errors import CommandRejected
from leyden.bitcoin import bip39
from leyden.bitcoin.networks import MAINNET, REGTEST
from leyden.journal.node_codec import encode_node_record
from leyden.journal.node_records import NodeBorn
from leyden.journal.wallet_records import WalletCreated
from leyden.manager.config import ManagerConfig
from leyden.manager.manager import Manager
from leyden.node import boot
from leyden.node.settings import NodeConfig
from leyden.ports.store import Store, StoredJournal
from leyden.signer.in_memory import InMemorySigner
from leyden.sim.node import SimNode
from leyden.wallet import state as wallet_state
from tests.hazards import endings
from tests.manager.stage import Stage
from tests.sim import topologies

ENTROPY = bytes(range(16))
WORDS = "abandon amount liar amount expire adjust cage candy arch gather drum buyer"


class Shelf:
    """A store of which only the journals are looked at."""

    def __init__(self, journals: Sequence[StoredJournal]) -> None:
        self.journals = journals

    def load(self) -> Iterator[StoredJournal]:
        """See `Store`."""
        yield from self.journals


def shelf(journals: Sequence[StoredJournal]) -> Store:
    """A store with these journals."""
    return cast(Store, Shelf(journals))


def born(node_id: bytes, chain_hash: bytes = REGTEST.chain_hash) -> StoredJournal:
    """The journal of a node that has just been born."""
    return StoredJournal("node", 0, b"", [encode_node_record(NodeBorn(chain_hash, node_id, 7, bytes(32)))])


def forwarder() -> SimNode:
    """bob, who carries a payment of alice's to carol that she has not answered."""
    stage = Stage(endings.line())
    stage.prompt("carol", "")
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=endings.PATIENT_SECONDS)
    stage.seconds(3)
    return stage["bob"]


# --- the key ---------------------------------------------------------------------------------------------------------


def test_signer_is_that_of_the_seed_words() -> None:
    """Whoever has the words has the node: no passphrase of BIP 39 is mixed in."""
    assert bip39.mnemonic_from_entropy(ENTROPY) == WORDS
    signer = boot.signer_of_entropy(ENTROPY, REGTEST)
    assert signer.node_id == InMemorySigner(bip39.seed_from_mnemonic(WORDS, ""), REGTEST).node_id
    main = boot.signer_of_entropy(ENTROPY, MAINNET)
    assert main.shutdown_script_pubkey() != signer.shutdown_script_pubkey(), "accounts are those of the network"


def test_key_that_was_made_opens_the_same_node(tmp_path: Path) -> None:
    """With its passphrase, and never over another one."""
    config = NodeConfig(data_dir=str(tmp_path))
    node_id = boot.create_key(config.key_path, ENTROPY, "secret", REGTEST)
    assert node_id == boot.signer_of_entropy(ENTROPY, REGTEST).node_id
    assert boot.open_key(config, REGTEST, "secret").node_id == node_id
    with pytest.raises(CommandRejected) as caught:
        boot.open_key(config, REGTEST, None)
    assert caught.value.code == "passphrase_needed"
    with pytest.raises(CommandRejected) as caught:
        boot.create_key(config.key_path, bytes(16), None, REGTEST)
    assert caught.value.code == "key_file_exists"


def test_new_directory_gets_a_key_that_stays(tmp_path: Path) -> None:
    """A seed of its own, sealed when there is a passphrase."""
    ids = []
    for name in ("one", "two"):
        config = NodeConfig(data_dir=str(tmp_path / name))
        config.directory.mkdir()
        ids.append(boot.open_key(config, REGTEST, "secret").node_id)
        assert boot.open_key(config, REGTEST, "secret").node_id == ids[-1]
        with pytest.raises(CommandRejected):
            boot.open_key(config, REGTEST, None)
    assert ids[0] != ids[1]


def test_journals_without_their_key_get_no_new_one(tmp_path: Path) -> None:
    """A new seed could use none of them; the right one may only be somewhere else."""
    config = NodeConfig(data_dir=str(tmp_path))
    config.store_path.write_bytes(b"journals")
    with pytest.raises(CommandRejected, match="restore the key file") as caught:
        boot.open_key(config, REGTEST, None)
    assert caught.value.code == "key_file_missing"
    assert not config.key_path.exists()


def test_key_file_that_names_another_node_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in the derivation must not become a node without channels."""
    config = NodeConfig(data_dir=str(tmp_path))
    boot.create_key(config.key_path, ENTROPY, None, REGTEST)
    other = boot.signer_of_entropy(bytes(16), REGTEST)
    monkeypatch.setattr(boot, "signer_of_entropy", lambda _entropy, _network: other)
    with pytest.raises(CommandRejected) as caught:
        boot.open_key(config, REGTEST, None)
    assert caught.value.code == "wrong_seed"


# --- the journals ----------------------------------------------------------------------------------------------------


def refusal(journals: Sequence[StoredJournal], signer: InMemorySigner) -> CommandRejected:
    """Why a start with these journals is refused."""
    with pytest.raises(CommandRejected) as caught:
        boot.fold_store(shelf(journals), signer, REGTEST)
    return caught.value


def test_journals_are_folded() -> None:
    """An empty store is that of a new node."""
    alice = Stage(topologies.direct())["alice"]
    assert boot.fold_store(shelf([]), alice.signer, REGTEST).node.born is None
    folded = boot.fold_store(shelf(alice.disk.journals()), alice.signer, REGTEST)
    assert folded.node.born is not None
    assert [state.core.opened.counterparty_node_id for state in folded.channels] == [
        slot.peer for slot in alice.manager.channels.values()
    ]


def test_journals_of_another_seed_or_network_are_refused() -> None:
    """Each with what to do about it."""
    alice, bob = (Stage(topologies.direct())[name] for name in ("alice", "bob"))
    why = refusal(alice.disk.journals(), bob.signer)
    assert why.code == "wrong_seed"
    assert alice.node_id.hex() in why.what
    assert bob.node_id.hex() in why.what
    why = refusal([born(alice.node_id, MAINNET.chain_hash)], alice.signer)
    assert (why.code, "another network than regtest" in why.what) == ("wrong_network", True)


@pytest.mark.parametrize("readable", [True, False])
def test_channels_without_the_journal_of_the_node_are_refused(*, readable: bool) -> None:
    """A node that was born again would not know its payments, nor what it has archived."""
    alice = Stage(topologies.direct())["alice"]
    channels = [one for one in alice.disk.journals() if one.journal != "node"]
    if not readable:
        channels = [StoredJournal(one.journal, 0, b"", [b"\xff"]) for one in channels]
    why = refusal(channels, alice.signer)
    assert (why.code, why.what) == ("bad_journal", "the journal of the node itself is missing")


def test_journal_of_the_node_that_cannot_be_read_is_refused() -> None:
    """The sentence says that nothing was changed, and what helps."""
    alice = Stage(topologies.direct())["alice"]
    journals = [
        StoredJournal("node", 0, b"", [b"\xff"]) if one.journal == "node" else one for one in alice.disk.journals()
    ]
    why = refusal(journals, alice.signer)
    assert why.code == "bad_journal"
    assert "Nothing was changed. If this data directory comes from a newer version of Leyden" in why.what


# --- the manager -----------------------------------------------------------------------------------------------------


def manager_of(node: SimNode, journals: Sequence[StoredJournal]) -> Manager:
    """A manager of these journals."""
    folded = boot.fold_store(shelf(journals), node.signer, REGTEST)
    return boot.make_manager(ManagerConfig(REGTEST), node.signer, folded, node.random32)


def test_manager_knows_what_was_folded_and_decides_nothing_yet() -> None:
    """Its handlers are there; whether the chain is at its tip it does not know."""
    bob = forwarder()
    manager = manager_of(bob, bob.disk.journals())
    assert list(manager.channels) == list(bob.manager.channels)
    assert manager.effect_handlers
    assert not manager.is_started
    assert not manager.actions
    assert manager.random32 == bob.random32


def test_channel_that_another_one_needs_must_be_there() -> None:
    """What it forwards could never be settled; both are named."""
    bob = forwarder()
    [outbound] = [slot for slot in bob.manager.channels.values() if slot.state.core.outbound]
    [inbound] = [slot for slot in bob.manager.channels.values() if slot.state.core.inbound]
    journals = [one for one in bob.disk.journals() if one.journal != inbound.tail.journal]
    with pytest.raises(CommandRejected) as caught:
        manager_of(bob, journals)
    assert caught.value.code == "bad_journal"
    for said in (inbound.tail.journal, outbound.tail.journal, ". Nothing was changed"):
        assert said in caught.value.what


def test_wallet_is_folded_from_its_snapshot_and_the_records_behind() -> None:
    """A new node has neither."""
    alice = Stage(topologies.direct())["alice"]
    folded = boot.fold_store(shelf([]), alice.signer, REGTEST)
    assert boot.fold_wallet(folded).created is None
    folded = boot.fold_store(shelf(alice.disk.journals()), alice.signer, REGTEST)
    whole = boot.fold_wallet(folded)
    assert whole.created is not None
    assert whole.coins == alice.wallet.state.coins
    assert whole.coins
    first, *behind = folded.wallet_records
    assert isinstance(first, WalletCreated)
    begun = wallet_state.WalletState()
    wallet_state.fold(begun, first)
    folded.wallet_snapshot, folded.wallet_records = wallet_state.to_snapshot(begun), behind
    again = boot.fold_wallet(folded)
    assert (again.created, again.coins) == (whole.created, whole.coins)


def test_threads_take_turns_quickly() -> None:
    """The store's thread would wait 5 ms for the loop's at each commit."""
    before = sys.getswitchinterval()
    try:
        sys.setswitchinterval(0.005)
        boot.tune_interpreter()
        assert sys.getswitchinterval() == pytest.approx(0.0005)
    finally:
        sys.setswitchinterval(before)
