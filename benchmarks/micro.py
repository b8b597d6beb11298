"""Micro-benchmarks: microseconds of what payments are made of, best of five, and what the store can take."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.journals import PayerJournal
from benchmarks.run import Run
from leyden.bitcoin.networks import REGTEST
from leyden.channel.build import channel_keys, local_commitment, remote_commitment
from leyden.channel.snapshot import decode_core, encode_core
from leyden.crypto import ec
from leyden.crypto.hashes import sha256
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.invoices import bolt11
from leyden.invoices.fields import Bolt11Invoice, RouteHintHop
from leyden.journal.batch import StoredJournal
from leyden.journal.codec import decode_record, encode_record
from leyden.manager.peers import INVOICE_FEATURES
from leyden.manager.rebuild import fold_channel
from leyden.noise import Transport, TransportKeys
from leyden.ports.store import Append
from leyden.sphinx.onion import build_onion, peel_onion
from leyden.sphinx.payload import HopPayload, PaymentData, decode_payload, encode_payload
from leyden.wire.messages import CommitmentSigned, RevokeAndAck, UpdateAddHtlc, UpdateFulfillHtlc, decode, encode

SLOTS = 483
REPEATS = 5
Timing = tuple[str, Callable[[], object], int]
"""Name, operation, and by how many its time is divided."""


def best_us(operation: Callable[[], object], seconds: float) -> float:
    """Return the microseconds of one call: the best of several rounds that take `seconds` in all."""
    operation()
    begun = time.perf_counter()
    operation()
    once = max(time.perf_counter() - begun, 1e-7)
    calls = max(1, int(seconds / REPEATS / once))
    best = float("inf")
    for _ in range(REPEATS):
        begun = time.perf_counter()
        for _ in range(calls):
            operation()
        best = min(best, (time.perf_counter() - begun) / calls)
    return best * 1e6


def micro(run: Run) -> dict[str, float]:
    """Run all of them; return figures by name."""
    seconds, say = run.scale.micro_seconds, run.say
    run.settle()
    figures: dict[str, float] = {}
    for group in (_messages, _signatures, _onions, _invoices, _frames, _commitments, _records):
        for name, operation, divisor in group():
            say(name)
            figures[name] = round(best_us(operation, seconds) / divisor, 2)
    for batch in (1, 100):
        say(f"fold, {batch} payments a commitment")
        figures |= _fold(batch, seconds)
    say("group commit")
    figures |= asyncio.run(_group_commit(seconds))
    return figures


def _messages() -> Iterator[Timing]:
    point = ec.public_key(b"\x11" * 32)
    messages = (
        ("update_add_htlc", UpdateAddHtlc(bytes(32), 1, 10_000_000, bytes(32), 500, bytes(1366)), 1),
        ("update_fulfill_htlc", UpdateFulfillHtlc(bytes(32), 1, bytes(32)), 1),
        ("revoke_and_ack", RevokeAndAck(bytes(32), bytes(32), point), 1),
        ("commitment_signed of 483, each HTLC", CommitmentSigned(bytes(32), bytes(64), (bytes(64),) * SLOTS), SLOTS),
    )
    for name, message, divisor in messages:
        raw = encode(message)
        yield f"encode {name}", partial(encode, message), divisor
        yield f"decode {name}", partial(decode, raw), divisor


def _signatures() -> Iterator[Timing]:
    secret = b"\x11" * 32
    point = ec.public_key(secret)
    digests = [sha256(b"%d" % number) for number in range(100)]
    signatures = ec.sign_ecdsa_many(secret, digests)
    yield "sign, one of 100", lambda: ec.sign_ecdsa_many(secret, digests), 100
    yield "verify, one of 100", lambda: ec.verify_ecdsa_many(point, digests, signatures), 100
    yield "ecdh", lambda: ec.ecdh(secret, point), 1
    yield "public key", lambda: ec.public_key(secret), 1


def _onions() -> Iterator[Timing]:
    secrets = [sha256(b"hop %d" % number) for number in range(3)]
    points = [ec.public_key(secret) for secret in secrets]
    data = PaymentData(bytes(32), 10_000_000)
    final = HopPayload(amt_to_forward=10_000_000, outgoing_cltv_value=500, payment_data=data)
    forward = HopPayload(amt_to_forward=10_000_000, outgoing_cltv_value=500, short_channel_id=1 << 40)
    raw, payment_hash, session_key = encode_payload(final), bytes(32), b"\x22" * 32
    one = [(points[0], raw)]
    three = [(points[0], encode_payload(forward)), (points[1], encode_payload(forward)), (points[2], raw)]
    to_final = build_onion(session_key, one, payment_hash).packet
    to_forward = build_onion(session_key, three, payment_hash).packet
    yield "encode payload", lambda: encode_payload(final), 1
    yield "decode payload", lambda: decode_payload(raw), 1
    yield "build onion, 1 hop", lambda: build_onion(session_key, one, payment_hash), 1
    yield "build onion, 3 hops", lambda: build_onion(session_key, three, payment_hash), 1
    yield "peel onion, last hop", lambda: peel_onion(secrets[0], to_final, payment_hash), 1
    yield "peel onion, forward", lambda: peel_onion(secrets[0], to_forward, payment_hash), 1


def _invoices() -> Iterator[Timing]:
    secret = b"\x33" * 32
    invoice = Bolt11Invoice(
        network=REGTEST,
        amount_msat=10_000_000,
        timestamp=1_700_000_000,
        payment_hash=bytes(32),
        payment_secret=bytes(32),
        description="benchmark",
        expiry_seconds=86_400,
        min_final_cltv_expiry_delta=42,
        payee_node_id=ec.public_key(secret),
        route_hints=((RouteHintHop(ec.public_key(b"\x44" * 32), 1 << 40, 1_000, 100, 72),),),
        features=INVOICE_FEATURES.encode(),
    )

    def sign(digest: bytes) -> bytes:
        return ec.sign_recoverable(secret, digest)

    text = bolt11.encode(invoice, sign)
    yield "encode invoice", lambda: bolt11.encode(invoice, sign), 1
    yield "decode invoice", lambda: bolt11.decode(text), 1


def _frames() -> Iterator[Timing]:
    message = bytes(1452)
    keys = TransportKeys(b"\x01" * 32, b"\x01" * 32, b"\x02" * 32, ec.public_key(b"\x11" * 32))
    sender, receiver = Transport(keys), Transport(keys)
    yield "encrypt and decrypt 1452 bytes", lambda: receiver.feed(sender.encrypt(message)), 1


def _commitments() -> Iterator[Timing]:
    journal = PayerJournal()
    journal.offer(SLOTS)
    core, keys = journal.core, channel_keys(journal.core.opened)
    own_point = journal.own.signer.per_commitment_point(journal.keys_ids[0], core.local.number)
    commitment = remote_commitment(keys, core.remote, core.remote_point)
    assert len(commitment.htlcs) == SLOTS
    signatures = journal.own.signer.sign_counterparty_commitment(journal.keys_ids[0], commitment)[1]
    digests = commitment.htlc_digests(commitment.htlc_sighash_type)
    point = commitment.keys.countersignatory_htlc_public_key
    # The points differ every time in life, so keys are derived anew; here they come from a cache.
    yield "build commitment of 483", lambda: local_commitment(keys, core.local, own_point, core.local.number), 1
    yield "digests of 483 HTLCs", lambda: commitment.htlc_digests(commitment.htlc_sighash_type), 1
    yield (
        "sign commitment of 483",
        lambda: journal.own.signer.sign_counterparty_commitment(journal.keys_ids[0], commitment),
        1,
    )
    yield "verify 483 HTLC signatures", lambda: ec.verify_ecdsa_many(point, digests, signatures), 1
    encoded = encode_core(core)
    yield "encode snapshot with 483 HTLCs", lambda: encode_core(core), 1
    yield "decode snapshot with 483 HTLCs", lambda: decode_core(encoded), 1


def _records() -> Iterator[Timing]:
    journal = PayerJournal()
    journal.settle(journal.offer(100))
    sent = journal.records[4]
    record = decode_record(sent)
    yield "encode record of 100 adds, each", lambda: encode_record(record), 100
    yield "decode record of 100 adds, each", lambda: decode_record(sent), 100


def _fold(batch: int, seconds: float) -> dict[str, float]:
    """Decode and fold a whole journal, as a start does."""
    journal = PayerJournal()
    rounds = max(2, 1_000 // batch)
    for _ in range(rounds):
        journal.settle(journal.offer(batch))
    stored = StoredJournal("channel/x", 0, b"", journal.records)
    whole = best_us(lambda: fold_channel(stored), seconds)
    return {
        f"fold, {batch} a commitment, records/s": round(len(journal.records) * 1e6 / whole),
        f"fold, {batch} a commitment, us a payment": round(whole / (rounds * batch), 2),
    }


async def _group_commit(seconds: float) -> dict[str, float]:
    """Commits one after the other, each of a number of batches of one record of 500 bytes, with real sync."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="leyden-bench-") as folder:
        store = SqliteStore(Path(folder) / "journals.sqlite")
        epoch = await store.open()
        loop = asyncio.get_running_loop()
        position = 0
        for batches in (1, 10, 100, 1000):
            commits, begun = 0, time.perf_counter()
            while commits < 3 or time.perf_counter() - begun < seconds:
                durable: asyncio.Future[object] = loop.create_future()
                for number in range(batches):
                    position += 1
                    done = partial(_durable, durable) if number == batches - 1 else _nothing
                    store.append(epoch, [Append("node", position, [bytes(500)])], done)
                assert await durable is None
                commits += 1
            elapsed = time.perf_counter() - begun
            figures[f"group commit of {batches}, batches/s"] = round(commits * batches / elapsed)
        await store.close()
    return figures


def _durable(future: asyncio.Future[object], _appends: object, failure: object) -> None:
    future.set_result(failure)


def _nothing(_appends: object, _failure: object) -> None:
    """The last batch of a group tells enough."""
