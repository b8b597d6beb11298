"""Sweeps of outputs that other keys hold."""

import pytest
from msgspec.structs import replace

from leyden.base.errors import CommandRejected
from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import OutPoint, TxIn, TxOut
from leyden.wallet.sweep import SweepInput, build_sweep
from tests.wallet.wallet_world import FEERATE, WalletWorld

ANYBODY = b"\x51"
AFTER_TWO = b"\x52\xb2"
"""Anybody, two blocks later."""
WITNESS_WEIGHT = 2 + len(ANYBODY)


def test_outputs_of_other_keys_come_home(world: WalletWorld) -> None:
    """What a closed channel leaves is money only once it is in the wallet, relative locks obeyed."""
    world.fund(1)
    scripts = [ANYBODY, AFTER_TWO]
    outputs = [TxOut(50_000, p2wsh_of_script(script)) for script in scripts]
    draft = world.wallet.build_funding(b"x", outputs, FEERATE, 0, world.entropy())
    source = world.publish(draft)
    world.mine(2)
    inputs = [
        SweepInput(OutPoint(source.txid(), draft.output_indices[n]), 50_000, (0xFFFFFFFD, 2)[n], 2 + len(script))
        for n, script in enumerate(scripts)
    ]
    home = world.address()
    tx = build_sweep(inputs, home, FEERATE, 0)
    signed = replace(
        tx,
        inputs=tuple(TxIn(i.prevout, b"", i.sequence, (scripts[n],)) for n, i in enumerate(tx.inputs)),
    )
    assert 100_000 - tx.outputs[0].value_sat == max(signed.weight() * FEERATE // 1000, signed.vsize())
    before = world.wallet.balance().confirmed_sat
    world.wallet.pending_transaction(signed)
    assert world.wallet.balance().unconfirmed_sat == tx.outputs[0].value_sat
    world.broadcast(signed)
    world.mine(1)
    assert world.wallet.balance().confirmed_sat == before + tx.outputs[0].value_sat


def test_inputs_that_are_not_worth_their_fee_are_left_out() -> None:
    """Dust must not eat what it travels with."""
    small, large = (SweepInput(OutPoint(bytes([n]) * 32, n), v, 0, 100) for n, v in enumerate([200, 90_000]))
    tx = build_sweep([small, large], p2wsh_of_script(b"x"), 2_000, 700_000)
    assert [i.prevout for i in tx.inputs] == [large.outpoint]
    assert tx.locktime == 700_000


@pytest.mark.parametrize(
    ("values", "feerate_per_kw", "code"),
    [
        ([], 1_000, "insufficient_funds"),
        ([200, 300], 2_000, "insufficient_funds"),
        ([700], 1_000, "insufficient_funds"),
        ([10**6], 100, "feerate_too_low"),
        ([10**6], 10**6, "feerate_too_high"),
    ],
)
def test_sweeps_that_make_no_sense(values: list[int], feerate_per_kw: int, code: str) -> None:
    """Nothing is made that nobody relays."""
    inputs = [SweepInput(OutPoint(bytes(32), n), value, 0, WITNESS_WEIGHT) for n, value in enumerate(values)]
    with pytest.raises(CommandRejected) as refused:
        build_sweep(inputs, p2wsh_of_script(b"x"), feerate_per_kw, 0)
    assert refused.value.code == code
