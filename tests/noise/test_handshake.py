"""The handshake of BOLT 8: the vectors, both sides against each other, and hostile bytes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import PeerViolation, Reaction
from leyden.crypto.ec import CURVE_ORDER, ecdh, is_valid_point, public_key
from leyden.noise import HandshakeFailed, HandshakeProblem, Initiator, Responder, StaticKey, TransportKeys

FILE = Path(__file__).parent.parent / "vectors" / "bolt08" / "transport.json"
VECTORS = json.loads(FILE.read_text())
PROBLEMS = {
    "READ_FAILED": HandshakeProblem.LENGTH,
    "BAD_VERSION": HandshakeProblem.VERSION,
    "BAD_PUBKEY": HandshakeProblem.PUBKEY,
    "BAD_CIPHERTEXT": HandshakeProblem.CIPHERTEXT,
    "BAD_TAG": HandshakeProblem.TAG,
}
SECRETS = st.integers(1, CURVE_ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
LS, RS, E, RE = (bytes((number,)) * 32 for number in (0x11, 0x21, 0x12, 0x22))


def expected_failure(case: dict[str, Any]) -> tuple[int, HandshakeProblem] | None:
    """What a case's `error`, such as `ACT2_BAD_TAG`, means in our terms."""
    if "error" not in case:
        return None
    act, problem = case["error"].split()[0].removeprefix("ACT").split("_", 1)
    return int(act), PROBLEMS[problem]


def steps(case: dict[str, Any]) -> list[bytes]:
    """The bytes of the acts of a case, in order, whoever sends them."""
    return [bytes.fromhex(step.get("input") or step.get("output") or "") for step in case["steps"]]


def check_result(case: dict[str, Any], keys: TransportKeys) -> None:
    """The keys at the end are those of the vector."""
    assert keys.send_key.hex() == case["result"]["sk"]
    assert keys.recv_key.hex() == case["result"]["rk"]


@pytest.mark.parametrize("case", VECTORS["initiator"], ids=lambda case: case["name"])
def test_initiator_vectors(case: dict[str, Any]) -> None:
    """Every peer speaks exactly this handshake."""
    keys = {name: bytes.fromhex(value) for name, value in case["keys"].items()}
    assert public_key(keys["ls.priv"]) == keys["ls.pub"]
    acts = steps(case)
    initiator = Initiator(keys["ls.priv"], keys["rs.pub"], keys["e.priv"])
    assert initiator.act_one() == acts[0]
    failure = expected_failure(case)
    if failure is None:
        act_three, transport_keys = initiator.receive_act_two(acts[1])
        assert act_three == acts[2]
        assert transport_keys.remote_static == keys["rs.pub"]
        check_result(case, transport_keys)
        return
    with pytest.raises(HandshakeFailed) as caught:
        initiator.receive_act_two(acts[1])
    assert (caught.value.act, caught.value.problem) == failure


@pytest.mark.parametrize("case", VECTORS["responder"], ids=lambda case: case["name"])
def test_responder_vectors(case: dict[str, Any]) -> None:
    """A responder that answers a bad act would tell a scanner that a node listens here."""
    keys = {name: bytes.fromhex(value) for name, value in case["keys"].items()}
    acts = steps(case)
    responder = Responder(keys["ls.priv"], keys["e.priv"])
    failure = expected_failure(case)
    if failure is not None and failure[0] == 1:
        with pytest.raises(HandshakeFailed) as caught:
            responder.receive_act_one(acts[0])
        assert (caught.value.act, caught.value.problem) == failure
        return
    assert responder.receive_act_one(acts[0]) == acts[1]
    if failure is None:
        transport_keys = responder.receive_act_three(acts[2])
        assert is_valid_point(transport_keys.remote_static)
        check_result(case, transport_keys)
        return
    with pytest.raises(HandshakeFailed) as caught:
        responder.receive_act_three(acts[2])
    assert (caught.value.act, caught.value.problem) == failure


@given(SECRETS, SECRETS, SECRETS, SECRETS)
def test_both_sides_agree(ls: bytes, rs: bytes, e: bytes, re: bytes) -> None:
    """What one side sends the other must read, and each must know who the other is."""
    initiator = Initiator(ls, public_key(rs), e)
    responder = Responder(StaticKey(public_key(rs), lambda point: ecdh(rs, point)), re)
    act_three, ours = initiator.receive_act_two(responder.receive_act_one(initiator.act_one()))
    theirs = responder.receive_act_three(act_three)
    assert (ours.send_key, ours.recv_key) == (theirs.recv_key, theirs.send_key)
    assert ours.chaining_key == theirs.chaining_key
    assert ours.remote_static == public_key(rs)
    assert theirs.remote_static == public_key(ls)


@given(st.binary(max_size=70), st.integers(0, 2), st.integers(0, 65), st.integers(1, 255))
def test_hostile_acts_fail_the_handshake_only(noise: bytes, target: int, position: int, flip: int) -> None:
    """Anybody can connect: any bytes must end in HandshakeFailed, and one changed bit is enough."""
    initiator, responder = Initiator(LS, public_key(RS), E), Responder(RS, RE)
    act_one = initiator.act_one()

    def damaged(act: bytes) -> bytes:
        if len(noise) % 2:
            return noise
        at = position % len(act)
        return act[:at] + bytes((act[at] ^ flip,)) + act[at + 1 :]

    def play() -> None:
        if target == 0:
            responder.receive_act_one(damaged(act_one))
        act_two = responder.receive_act_one(act_one)
        if target == 1:
            initiator.receive_act_two(damaged(act_two))
        act_three, _ = initiator.receive_act_two(act_two)
        responder.receive_act_three(damaged(act_three))

    with pytest.raises(HandshakeFailed) as caught:
        play()
    assert caught.value.act == target + 1
    assert isinstance(caught.value, PeerViolation)
    assert caught.value.reaction is Reaction.DISCONNECT


def test_wrong_node_does_not_answer() -> None:
    """Noise_XK: who does not hold the static secret that was dialled cannot even read act one."""
    with pytest.raises(HandshakeFailed, match="act 1: wrong tag"):
        Responder(E, RE).receive_act_one(Initiator(LS, public_key(RS), E).act_one())


def test_acts_out_of_turn_are_our_bug() -> None:
    """Two messages under one key and nonce would give the key away."""
    initiator, responder = Initiator(LS, public_key(RS), E), Responder(RS, RE)
    with pytest.raises(AssertionError):
        initiator.receive_act_two(bytes(50))
    with pytest.raises(AssertionError):
        responder.receive_act_three(bytes(66))
    act_one = initiator.act_one()
    with pytest.raises(AssertionError):
        initiator.act_one()
    responder.receive_act_one(act_one)
    with pytest.raises(AssertionError):
        responder.receive_act_one(act_one)


def test_invalid_arguments_are_refused() -> None:
    """An address book may hold any text; it must fail before a connection is opened."""
    with pytest.raises(ValueError, match="remote static"):
        Initiator(LS, bytes(33), E)
    with pytest.raises(ValueError, match="secret"):
        Responder(bytes(32), RE)


def test_secrets_do_not_show() -> None:
    """What stands in a repr ends up in a log."""
    keys = TransportKeys(LS, RS, E, public_key(LS))
    assert repr(keys) == f"TransportKeys(remote_static={public_key(LS).hex()})"
    assert repr(StaticKey.from_secret(LS)) == f"StaticKey({public_key(LS).hex()})"
