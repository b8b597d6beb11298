"""The audit of many payments: what payers say must be what payees say, and every kind of difference is told."""

import asyncio
import random

import pytest

from interop.foreign import PaymentStatus
from interop.load import Sent, Wish, amount_msat, audit


class Paper:
    """A party that says what it is told to say."""

    is_foreign = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.said: dict[str, Sent] = {}
        self.got_msat: dict[str, int] = {}
        self.sent_back: frozenset[str] = frozenset()

    async def invoice(self, amount_msat: int) -> str:
        """See `Party`."""
        return str(amount_msat)

    async def pay(self, invoice: str) -> None:
        """See `Party`."""
        raise NotImplementedError(invoice)

    async def status(self, payment_hash: str) -> PaymentStatus:
        """See `Party`."""
        return self.said[payment_hash].status

    async def sent(self) -> dict[str, Sent]:
        """See `Party`."""
        return self.said

    async def received_msat(self, payment_hashes: list[str]) -> dict[str, int]:
        """See `Party`."""
        return {one: self.got_msat.get(one, 0) for one in payment_hashes}

    async def disowned(self) -> frozenset[str]:
        """See `Party`."""
        return self.sent_back


def judged(status: PaymentStatus | None, got_msat: int, *, is_accepted: bool = True) -> list[str]:
    """One payment of 1,000 msat; returns what the audit finds wrong."""
    payer, payee = Paper("payer"), Paper("payee")
    if status is not None:
        payer.said["aa"] = Sent(status, 1000, 7)
    payee.got_msat["aa"] = got_msat
    _, wrong = asyncio.run(audit([Wish(payer, payee, 1000, "", "aa", is_accepted)]))
    return wrong


@pytest.mark.parametrize(("status", "got_msat"), [("succeeded", 1000), ("failed", 0), ("pending", 0)])
def test_both_ends_say_the_same(status: PaymentStatus, got_msat: int) -> None:
    """What was sent was received, and what failed or waits was not."""
    assert judged(status, got_msat) == []


@pytest.mark.parametrize(
    ("status", "got_msat"),
    [("succeeded", 0), ("succeeded", 999), ("succeeded", 2000), ("failed", 1000), ("pending", 1000), (None, 1000)],
)
def test_ends_that_differ_are_told(status: PaymentStatus | None, got_msat: int) -> None:
    """Lost, short, twice, or paid although its payer has failed it or knows nothing of it."""
    [sentence] = judged(status, got_msat, is_accepted=status is not None)
    assert f"{got_msat} msat" in sentence


@pytest.mark.parametrize(("status", "is_wrong"), [("failed", False), ("pending", True), ("succeeded", False)])
def test_what_a_payee_has_sent_back_counts_as_nothing_received(status: PaymentStatus, is_wrong: bool) -> None:
    """The payer may have the proof all the same. It excuses nothing else: a payment that is pending is told."""
    payer, payee = Paper("payer"), Paper("payee")
    payer.said["aa"] = Sent(status, 1000, 7)
    payee.got_msat["aa"] = 1000
    payee.sent_back = frozenset({"aa"})
    sums, wrong = asyncio.run(audit([Wish(payer, payee, 1000, "", "aa", True)]))
    assert bool(wrong) is is_wrong
    assert sums.disowned == (not is_wrong)
    assert sums.moved_msat == {"payer": 0, "payee": 1000 if is_wrong else 0}
    assert ("told as received" in sums.in_words) is not is_wrong


def test_payment_that_was_taken_on_and_has_vanished_is_told() -> None:
    """Nobody was paid; but the caller was told that the payment is on its way."""
    assert judged(None, 0, is_accepted=False) == []
    assert len(judged(None, 0)) == 1


def test_sums_of_what_moved() -> None:
    """Fees are the payer's, on top of what it sends."""
    one, other = Paper("one"), Paper("other")
    one.said = {"aa": Sent("succeeded", 1000, 7), "bb": Sent("failed", 500, 0)}
    other.said = {"cc": Sent("succeeded", 30, 1)}
    one.got_msat, other.got_msat = {"cc": 30}, {"aa": 1000}
    wishes = [Wish(one, other, 1000, "", "aa", True), Wish(one, other, 500, "", "bb", True)]
    wishes += [Wish(other, one, 30, "", "cc", True), Wish(other, one, 40, "", "dd")]
    sums, wrong = asyncio.run(audit(wishes))
    assert wrong == []
    assert sums.moved_msat == {"one": -970, "other": 970}
    assert sums.fees_msat == {"one": 7, "other": 1}
    assert sums.in_words == "4 payments: 2 sent, 1 failed, 1 never begun"


def test_amounts_are_of_all_sizes_up_to_the_largest() -> None:
    """As many are dust as are large."""
    chance = random.Random(1)
    drawn = [amount_msat(chance, 1_000_000_000) for _ in range(1000)]
    assert min(drawn) >= 1000
    assert max(drawn) <= 1_000_000_000
    assert 300 < len([one for one in drawn if one < 1_000_000]) < 700
