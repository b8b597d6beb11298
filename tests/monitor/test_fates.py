"""Who took an output: as its witness shows, and as the node that made the transaction knows."""

import pytest

from leyden.bitcoin.tx import OutPoint
from leyden.monitor.fates import Taker, taker_of
from leyden.monitor.watched import WatchedKind
from tests.manager.onchain.ending import FORMATS, SIDES, Ending

FORMS = pytest.mark.parametrize("form", FORMATS)
ROLES = pytest.mark.parametrize("us", [us for us, _them in SIDES], ids=["opener", "accepter"])
ANCHORS = (WatchedKind.OWN_ANCHOR, WatchedKind.OTHER_ANCHOR)
BLOCKS = 170


def makers(stage: Ending) -> dict[OutPoint, str]:
    """Which node has published what spends each watched output, as the mempool was told."""
    found: dict[OutPoint, str] = {}
    for outpoint, seen in stage.view.spenders.items():
        names = {one.name for one in stage.offers if one.transaction.txid() == seen.txid}
        if len(names) == 1:
            found[outpoint] = names.pop()
    return found


@FORMS
@ROLES
@pytest.mark.parametrize("claims", [0, 1])
@pytest.mark.parametrize("how", ["local", "remote", "prior", "revoked"])
def test_taker_is_who_has_published_what_spends_it(form: str, us: str, how: str, claims: int) -> None:
    """In every commitment, for each of its outputs; nothing is taken before a block says so."""
    stage = Ending(form, us).held(2, 2)
    stage.close(how, claims)
    stage.mine()
    ended = [one for one in stage.view.outputs.values() if one.outpoint not in stage.view.spenders]
    assert [taker_of(stage.view, one) for one in ended] == [None] * len(ended)
    if how != "revoked":
        stage.claim(stage.them)
    stage.mine_to(stage.height + BLOCKS)
    made = makers(stage)
    told = {
        outpoint: taker_of(stage.view, stage.view.outputs[outpoint])
        for outpoint in made
        if stage.view.outputs[outpoint].kind not in ANCHORS
    }
    assert told
    assert told == {outpoint: Taker.US if made[outpoint] == us else Taker.PEER for outpoint in told}


def test_anchor_is_taken_by_somebody() -> None:
    """Sixteen blocks later anyone may have it, and its witness names nobody."""
    stage = Ending("anchors")
    stage.world.set_fees(253, 253)
    stage.close("local")
    stage.mine_to(stage.height + BLOCKS)
    taken = [one for one in stage.view.outputs.values() if one.kind in ANCHORS and one.outpoint in stage.view.spenders]
    assert taken
    assert {taker_of(stage.view, one) for one in taken} == {Taker.SOMEBODY}
