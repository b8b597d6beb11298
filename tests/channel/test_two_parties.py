"""Two parties that do anything in any order: in the end every payment is resolved alike at both ends, to the
millisatoshi.
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from leyden.channel.env import ChannelLimits
from leyden.channel.inputs import ChangeFeerate, Connected
from leyden.channel.states import MutualClose
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.channel.pair import ready_pair
from tests.channel.world import World

sides = st.sampled_from([0, 1])
# Trimmed, around both dust limits, usual, most of a balance, more than any.
amounts = st.sampled_from([1, 353_999, 354_000, 900_000, 2_000_000, 10_000_000, 700_000_000, 5_000_000_000])


class TwoParties(RuleBasedStateMachine):
    """See the module. The party itself checks journal, snapshot and money after every single input (play.py)."""

    @initialize(
        kind=st.sampled_from(CommitmentFormat), slots=st.sampled_from([2, 483]), dust=st.sampled_from([354, 1_000])
    )
    def open(self, kind: CommitmentFormat, slots: int, dust: int) -> None:
        """A channel of 10,000,000 sat; the sides may have different limits."""
        limits = (
            ChannelLimits(max_accepted_htlcs=slots, max_dust_htlc_exposure_msat=3_000_000),
            ChannelLimits(dust_limit_satoshis=dust),
        )
        self.world = World(ready_pair(limits, channel_type=ChannelType(kind)))
        self.pair = self.world.pair

    @rule(who=sides, amount_msat=amounts)
    def pay(self, who: int, amount_msat: int) -> None:
        """Wish for a payment."""
        self.world.pay(who, amount_msat)

    @rule(who=sides)
    def end_of_pass(self, who: int) -> None:
        """Tell the channel what is wanted, decide what waits, sign."""
        self.world.end_of_pass(who)

    @rule(who=sides)
    def sign_only(self, who: int) -> None:
        """Sign what is queued, decide nothing."""
        self.world.guarded(who, self.pair.finish_pass, who)

    @rule(who=sides, patient=st.booleans())
    def patience(self, who: int, patient: bool) -> None:
        """Answers to inbound HTLCs wait, or do not any more."""
        self.world.wishes[who].patient = patient

    @rule(who=sides, messages=st.sampled_from([1, 1, 2, 5, None]))
    def deliver(self, who: int, messages: int | None) -> None:
        """Some of what is on the wire arrives, in order."""
        self.world.deliver(who, messages)

    @rule(feerate_per_kw=st.sampled_from([253, 1_000, 2_500, 6_000, 20_000]))
    def change_feerate(self, feerate_per_kw: int) -> None:
        """The opener wants another feerate."""
        self.world.guarded(0, self.pair.give, 0, ChangeFeerate(feerate_per_kw))

    @rule()
    def disconnect(self) -> None:
        """The connection breaks with all that is on it."""
        self.world.disconnect()

    @rule(who=sides)
    def withdraw(self, who: int) -> None:
        """The connection breaks before a signature has left, which is taken back."""
        self.world.withdraw(who)

    @precondition(lambda self: not any(party.session.connected for party in self.pair.parties))
    @rule()
    def connect(self) -> None:
        """A new connection."""
        for who in (0, 1):
            self.world.guarded(who, self.pair.give, who, Connected())

    @rule(who=sides, after=st.integers(1, 4), lost=st.sampled_from([0, 1]))
    def crash_soon(self, who: int, after: int, lost: int) -> None:
        """A party will die of one of its next records, and the record with it or not."""
        party = self.pair.parties[who]
        self.world.lost = lost
        party.crash_at = len(party.journal) + after

    @rule(who=sides)
    def crash(self, who: int) -> None:
        """A party dies now."""
        self.world.die(who)

    def teardown(self) -> None:
        """Let everything come to rest, then close."""
        if not hasattr(self, "world"):
            return
        for party, wishes in zip(self.pair.parties, self.world.wishes, strict=True):
            party.crash_at = 0
            wishes.patient = False
        self.world.disconnect()
        self.world.run()
        self.world.check_rest((6_000_000_000, 4_000_000_000))
        self.world.wishes[1].shutdown = True
        self.world.run()
        closes: list[Any] = [party.core.close_agreed for party in self.pair.parties]
        assert [type(party.state) for party in self.pair.parties] == [MutualClose, MutualClose]
        assert closes[0] == closes[1]


def test_whatever_two_parties_do_all_payments_resolve_alike() -> None:
    """Nobody can think of every interleaving of signatures, crashes and fees; this tries many."""
    run_state_machine_as_test(TwoParties, settings=settings(settings(), max_examples=120, stateful_step_count=40))
