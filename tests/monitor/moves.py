"""Random histories that go somewhere: each move is one thing that two parties or their stores do."""

from typing import Any

from hypothesis import strategies as st

from leyden.channel.env import ChannelLimits
from leyden.channel.inputs import ChangeFeerate
from leyden.journal.records import HtlcSource
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.channel.pair import pending_add, ready_pair
from tests.channel.world import World
from tests.monitor.history import Witness, witnesses

sides = st.sampled_from([0, 1])
# Trimmed, around both dust limits and what feerates make of them, odd, usual, most of a balance.
amounts = st.sampled_from(
    [1, 353_999, 354_000, 900_001, 1_100_500, 2_000_000, 5_000_777, 10_000_000, 10_000_000, 700_000_000]
)
moves = st.one_of(
    st.tuples(st.just("pay"), sides, amounts),
    st.tuples(st.just("pay"), sides, amounts),
    st.tuples(st.just("twin"), sides, amounts),
    st.tuples(st.just("deliver"), sides, st.sampled_from([1, 1, 2, None])),
    st.tuples(st.just("deliver"), sides, st.sampled_from([1, 1, 2, None])),
    st.tuples(st.just("pass"), sides),
    st.tuples(st.just("patience"), sides, st.booleans()),
    st.tuples(st.just("compact"), sides, st.sampled_from([1, 1, 2])),
    st.tuples(st.just("feerate"), st.sampled_from([253, 1_000, 2_500, 6_000])),
    st.tuples(st.just("crash"), sides, st.sampled_from([0, 1])),
    st.tuples(st.just("withdraw"), sides),
    st.tuples(st.just("rest")),
)
histories = st.lists(moves, min_size=50, max_size=120)


class Life:
    """Two parties, those who want payments of them, and a witness of each."""

    def __init__(self, kind: CommitmentFormat, dust: int, **request: Any) -> None:
        limits = (
            ChannelLimits(max_dust_htlc_exposure_msat=20_000_000),
            ChannelLimits(dust_limit_satoshis=dust, max_dust_htlc_exposure_msat=20_000_000),
        )
        self.world = World(ready_pair(limits, channel_type=ChannelType(kind), **request))
        self.pair = self.world.pair
        self.witnesses: tuple[Witness, Witness] = witnesses(self.pair)

    def move(self, name: str, *details: Any) -> None:
        """Do one thing."""
        getattr(self, name if name != "pass" else "end_of_pass")(*details)

    def pay(self, who: int, amount_msat: int) -> None:
        """A payment goes out."""
        self.world.pay(who, amount_msat)
        self.world.end_of_pass(who)

    def twin(self, who: int, amount_msat: int) -> None:
        """A payment with the hash of the third one before it, which may be in flight in either direction."""
        world = self.world
        if world.indexes < 3:
            return
        world.indexes += 1
        index, like = world.indexes, world.indexes - 3
        onion = like.to_bytes(8, "big") + bytes(1358)
        source = HtlcSource(b"p" * 32, index, forwarded=False)
        add = pending_add(like, amount_msat, onion_routing_packet=onion, source=source)
        world.wishes[who].offers[index] = add
        if self.pair.parties[who].session.reestablished:
            world.wishes[who].to_offer.append(add)
        world.end_of_pass(who)

    def deliver(self, who: int, messages: int | None) -> None:
        """Some of what is on the wire arrives."""
        self.world.deliver(who, messages)

    def end_of_pass(self, who: int) -> None:
        """Decide what waits, sign."""
        self.world.end_of_pass(who)

    def patience(self, who: int, patient: bool) -> None:
        """Answers to inbound HTLCs wait, or do not any more."""
        self.world.wishes[who].patient = patient

    def compact(self, who: int, times: int) -> None:
        """A snapshot replaces the records so far."""
        self.witnesses[who].journal.compact(times)

    def feerate(self, feerate_per_kw: int) -> None:
        """The opener changes the feerate."""
        self.world.guarded(0, self.pair.give, 0, ChangeFeerate(feerate_per_kw))
        self.world.end_of_pass(0)

    def crash(self, who: int, lost: int) -> None:
        """A party will die of its next record, and the record with it or not."""
        self.world.lost = lost
        party = self.pair.parties[who]
        party.crash_at = len(party.journal) + 1

    def withdraw(self, who: int) -> None:
        """A signature that has not left is taken back."""
        self.world.withdraw(who)

    def rest(self) -> None:
        """All that can be done now is done, over a new connection if there is none."""
        self.world.run()
