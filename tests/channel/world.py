"""A channel with somebody on both ends who wants payments made: what a manager does for one channel, and no more.

Wishes (payments, a close) are kept outside of the parties, as the journals of others keep them, so they outlive every
crash; a party that comes back is asked again, by the one function that a reconnection uses too.
"""

from typing import Any

from leyden.channel import effects as fx
from leyden.channel import limits
from leyden.channel.inputs import DecideHtlcs, Disconnected, Learn, PendingAdd, QueueAdd, StartShutdown, Withdraw
from leyden.channel.states import Normal, ShuttingDown
from leyden.journal.records import Acknowledged
from leyden.wire.messages import CommitmentSigned
from tests.channel.pair import Pair, failure, fulfil, pending_add
from tests.channel.play import Crash, Party


class Wishes:
    """What one side wants, and what became of it.

    offers: payments by index. results: `paid`, `failed` or `refused`, once. learnt: payments whose preimage was seen.
    to_decide: inbound HTLCs that wait for an answer. patient: answers wait until asked for.
    """

    def __init__(self, party: Party) -> None:
        self.party = party
        self.offers: dict[int, PendingAdd] = {}
        self.results: dict[int, str] = {}
        self.learnt: dict[int, None] = {}
        self.to_decide: dict[int, None] = {}
        self.to_acknowledge: list[int] = []
        self.to_offer: list[PendingAdd] = []
        self.patient = False
        self.shutdown = False
        party.on_effect = self.on_effect

    def on_effect(self, effect: Any) -> None:
        """Take note; nothing is done before the pass is over."""
        kind = type(effect)
        if kind is fx.AddRefused:
            if effect.reason != limits.DISCONNECTED:
                self.result(effect.add.source.index, "refused")
        elif kind is fx.HtlcsCommitted:
            self.to_decide.update(dict.fromkeys(effect.htlc_ids))
        elif kind is fx.PreimageLearnt:
            self.learnt[self.party.core.outbound[effect.htlc_id].add.source.index] = None  # type: ignore[union-attr]
        elif kind is fx.OutcomesKnown:
            self.take_outcomes()
        elif kind is fx.Reestablished:
            self.begin_again()

    def result(self, index: int, result: str) -> None:
        """A payment has its result: once, and never another than the preimage says."""
        assert self.results.setdefault(index, result) == result, f"payment {index} was {self.results[index]} before"
        assert index not in self.learnt or result == "paid"

    def take_outcomes(self) -> None:
        """Act on every outcome of the journal."""
        for htlc_id, outcome in self.party.core.outcomes.items():
            self.result(outcome.source.index, "paid" if outcome.removal.preimage else "failed")
            self.to_acknowledge.append(htlc_id)

    def begin_again(self) -> None:
        """After a reconnection: decide what has no decision, and offer again what is nowhere."""
        self.take_outcomes()
        core = self.party.core
        self.to_decide.update(
            {key: None for key, htlc in core.inbound.items() if htlc.committed and not htlc.decided()}
        )
        under_way = {htlc.add.source.index for htlc in core.outbound.values() if htlc.add.source is not None}
        self.to_offer = [
            add for index, add in self.offers.items() if index not in self.results and index not in under_way
        ]

    def inputs(self) -> list[Any]:
        """What this side tells its channel at the end of a pass."""
        core = self.party.core
        inputs: list[Any] = []
        if self.to_acknowledge:
            inputs.append(Learn(Acknowledged([], list(dict.fromkeys(self.to_acknowledge)), [], [])))
            self.to_acknowledge = []
        waiting = [] if self.patient else [key for key in self.to_decide if key in core.inbound]
        if waiting:
            paid = [key for key in waiting if self.index_of(key) % 3]
            failed = [key for key in waiting if not self.index_of(key) % 3]
            decided = [fulfil(key, self.index_of(key)) for key in paid]
            inputs.append(DecideHtlcs(decided, [failure(key, 0xC005 * (key & 1)) for key in failed], []))
            self.to_decide = {}
        offers, self.to_offer = self.to_offer, []
        inputs += [QueueAdd(add) for add in offers]
        if self.shutdown and type(self.party.state) in (Normal, ShuttingDown) and not core.local_shutdown_script:
            inputs.append(StartShutdown(self.party.signer.shutdown_script_pubkey(), 1_500))
        return inputs

    def index_of(self, htlc_id: int) -> int:
        """Which test payment an inbound HTLC is: its index is hidden in the onion."""
        return int.from_bytes(self.party.core.inbound[htlc_id].add.onion_routing_packet[:8], "big")


class World:
    """A pair and the wishes on both ends. `crashes`: how often a party died."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.wishes = (Wishes(pair.a), Wishes(pair.b))
        self.crashes = 0
        self.lost = 0
        self.indexes = 0

    def pay(self, who: int, amount_msat: int = 10_000_000) -> None:
        """Wish for a payment; it goes out with the next pass, or with the next connection if there is none."""
        self.indexes += 1
        index = self.indexes
        add = pending_add(index, amount_msat, onion_routing_packet=index.to_bytes(8, "big") + bytes(1358))
        self.wishes[who].offers[index] = add
        if self.pair.parties[who].session.reestablished:
            self.wishes[who].to_offer.append(add)

    def guarded(self, who: int, action: Any, *arguments: Any) -> None:
        """Do something with one party; when it dies of it, it starts again and both reconnect."""
        try:
            action(*arguments)
        except Crash:
            self.die(who, self.lost)

    def die(self, who: int, lost: int = 0) -> None:
        """One party dies and comes back; its last `lost` records were not durable, so nothing of them had left."""
        self.crashes += 1
        self.pair.crash(who, lost)
        self.wishes[who].to_decide, self.wishes[who].to_acknowledge, self.wishes[who].to_offer = {}, [], []
        self.wishes[1 - who].to_offer = []

    def disconnect(self) -> None:
        """Break the connection; a side may die of what it writes then."""
        for who in (0, 1):
            self.guarded(who, self.pair.give, who, Disconnected())
            self.wishes[who].to_offer = []
        self.pair.disconnect()

    def withdraw(self, who: int) -> bool:
        """Lose the connection with a side's signature on it, which then counts as never sent, and take that back.

        Returns whether there was one.
        """
        number = self.pair.parties[who].core.remote.number
        unsent = [message for message in self.pair.sent(who) if type(message) is CommitmentSigned]
        self.disconnect()
        before = self.crashes
        if unsent and self.pair.parties[who].core.remote.number == number:
            self.guarded(who, self.pair.give, who, Withdraw(number))
        return self.crashes == before and self.pair.parties[who].core.remote.number < number

    def end_of_pass(self, who: int) -> None:
        """Tell the channel what its owner wants, then let it sign."""

        def run() -> None:
            for event in self.wishes[who].inputs():
                self.pair.give(who, event)
            self.pair.finish_pass(who)

        self.guarded(who, run)

    def deliver(self, who: int, messages: int | None = None) -> int:
        """Let the other side read."""
        moved = 0

        def run() -> None:
            nonlocal moved
            moved = self.pair.deliver(who, messages)

        self.guarded(1 - who, run)
        if moved:
            self.end_of_pass(1 - who)
        return moved

    def run(self) -> None:
        """Go on until nothing moves, over new connections when one broke."""
        for _ in range(2_000):
            if not all(party.session.reestablished or party.session.connected for party in self.pair.parties):
                for who in (0, 1):
                    self.guarded(who, self.pair.reconnect if who == 0 else lambda: None)
            before = self.crashes
            for who in (0, 1):
                self.end_of_pass(who)
            if not self.deliver(0) + self.deliver(1) and self.crashes == before:
                return
        raise AssertionError("the world does not come to rest")

    def check_rest(self, balances_msat: tuple[int, int]) -> None:
        """Everything is resolved, the same way at both ends, and the balances follow from the results alone."""
        expected = list(balances_msat)
        for who, wishes in enumerate(self.wishes):
            assert set(wishes.results) == set(wishes.offers), "every payment has a result"
            for index, result in wishes.results.items():
                if result == "paid":
                    assert index % 3, "only what was to be paid is paid"
                    expected[who] -= wishes.offers[index].amount_msat
                    expected[1 - who] += wishes.offers[index].amount_msat
        assert self.pair.balances_msat() == tuple(expected)
        for party in self.pair.parties:
            assert not party.core.outbound
            assert not party.core.inbound
