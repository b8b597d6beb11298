"""What a claim of this life says of itself follows from what it spends, and is the same in every life."""

import itertools

import pytest

from leyden.bitcoin.tx import OutPoint
from leyden.manager.onchain.active import ActiveClaim, claim_id_of, describe
from leyden.monitor.claimable import OutputClaim
from leyden.transactions.claim_inputs import ClaimInput, ClaimKind
from tests.manager.onchain.ending import Ending

KEYS = bytes(32)


def output(
    vout: int,
    unlock_height: int,
    deadline_height: int | None,
    *,
    value_sat: int = 10_000,
    kind: ClaimKind = ClaimKind.COUNTERPARTY_PREIMAGE,
) -> OutputClaim:
    """An output of some commitment."""
    made = ClaimInput(
        kind=kind,
        keys_id=KEYS,
        outpoint=OutPoint(KEYS, vout),
        value_sat=value_sat,
        witness_script=b"",
        sequence=0,
        locktime=0,
        per_commitment=b"",
        preimage=b"",
        paired_output=None,
        paired_signature=b"",
        anchors=False,
    )
    return OutputClaim(made, None, unlock_height, deadline_height, contested=False)


def claim(*outputs: OutputClaim) -> ActiveClaim:
    """A claim of these, of which no version was made."""
    outpoints = [one.input.outpoint for one in outputs]
    return ActiveClaim(claim_id_of(outpoints), outputs, with_coins=False, fixed=False)


def test_every_list_of_outputs_has_its_own_id() -> None:
    """Other outputs, more of them, fewer, another order: another claim; the same ones: the same."""
    outpoints = [OutPoint(bytes([number]) * 32, vout) for number in (1, 2) for vout in (0, 1, 256)]
    lists = [list(some) for count in (1, 2) for some in itertools.permutations(outpoints, count)]
    ids = [claim_id_of(some) for some in lists]
    assert len(set(ids)) == len(lists)
    assert {len(one) for one in ids} == {32}
    assert [claim_id_of(some) for some in lists] == ids


def test_value_is_that_of_all_outputs() -> None:
    """In satoshis."""
    assert claim(output(0, 1, None, value_sat=700), output(1, 1, None, value_sat=20_000)).value_sat == 20_700


def test_claim_starts_when_the_last_of_its_outputs_can_be_claimed() -> None:
    """At the height before the first block that may hold all of them."""
    assert claim(output(0, 500, None)).start_height == 499
    assert claim(output(0, 500, None), output(1, 640, None), output(2, 17, None)).start_height == 639


@pytest.mark.parametrize(
    ("deadlines", "first"),
    [((None,), None), ((None, None), None), ((700,), 700), ((None, 700), 700), ((700, 650, None, 900), 650)],
)
def test_deadline_is_the_first_of_its_outputs(deadlines: tuple[int | None, ...], first: int | None) -> None:
    """Outputs that nobody else may ever have do not count."""
    outputs = [output(vout, 1, deadline) for vout, deadline in enumerate(deadlines)]
    assert claim(*outputs).deadline_height == first


def test_log_says_how_many_outputs_of_which_kinds() -> None:
    """Each kind once, in the order of the inputs."""
    some = claim(
        output(0, 1, None, kind=ClaimKind.REVOKED_TO_LOCAL),
        output(1, 1, None, kind=ClaimKind.REVOKED_OFFERED),
        output(2, 1, None, kind=ClaimKind.REVOKED_OFFERED),
    )
    kinds = f"{ClaimKind.REVOKED_TO_LOCAL.value}, {ClaimKind.REVOKED_OFFERED.value}"
    assert describe(some) == f"claim of 3 outputs ({kinds})"


@pytest.mark.parametrize("how", ["remote", "local", "revoked"])
def test_next_life_names_and_times_a_claim_alike(how: str) -> None:
    """So that its fee at a height is the same too."""
    stage = Ending("anchors").held(2, 2)
    stage.close(how, claims=0 if how == "revoked" else 1)
    stage.world.mine()
    stage.world.dislike("alice", dislikes=True)
    stage.act()
    stage.mine()

    def seen() -> list[tuple[bytes, int, int | None]]:
        return sorted((one.claim_id, one.start_height, one.deadline_height) for one in stage.claims)

    before = seen()
    assert before
    stage.mine()
    assert seen() == before
    stage.world.restart("alice")
    stage.act()
    assert seen() == before
    assert all(one.claim_id == claim_id_of([each.input.outpoint for each in one.claims]) for one in stage.claims)


def test_what_is_due_by_a_deadline_counts_the_deadlines_before_it() -> None:
    """In their order; what may wait comes last, and is everything."""
    made = claim(
        output(0, 1, None, value_sat=1_000),
        output(1, 1, 90, value_sat=200),
        output(2, 1, 80, value_sat=30),
        output(3, 1, 90, value_sat=4),
    )
    assert made.due_sat() == [(80, 30), (90, 234), (None, 1_234)]
    assert claim(output(0, 1, 80, value_sat=7)).due_sat() == [(80, 7)]
