"""Scripts: policy is narrower than consensus, and each refusal has bitcoind's sentence."""

import pytest

from leyden.bitcoin.script import (
    OP_1,
    OP_CHECKSIG,
    OP_DROP,
    OP_ENDIF,
    OP_IF,
    p2sh_of_script,
    p2wsh_of_script,
    push_data,
    script_num,
)
from leyden.bitcoin.sighash import Bip143Midstate, Bip341Midstate, sighash_v0, sighash_v1
from leyden.bitcoin.taproot import output_key, tweak_secret
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.crypto.ec import public_key, sign_ecdsa
from leyden.crypto.ec import signature_to_der as der
from leyden.crypto.schnorr import sign_schnorr
from leyden.regtest.coins import Coin
from leyden.regtest.policy import TransactionRejected
from leyden.regtest.script_policy import PolicyTransaction
from tests.regtest.world import KEY, SCRIPT, SECRET, Money, World, outputs_of, spend

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
CHECKSIG = push_data(KEY) + bytes((OP_CHECKSIG,))


def paying(world: World, script_pubkey: bytes) -> Money:
    """Return a confirmed output with a script."""
    tx = world.send(spend([world.coinbase(1)], [TxOut(1_000_000, script_pubkey)], fee_sat=0))
    world.mine(1)
    return outputs_of(tx)[0]


def spending(money: Money, witness: tuple[bytes, ...]) -> Transaction:
    """Return a spend with a given witness."""
    inputs = (TxIn(money.outpoint, b"", 0xFFFFFFFD, witness),)
    return Transaction(2, inputs, (TxOut(money.value_sat - 1_000, SCRIPT),), 0)


def signature(money: Money, script: bytes) -> bytes:
    """Return a compact signature of the key for a P2WSH spend."""
    bare = spending(money, ())
    return sign_ecdsa(SECRET, sighash_v0(bare, 0, script, money.value_sat, 1, Bip143Midstate(bare)))


def verdict(world: World, tx: Transaction) -> str:
    """Return the reject reason, empty when the pool takes it."""
    try:
        world.backend.test(tx)
    except TransactionRejected as rejection:
        return rejection.reason
    return ""


def high_s(compact: bytes) -> bytes:
    """Return the other signature of the same message."""
    s = _ORDER - int.from_bytes(compact[32:], "big")
    return der(compact[:32] + s.to_bytes(32, "big"))


FAILED = "mempool-script-verify-flag-failed"


def test_good_signature(world: World) -> None:
    """The base line."""
    money = paying(world, p2wsh_of_script(CHECKSIG))
    assert verdict(world, spending(money, (der(signature(money, CHECKSIG)) + b"\x01", CHECKSIG))) == ""


def test_high_s_is_policy_only(world: World) -> None:
    """A block may hold it, the pool may not: LOW_S."""
    money = paying(world, p2wsh_of_script(CHECKSIG))
    tx = spending(money, (high_s(signature(money, CHECKSIG)) + b"\x01", CHECKSIG))
    assert verdict(world, tx) == f"{FAILED} (Non-canonical signature: S value is unnecessarily high)"
    assert world.backend.submit_block(world.backend.make_block(SCRIPT, [tx])).reason == ""
    assert world.backend.chain.find_transaction(tx.txid()) is not None


def test_condition_must_be_minimal(world: World) -> None:
    """MINIMALIF: an HTLC preimage branch chosen by a fat `true` does not relay."""
    script = bytes((OP_IF,)) + bytes((OP_1,)) + b"\x67" + bytes((OP_1, OP_ENDIF))
    money = paying(world, p2wsh_of_script(script))
    assert verdict(world, spending(money, (b"\x02", script))).startswith(
        f"{FAILED} (OP_IF/NOTIF argument must be minimal"
    )
    assert verdict(world, spending(money, (b"\x01", script))) == ""


def test_failed_signature_must_be_empty(world: World) -> None:
    """NULLFAIL: a wrong signature in a branch that tolerates it."""
    script = CHECKSIG + bytes((OP_DROP, OP_1))
    money = paying(world, p2wsh_of_script(script))
    wrong = der(sign_ecdsa(SECRET, bytes(32))) + b"\x01"
    assert verdict(world, spending(money, (wrong, script))) == (
        f"{FAILED} (Signature must be zero for failed CHECK(MULTI)SIG operation)"
    )
    assert verdict(world, spending(money, (b"", script))) == ""


def test_push_must_be_minimal(world: World) -> None:
    """MINIMALDATA: a small number pushed as data."""
    script = b"\x01\x01"
    money = paying(world, p2wsh_of_script(script))
    assert verdict(world, spending(money, (script,))) == f"{FAILED} (Data push larger than necessary)"


def test_keys_in_witness_scripts_are_compressed(world: World) -> None:
    """WITNESS_PUBKEYTYPE."""
    uncompressed = b"\x04" + bytes(64)
    script = push_data(uncompressed) + bytes((OP_CHECKSIG,)) + bytes((OP_DROP, OP_1))
    money = paying(world, p2wsh_of_script(script))
    assert verdict(world, spending(money, (b"", script))) == f"{FAILED} (Using non-compressed keys in segwit)"


def test_upgradable_nop(world: World) -> None:
    """DISCOURAGE_UPGRADABLE_NOPS: OP_NOP10 is kept for later."""
    script = b"\xb9" + bytes((OP_1,))
    money = paying(world, p2wsh_of_script(script))
    assert verdict(world, spending(money, (script,))) == f"{FAILED} (NOPx reserved for soft-fork upgrades)"


def test_lock_times_in_scripts(world: World) -> None:
    """CSV and CLTV are consensus; the sentence is the interpreter's."""
    script = push_data(script_num(20)) + b"\xb2" + bytes((OP_DROP, OP_1))
    money = paying(world, p2wsh_of_script(script))
    reason = verdict(world, spending(money, (script,)))
    assert reason == f"{FAILED} (Locktime requirement not satisfied)"


def test_wrong_signature_names_its_input(world: World) -> None:
    """The detail says which input: people look for it."""
    money = [world.coinbase(1), world.coinbase(2)]
    tx = spend(money)
    broken = Transaction(
        2, (tx.inputs[0], TxIn(tx.inputs[1].prevout, b"", 0xFFFFFFFD, tx.inputs[0].witness)), tx.outputs, 0
    )
    with pytest.raises(TransactionRejected, match=f"input 1 of .*, spending {money[1].outpoint}"):
        world.backend.test(broken)


def test_taproot_key_path(world: World) -> None:
    """Simple taproot channels spend this way: the library needs every spent output for it."""
    internal = public_key(SECRET)[1:]
    money = paying(world, b"\x51\x20" + output_key(internal, None)[0])
    bare = spending(money, ())
    digest = sighash_v1(bare, 0, 0, Bip341Midstate(bare, [TxOut(money.value_sat, money.script_pubkey)]))
    good = sign_schnorr(tweak_secret(SECRET, None), digest, bytes(32))
    assert verdict(world, spending(money, (good,))) == ""
    bad = good[:-1] + bytes((good[-1] ^ 1,))
    assert verdict(world, spending(money, (bad,))) == f"{FAILED} (Invalid Schnorr signature)"


def test_redeem_script_with_many_signature_checks() -> None:
    """More than 15 in a P2SH script are not standard."""
    for count, refused in ((15, False), (16, True)):
        script = b"\xac" * count
        tx = Transaction(2, (TxIn(OutPoint(bytes(31) + b"\x01", 0), push_data(script), 0),), (TxOut(1, SCRIPT),), 0)
        checked = PolicyTransaction(tx.serialize(), tx, [Coin(1_000, p2sh_of_script(script), 1, False)])
        reason = ""
        try:
            checked.sigop_cost()
        except TransactionRejected as rejection:
            reason = rejection.reason
        assert reason == ("bad-txns-nonstandard-inputs" if refused else "")


def test_signature_checks_are_counted() -> None:
    """A transaction full of signature checks is larger for fees, and refused above a limit."""
    script = b"\xac" * 200
    coin = Coin(1_000, p2wsh_of_script(script), 1, False)
    tx = Transaction(2, (TxIn(OutPoint(bytes(31) + b"\x01", 0), b"", 0, (script,)),), (TxOut(1, SCRIPT),), 0)
    assert PolicyTransaction(tx.serialize(), tx, [coin]).sigop_cost() == 200
    inputs = tuple(TxIn(OutPoint(bytes(31) + b"\x01", n), b"", 0, (script,)) for n in range(81))
    many = Transaction(2, inputs, (TxOut(1, SCRIPT),), 0)
    with pytest.raises(TransactionRejected, match="bad-txns-too-many-sigops"):
        PolicyTransaction(many.serialize(), many, [coin] * 81).sigop_cost()
