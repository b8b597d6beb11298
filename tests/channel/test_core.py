"""The durable state as it begins, and when something is pending."""

import msgspec
import pytest

from leyden.channel.core import new_core
from tests.channel.pair import born_pair, fulfil, pending_add, ready_pair


@pytest.mark.parametrize(
    ("push_msat", "local_msat"), [(0, 10_000_000_000), (1, 9_999_999_999), (4_000_000_500, 5_999_999_500)]
)
def test_first_balances_are_what_was_funded_and_pushed(push_msat: int, local_msat: int) -> None:
    """To the millisatoshi, from both ends."""
    pair = born_pair(push_msat=push_msat)
    for party, own, other in ((pair.a, local_msat, push_msat), (pair.b, push_msat, local_msat)):
        for view in (party.core.local, party.core.remote):
            assert (view.local_msat, view.remote_msat, view.number, view.htlcs) == (own, other, 0, {})
        assert party.core.position == 1
        assert party.core.capacity_satoshis == 10_000_000
        assert party.core.local_signature == party.core.opened.remote_signature
        assert not party.core.has_pending_htlcs()


def test_each_commitment_has_the_dust_limit_of_its_owner() -> None:
    """Trimming follows whoever publishes."""
    opened = born_pair().a.core.opened
    opened = msgspec.structs.replace(opened, local=msgspec.structs.replace(opened.local, dust_limit_satoshis=777))
    core = new_core(opened)
    assert (core.local.dust_limit_satoshis, core.remote.dust_limit_satoshis) == (777, 354)
    assert (core.local.is_local, core.remote.is_local) == (True, False)


def test_something_is_pending_from_the_first_signature_to_the_last_revocation() -> None:
    """A closing transaction made earlier would pay the wrong balances."""
    pair = ready_pair()
    pair.offer(0, pending_add(1))
    assert pair.a.core.has_pending_htlcs()
    assert pair.a.core.awaiting_revocation
    pair.pump()
    pair.resolve(1, fulfil(0, 1))
    while pair.wires[0] or pair.wires[1]:
        assert any(party.core.has_pending_htlcs() for party in pair.parties)
        pair.deliver(0, 1)
        pair.deliver(1, 1)
    assert not any(party.core.has_pending_htlcs() for party in pair.parties)
