"""Claims: every output that is ours to take is taken once, by transactions that consensus and mempools accept."""

from collections.abc import Iterator

import pytest

from leyden.bitcoin.tx import OutPoint
from leyden.monitor.classify import SpendKind
from leyden.monitor.watched import WatchedKind
from leyden.sim.consensus import Consensus
from tests.manager.onchain.ending import FORMATS, SIDES, Ending

FORMS = pytest.mark.parametrize("form", FORMATS)
ROLES = pytest.mark.parametrize("us", [us for us, _them in SIDES], ids=["opener", "accepter"])
KINDS = {
    "local": SpendKind.LOCAL,
    "remote": SpendKind.REMOTE,
    "prior": SpendKind.REMOTE_PRIOR,
    "revoked": SpendKind.REMOTE_REVOKED,
}
DELAY_BLOCKS = 160


@pytest.fixture(scope="module")
def consensus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consensus]:
    """Bitcoin Core's consensus code."""
    found = Consensus(tmp_path_factory.mktemp("kernel") / "chain")
    yield found
    found.close()


def ended(form: str, us: str, how: str, consensus: Consensus, *, preimage: str = "never") -> Ending:
    """A channel with two HTLCs each way, its commitment in a block. preimage: of one of theirs, when we learn it."""
    stage = Ending(form, us).held(2, 2)
    stage.world.validate = consensus
    stage.close(how, claims=int(preimage == "before"))
    stage.mine()
    assert stage.view.spend.kind is KINDS[how]
    if preimage == "after":
        stage.claim(us)
    return stage


def spends(stage: Ending) -> dict[OutPoint, int]:
    """How many published transactions spend each watched output."""
    found: dict[OutPoint, int] = {}
    for transaction in stage.published():
        for one in transaction.inputs:
            if one.prevout in stage.view.outputs:
                found[one.prevout] = found.get(one.prevout, 0) + 1
    return found


# --- every commitment ------------------------------------------------------------------------------------------------


@FORMS
@ROLES
@pytest.mark.parametrize("preimage", ["never", "before", "after"])
@pytest.mark.parametrize("how", ["local", "remote", "prior"])
def test_htlcs_of_a_commitment_that_is_not_revoked(
    form: str, us: str, how: str, preimage: str, consensus: Consensus
) -> None:
    """Ours come back after their expiry, theirs go with the preimage and never without; each by one transaction."""
    if (form, how) == ("anchors", "local"):
        pytest.skip("coins of the wallet pay for these")
    stage = ended(form, us, how, consensus, preimage=preimage)
    before = consensus.valid
    expiry = stage.expiry(us)
    offered, received = stage.htlcs(offered=True), stage.htlcs(offered=False)
    assert len(offered) == len(received) == 2
    assert not any(stage.waiting(one.outpoint) for one in offered), "before their expiry"
    stage.mine_to(expiry - 1)
    assert not any(one.outpoint in stage.view.spenders for one in offered)
    stage.mine()
    assert all(stage.waiting(one.outpoint) for one in offered), "the next block may hold them"
    stage.mine()
    assert all(one.outpoint in stage.view.spenders for one in offered)
    assert all(stage.took(one) for one in offered)
    assert sum(stage.took(one) for one in received) == (0 if preimage == "never" else 1)
    stage.mine_to(stage.height + DELAY_BLOCKS)
    assert not [one for one in stage.left() if one not in received], "all that is ours was swept"
    assert set(spends(stage).values()) == {1}
    assert not stage.refusals()
    assert consensus.valid - before >= 2


@FORMS
@ROLES
def test_revoked_commitment_is_taken_whole_at_once(form: str, us: str, consensus: Consensus) -> None:
    """to_local and every HTLC, in the block after the one that holds it (BOLT 5, "Revoked Transaction Close")."""
    stage = ended(form, us, "revoked", consensus)
    assert len(stage.htlcs(offered=True)) + len(stage.htlcs(offered=False)) == 4
    stage.mine()
    kinds = {one.kind for one in stage.left()}
    assert kinds <= {WatchedKind.TO_REMOTE}, "ours anyway"
    for transaction in stage.published():
        assert stage.pays_us(transaction)
    stage.mine_to(stage.height + 10)
    assert not stage.left()
    assert set(spends(stage).values()) == {1}
    assert not stage.refusals()
