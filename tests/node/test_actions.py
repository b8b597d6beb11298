"""What the manager wants done outside is done, once and whole; what came of it goes back, and into the log."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from leyden.base.errors import ChainUnavailable, CommandRejected, StorageBroken, StorageFenced
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut, txid_to_hex
from leyden.manager import opening
from leyden.manager.actions import (
    Action,
    Broadcast,
    BroadcastPackage,
    ChannelBorn,
    Disconnect,
    DropJournal,
    ForgetTransaction,
    FundChannels,
    FundClaim,
    ReleaseFunding,
    Report,
    ShowEvent,
)
from leyden.manager.events import OpenRefused
from leyden.manager.onchain import claims
from leyden.node import actions
from leyden.node.core import NodeCore
from leyden.node.onchain import RESERVE_ALARM
from leyden.node.settings import NodeConfig
from leyden.ports.chain import BroadcastResult, ChainSource, UnspentOutput
from tests.manager.stage import Stage
from tests.sim import topologies

TAKEN = BroadcastResult(accepted=True, already_known=False, reject_reason="")
OURS = bytes(range(32))


def spending(number: int) -> Transaction:
    """A transaction; another one for each number."""
    prevout = OutPoint(bytes([number]) * 32, number)
    return Transaction(2, (TxIn(prevout, b"", 0, (b"witness",)),), (TxOut(1_000 + number, b"\x00\x14" + OURS[:20]),), 0)


class Service:
    """A chain service that answers as it is told. given: what was published, packages as they came.

    spent: in the mempool, by somebody else; gone: in a block.
    """

    def __init__(self, answer: BroadcastResult | ChainUnavailable = TAKEN) -> None:
        self.answer = answer
        self.given: list[tuple[bytes, ...]] = []
        self.spent: dict[OutPoint, None] = {}
        self.gone: dict[OutPoint, None] = {}

    async def broadcast(self, raw_tx: bytes) -> BroadcastResult:
        """See `ChainSource`."""
        return await self.broadcast_package([raw_tx])

    async def broadcast_package(self, raw_transactions: Sequence[bytes]) -> BroadcastResult:
        """See `ChainSource`."""
        self.given.append(tuple(raw_transactions))
        if isinstance(self.answer, ChainUnavailable):
            raise self.answer
        return self.answer

    async def get_txout(self, outpoint: OutPoint, include_mempool: bool) -> UnspentOutput | None:
        """See `ChainSource`."""
        if outpoint in self.gone or (include_mempool and outpoint in self.spent):
            return None
        return UnspentOutput(1, b"", 1, is_coinbase=False)


class Purse:
    """A wallet of which only what it is asked is looked at. refuses: a funding that it has no coins for."""

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.anchor_channels = -1
        self.asked: list[tuple[object, ...]] = []

    def pending_transaction(self, transaction: Transaction) -> None:
        """See `OnchainWallet`."""
        self.asked.append(("pending", transaction))

    def forget_pending(self, txid: bytes) -> None:
        """See `OnchainWallet`."""
        self.asked.append(("forget", txid))

    def release(self, owner: bytes) -> None:
        """See `OnchainWallet`."""
        self.asked.append(("release", owner))

    def build_funding(self, *terms: object) -> SimpleNamespace:
        """See `OnchainWallet`."""
        self.asked.append(("build", *terms))
        if self.refuses:
            raise CommandRejected(self.refuses, code="insufficient_funds")
        return SimpleNamespace(output_indices=[1, 0])

    def sign(self, _draft: object) -> Transaction:
        """See `OnchainWallet`."""
        return spending(9)

    def balance(self) -> SimpleNamespace:
        """See `OnchainWallet`."""
        return SimpleNamespace(reserve_target_sat=10_000, reserved_sat=4_000)


class Scene:
    """alice's node with a chain service and a wallet of tests. heard: (txid, accepted, reason) that reached claims."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, service: Service | None = None, purse: Purse | None = None):
        self.alice = Stage(topologies.direct())["alice"]
        self.service = service or Service()
        self.purse = purse or Purse()
        chain = cast(ChainSource, self.service)
        wallet = cast(Any, self.purse)
        self.core = NodeCore(NodeConfig(data_dir=""), self.alice.runtime, wallet, chain, lambda: b"drawn")
        self.heard: list[tuple[bytes, bool, str]] = []
        monkeypatch.setattr(claims, "on_broadcast_result", lambda _m, *heard: self.heard.append(heard))

    async def carry_out(self, action: Action) -> None:
        """Carry out an action, and let everything run that follows."""
        actions.carry_out(self.core, action)
        for _ in range(20):
            self.alice.life.run_posted()
            await asyncio.sleep(0)


# --- the log ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "number"),
    [("debug", logging.DEBUG), ("info", logging.INFO), ("warning", logging.WARNING), ("error", logging.ERROR)],
)
def test_report_goes_to_the_log_of_its_subsystem(level: str, number: int, caplog: pytest.LogCaptureFixture) -> None:
    """With its own words: what a peer writes into them is no format."""
    with caplog.at_level(logging.DEBUG):
        actions.report(Report("peer", level, "100 % of %s"))
    assert caplog.record_tuples == [("leyden.peer", number, "100 % of %s")]


# --- publishing ------------------------------------------------------------------------------------------------------


async def test_transaction_is_published_and_the_manager_hears_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its coins are taken before anybody answers, the reserve is looked at, and its end is in the log."""
    caplog.set_level(logging.INFO)
    scene, transaction = Scene(monkeypatch), spending(1)
    raw = transaction.serialize()
    actions.carry_out(scene.core, Broadcast(raw, "claim"))
    assert scene.purse.asked == [("pending", transaction)]
    assert not scene.service.given
    await scene.carry_out(Report("chain", "info", "meanwhile"))
    assert scene.service.given == [(raw,)]
    assert "6000 sat are missing" in scene.core.alarms[RESERVE_ALARM]
    assert scene.heard == [(transaction.txid(), True, "")]
    assert f"claim {txid_to_hex(transaction.txid())} is published" in caplog.messages


async def test_package_is_published_as_one_and_the_child_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wallet knows parents too: their outputs may be coins of the child."""
    scene = Scene(monkeypatch)
    parent, child = spending(1), spending(2)
    raws = (parent.serialize(), child.serialize())
    await scene.carry_out(BroadcastPackage(raws, "force-close"))
    assert scene.purse.asked == [("pending", parent), ("pending", child)]
    assert scene.service.given == [raws]
    assert scene.heard == [(child.txid(), True, "")]


async def test_refusal_goes_back_and_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A claim that is refused pays more; nobody knows better why than the service."""
    scene = Scene(monkeypatch, Service(BroadcastResult(accepted=False, already_known=False, reject_reason="too cheap")))
    transaction = spending(1)
    await scene.carry_out(Broadcast(transaction.serialize(), "claim"))
    assert scene.heard == [(transaction.txid(), False, "too cheap")]
    said = f"claim {txid_to_hex(transaction.txid())} was refused: too cheap"
    assert ("leyden.chain", logging.WARNING, said) in caplog.record_tuples


@pytest.mark.parametrize("where", ["mempool", "block"])
async def test_rival_is_named_and_what_a_block_has_spent_needs_no_claim(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    """Two ends that close at once both publish, and a claim may be in a block already when it is offered again: that is
    no fault, and no reason to worry anybody.
    """
    caplog.set_level(logging.INFO)
    scene = Scene(monkeypatch, Service(BroadcastResult(accepted=False, already_known=False, reject_reason="conflict")))
    transaction = spending(1)
    prevout = transaction.inputs[0].prevout
    (scene.service.spent if where == "mempool" else scene.service.gone)[prevout] = None
    await scene.carry_out(Broadcast(transaction.serialize(), "force-close"))
    [(level, said)] = [(level, text) for name, level, text in caplog.record_tuples if name == "leyden.chain"]
    assert level == logging.INFO
    if where == "mempool":
        assert f"what spends {txid_to_hex(prevout.txid)}:{prevout.vout} waits for a block already" in said
    else:
        assert said.endswith(f"is not needed now: {txid_to_hex(prevout.txid)}:{prevout.vout} is not there to be spent")


async def test_service_that_is_away_is_no_refusal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A claim must not pay more because a socket was closed; it is published again with the next block."""
    scene = Scene(monkeypatch, Service(ChainUnavailable("connection refused")))
    await scene.carry_out(Broadcast(spending(1).serialize(), "claim"))
    assert not scene.heard
    assert [one for one in caplog.messages if "waits for the chain service: connection refused" in one]
    assert list(scene.core.alarms) == [RESERVE_ALARM]


@pytest.mark.parametrize(("lost", "given"), [(StorageBroken("gone"), 1), (StorageFenced("taken over"), 0)])
async def test_what_was_under_way_when_the_store_was_taken_over_stays_here(
    monkeypatch: pytest.MonkeyPatch, lost: StorageBroken, given: int
) -> None:
    """H88: it was decided before anybody knew; a store that is merely lost stops no claim."""
    scene = Scene(monkeypatch)
    actions.carry_out(scene.core, Broadcast(spending(1).serialize(), "claim"))
    scene.alice.runtime.broken = lost
    await scene.carry_out(Report("chain", "info", "meanwhile"))
    assert len(scene.service.given) == given


async def test_wallet_forgets_what_will_never_confirm(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its txid, and a funding by itself."""
    scene = Scene(monkeypatch)
    await scene.carry_out(ForgetTransaction(OURS))
    await scene.carry_out(ReleaseFunding(spending(3).serialize()))
    assert scene.purse.asked == [("forget", OURS), ("forget", spending(3).txid())]


async def test_coins_for_a_claim_are_found_in_a_later_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wallet may take its time, and its answer is an input like any other."""
    scene = Scene(monkeypatch)
    asked: list[object] = []
    monkeypatch.setattr(actions, "fund_claim", lambda *given: asked.append(given))
    action = FundClaim(OURS, spending(1), (), 400, 1_000, 0, 0, 0)
    actions.carry_out(scene.core, action)
    assert not asked
    scene.alice.life.run_posted()
    assert asked == [(scene.alice.runtime, action)]


# --- channels --------------------------------------------------------------------------------------------------------


def waiter(core: NodeCore, user_channel_id: bytes) -> "asyncio.Future[bytes]":
    """Somebody waits for the end of an opening."""
    waiting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    core.opening_waiters[user_channel_id] = waiting
    return waiting


async def test_opening_that_came_to_nothing_is_told_to_who_waits_and_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller gets the reason; whoever gave up waiting does no harm; others see the event."""
    scene = Scene(monkeypatch)
    shown: list[object] = []
    monkeypatch.setattr(scene.core, "show", shown.append)
    waiting, gone, other = waiter(scene.core, b"one"), waiter(scene.core, b"two"), waiter(scene.core, b"three")
    gone.cancel()
    refused = [OpenRefused(f"open/{name.decode()}", name, "no room") for name in (b"one", b"two", b"unknown")]
    for event in refused:
        await scene.carry_out(ShowEvent(event))
    with pytest.raises(CommandRejected, match="no room") as caught:
        waiting.result()
    assert caught.value.code == "open_refused"
    assert shown == refused
    assert not other.done()
    assert list(scene.core.opening_waiters) == [b"three"]


async def test_channel_that_is_born_is_told_to_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once; a caller that has gone does no harm."""
    scene = Scene(monkeypatch)
    waiting, gone = waiter(scene.core, b"one"), waiter(scene.core, b"two")
    gone.cancel()
    for name in (b"one", b"two", b"unknown"):
        await scene.carry_out(ChannelBorn(name, OURS))
    assert waiting.result() == OURS
    assert not scene.core.opening_waiters


FUNDING = FundChannels(OURS, ((b"script", 50_000), (b"other", 60_000)), 2)


def answers(monkeypatch: pytest.MonkeyPatch, *, known: bool) -> list[tuple[object, ...]]:
    """What the manager is told of fundings. known: it still wants it."""
    told: list[tuple[object, ...]] = []

    def said(name: str, result: object) -> Callable[..., object]:
        return lambda _m, *given: (told.append((name, *given)), result)[1]  # type: ignore[func-returns-value]

    monkeypatch.setattr(opening, "funding_ready", said("ready", known))
    monkeypatch.setattr(opening, "funding_failed", said("failed", None))
    return told


@pytest.mark.parametrize("known", [True, False])
async def test_funding_is_made_signed_and_handed_back(monkeypatch: pytest.MonkeyPatch, *, known: bool) -> None:
    """For all channels of it, with the reserve of those that are there; what nobody wants costs no coins."""
    scene = Scene(monkeypatch)
    told = answers(monkeypatch, known=known)
    scene.alice.manager.set_env(feerate_per_kw=1_234)
    await scene.carry_out(FUNDING)
    outputs = [TxOut(50_000, b"script"), TxOut(60_000, b"other")]
    assert scene.purse.asked[0] == ("build", OURS, outputs, 1_234, 2, b"drawn")
    assert scene.purse.anchor_channels == 1, "today's, not those of the last block"
    assert told == [("ready", OURS, spending(9), [1, 0])]
    assert scene.purse.asked[1:] == ([] if known else [("release", OURS)])


async def test_funding_without_coins_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer is told, and the caller; in a turn of its own, so never inside the pass that asked."""
    scene = Scene(monkeypatch, purse=Purse("5 sat are missing"))
    told = answers(monkeypatch, known=True)
    actions.carry_out(scene.core, FUNDING)
    assert not scene.purse.asked
    await scene.carry_out(Report("node", "info", "meanwhile"))
    assert told == [("failed", OURS, "5 sat are missing")]


@pytest.mark.parametrize("action", [Disconnect(OURS, "why"), DropJournal("channel/x")])
def test_what_the_run_loop_does_is_not_done_here(monkeypatch: pytest.MonkeyPatch, action: Action) -> None:
    """It would be done twice, or silently not at all."""
    with pytest.raises(AssertionError, match="the run loop"):
        actions.carry_out(Scene(monkeypatch).core, action)
