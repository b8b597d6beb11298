"""Fuzz target: hostile bytes end a handshake with HandshakeFailed and a connection with TransportFailed.

The input is used as acts, as a stream, and as instructions for cutting and damaging an honest stream.
Run: python fuzz/fuzz_noise_transport.py [corpus folder], with the package atheris installed.
"""

import sys

from leyden.crypto.ec import public_key
from leyden.noise import HandshakeFailed, Initiator, Responder, Transport, TransportFailed, TransportKeys

SECRETS = [bytes((number,)) * 32 for number in range(1, 5)]
KEYS = [bytes((number,)) * 32 for number in range(5, 8)]


def one_input(data: bytes) -> None:
    """Try one input. Raises: AssertionError, or whatever a bug raises."""
    _handshake(data)
    _foreign_stream(data)
    _honest_stream(data)


def _transport() -> Transport:
    return Transport(TransportKeys(KEYS[0], KEYS[0], KEYS[2], b""))


def _handshake(data: bytes) -> None:
    local, remote, ephemeral, remote_ephemeral = SECRETS
    initiator = Initiator(local, public_key(remote), ephemeral)
    act_one = initiator.act_one()
    responder = Responder(remote, remote_ephemeral)
    responder.receive_act_one(act_one)
    for receive in (Responder(remote, remote_ephemeral).receive_act_one, initiator.receive_act_two):
        try:
            receive(data[:50])
        except HandshakeFailed:
            continue
    try:
        responder.receive_act_three(data[:66])
    except HandshakeFailed:
        return


def _foreign_stream(data: bytes) -> None:
    transport = _transport()
    failed = False
    for start in range(0, len(data), 7):
        try:
            assert transport.feed(data[start : start + 7]) == []
            assert not failed
        except TransportFailed:
            failed = True
    assert failed or len(data) < 18


def _honest_stream(data: bytes) -> None:
    """Each byte is the length of a piece; the last two damage one byte of the stream."""
    messages = [data[:size] for size in (0, 1, len(data))]
    stream = bytearray(_transport().encrypt_many(messages))
    position = sum(data[-2:-1]) * len(stream) // 256
    flip = sum(data[-1:])
    stream[position] ^= flip
    transport = _transport()
    received: list[bytes] = []
    offset = 0
    try:
        for piece in (*data, len(stream)):
            received += transport.feed(bytes(stream[offset : offset + piece]))
            offset += piece
    except TransportFailed:
        assert flip
        assert received == messages[: len(received)]
        return
    assert not flip
    assert received == messages


def main() -> None:
    """Run until stopped."""
    import atheris  # Only whoever fuzzes needs it; it exists for few platforms.

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
