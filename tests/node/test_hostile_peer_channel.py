"""A peer with a channel that breaks BOLT 2: its channel fails behind a record, or its connection ends, and no more."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leyden.bitcoin.networks import MAINNET, REGTEST
from leyden.bitcoin.tx import OutPoint
from leyden.channel.inputs import Commit, Connected, DecideHtlcs, StartShutdown
from leyden.crypto import ec
from leyden.crypto.hashes import sha256, sha256d
from leyden.journal.records import FailedHtlc
from leyden.manager import peers as manager_peers
from leyden.node.node import Node
from leyden.node.settings import ChannelSettings
from leyden.wire.messages import (
    ChannelReady,
    ChannelReestablish,
    ChannelUpdate,
    ClosingSigned,
    CommitmentSigned,
    ErrorMessage,
    RevokeAndAck,
    Shutdown,
    UpdateAddHtlc,
    UpdateFailHtlc,
    UpdateFailMalformedHtlc,
    UpdateFee,
    UpdateFulfillHtlc,
    WarningMessage,
    decode,
    encode,
)
from tests.node.hostile import HostileChannel, HostilePeer, flipped, replaced
from tests.node.real_world import World, channel_view, fingerprint, pay, until, world

NO_POINT = b"\x02" + b"\xff" * 32
SETTINGS = ChannelSettings(
    minimum_depth=1, htlc_minimum_msat=1_000, max_accepted_htlcs=3, max_htlc_value_in_flight_percent=10
)
"""Limits that a test reaches: 3 HTLCs, 100,000 sat in flight, 1 sat at least."""

Offence = Callable[[HostileChannel], Awaitable[list[Any]]]


class Scene(msgspec.Struct):
    """bob has an honest channel with alice, who is never to notice anything."""

    world: World
    alice: Node
    bob: Node
    channel_id: str
    made: int = 0

    async def channel(self, *, opened_by_bob: bool = False) -> HostileChannel:
        """A channel with a new hostile peer."""
        self.made += 1
        peer = await HostilePeer(f"mallory {self.made}").introduce(self.bob)
        channel = HostileChannel(peer, self.bob, self.world, self.made)
        if opened_by_bob:
            await self.world.fund(self.bob, 2_000_000)
            return await channel.be_opened(1_000_000, 400_000_000)
        return await channel.open()

    async def fails(self, channel: HostileChannel, messages: list[Any], why: str) -> None:
        """Sent, these fail the channel: told to the peer, recorded, and only then published."""
        others = {key: value for key, value in fingerprint(self.bob)["channels"].items() if key != channel.channel_id}
        channel.peer.send(*messages)
        error = await channel.peer.expect(ErrorMessage)
        assert error.channel_id == channel.channel_id, why
        assert why in error.data.decode(), f"{why}: {error.data}"
        assert channel.state() == "force_closing"
        slot = self.bob.core.manager.channels[channel.channel_id]
        funding = OutPoint(channel.party.core.opened.funding_txid, channel.party.core.opened.funding_output_index)

        def commitment() -> Any:
            spends = [tx for tx in self.world.chain.pool.values() if tx.inputs[0].prevout == funding]
            return spends and spends[0]

        published = await until(commitment)
        assert slot.state.core.closing is not None
        assert slot.tail.durable == slot.tail.position
        assert published.locktime >> 24 == 0x20, "a commitment transaction"
        now = fingerprint(self.bob)["channels"]
        assert {key: now[key] for key in others} == others, why

    async def is_dropped(self, channel: HostileChannel, messages: list[Any], why: str) -> None:
        """Sent, these end the connection with a warning, and the channel is as it was."""
        before = fingerprint(self.bob)
        channel.peer.send(*messages)
        await channel.peer.gone()
        warnings = [one.data.decode() for one in channel.peer.received if type(one) is WarningMessage]
        assert any(why in warning for warning in warnings), f"{why}: {warnings}"
        assert channel.state() == "normal", why
        assert fingerprint(self.bob) == before, why

    async def unharmed(self) -> None:
        """alice's channel never noticed."""
        assert channel_view(self.bob, self.channel_id).is_usable
        assert (await pay(self.alice, self.bob)).status == "succeeded"
        assert (await pay(self.bob, self.alice)).status == "succeeded"
        manager = self.bob.core.manager
        assert not manager.faults
        assert not [slot.halted for slot in manager.channels.values() if slot.halted]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """See `Scene`."""
    async with world(tmp_path) as made:
        alice, bob = await made.start("alice"), await made.start("bob", settings={"channels": SETTINGS})
        channel_id = await made.channel(alice, bob, push_msat=300_000_000)
        yield Scene(made, alice, bob, channel_id)


# --- signatures and revocations -------------------------------------------------------------------------------------


def signing(**changes: Any) -> Offence:
    """An honest HTLC with a `commitment_signed` that has other fields (or functions of the honest message)."""

    async def offence(channel: HostileChannel) -> list[Any]:
        add, signed = channel.add()
        message = decode(signed)
        made = {name: value(message) if callable(value) else value for name, value in changes.items()}
        return [add, replaced(signed, **made)]

    return offence


async def signed_twice(channel: HostileChannel) -> list[Any]:
    """The same signature again, where only one for the next commitment will do."""
    add, signed = channel.add()
    return [add, signed, signed]


async def signed_before_the_update(channel: HostileChannel) -> list[Any]:
    """The signature first, what it signs afterwards."""
    add, signed = channel.add()
    return [signed, add]


async def the_nodes_signature(channel: HostileChannel) -> bytes:
    """Bring the node to sign our next commitment; return our honest `revoke_and_ack`."""
    channel.peer.send(*channel.add())
    revoked = await channel.peer.expect(RevokeAndAck)
    signed = await channel.peer.expect(CommitmentSigned)
    return channel.handle(revoked, signed)[0]


def revoking(**changes: Any) -> Offence:
    """A `revoke_and_ack` with other fields, when one is due."""

    async def offence(channel: HostileChannel) -> list[Any]:
        return [replaced(await the_nodes_signature(channel), **changes)]

    return offence


async def revoked_unasked(channel: HostileChannel) -> list[Any]:
    """Nothing is there to be revoked."""
    secret = channel.party.signer.release_commitment_secret(channel.keys_id, 0)
    return [RevokeAndAck(channel.channel_id, secret, ec.public_key(sha256(b"point")))]


async def revoked_twice(channel: HostileChannel) -> list[Any]:
    """The second one is not asked for."""
    honest = await the_nodes_signature(channel)
    return [honest, honest]


SIGNATURES: dict[str, tuple[str, Offence]] = {
    "a wrong signature": ("signature does not sign", signing(signature=lambda m: flipped(m.signature))),
    "a zero signature": ("signature does not sign", signing(signature=bytes(64))),
    "a signature out of range": ("signature does not sign", signing(signature=b"\xff" * 64)),
    "a wrong HTLC signature": ("HTLC signature 0", signing(htlc_signatures=lambda m: (flipped(m.htlc_signatures[0]),))),
    "no HTLC signature": ("0 HTLC signatures for 1", signing(htlc_signatures=())),
    "an HTLC signature too many": ("2 HTLC signatures for 1", signing(htlc_signatures=lambda m: m.htlc_signatures * 2)),
    "a thousand HTLC signatures": ("1000 HTLC", signing(htlc_signatures=lambda m: m.htlc_signatures * 1000)),
    "twice": ("signature", signed_twice),
    "before its update": ("signature", signed_before_the_update),
    "a wrong secret": ("does not match", revoking(per_commitment_secret=sha256(b"wrong"))),
    "no secret": ("not a secret", revoking(per_commitment_secret=bytes(32))),
    "no point": ("not a point", revoking(next_per_commitment_point=NO_POINT)),
    "unasked": ("without a commitment_signed", revoked_unasked),
    "revoked twice": ("without a commitment_signed", revoked_twice),
}


async def test_signatures_and_revocations_that_are_wrong(scene: Scene) -> None:
    """What is not signed cannot be enforced, what is not revoked can be: there is no going on."""
    for why, offence in SIGNATURES.values():
        channel = await scene.channel()
        await scene.fails(channel, await offence(channel), why)
    await scene.unharmed()


# --- updates --------------------------------------------------------------------------------------------------------


def adding(*adds: dict[str, Any]) -> Offence:
    """`update_add_htlc`s, each honest but for these fields."""

    async def offence(channel: HostileChannel) -> list[Any]:
        messages = []
        for number, changes in enumerate(adds):
            fields: dict[str, Any] = {
                "channel_id": channel.channel_id, "id": number, "amount_msat": 10_000_000,
                "payment_hash": sha256(b"h"), "cltv_expiry": 400, "onion_routing_packet": bytes(1366),
            }  # fmt: skip
            messages.append(UpdateAddHtlc(**(fields | changes)))
        return messages

    return offence


def saying(make: Callable[[bytes], Any]) -> Offence:
    """One message about the channel."""

    async def offence(channel: HostileChannel) -> list[Any]:
        return [make(channel.channel_id)]

    return offence


UPDATES: dict[str, tuple[str, Offence]] = {
    "an id too high": ("id is 1, not 0", adding({"id": 1})),
    "an id twice": ("id is 0, not 1", adding({}, {"id": 0})),
    "nothing": ("htlc_minimum_msat", adding({"amount_msat": 0})),
    "below the minimum": ("htlc_minimum_msat", adding({"amount_msat": 999})),
    "more than in flight": ("in flight", adding({"amount_msat": 100_000_001})),
    "more than in flight together": ("in flight", adding({"amount_msat": 60_000_000}, {"amount_msat": 40_000_001})),
    "as much as 64 bits hold": ("in flight", adding({"amount_msat": 2**64 - 1})),
    "one HTLC too many": ("max_accepted_htlcs", adding({}, {}, {}, {})),
    "no height": ("not a height", adding({"cltv_expiry": 500_000_000})),
    "fulfil of nothing": ("no HTLC 0", saying(lambda cid: UpdateFulfillHtlc(cid, 0, bytes(32)))),
    "fail of nothing": ("no HTLC 7", saying(lambda cid: UpdateFailHtlc(cid, 7, b""))),
    "malformed of nothing": ("no HTLC 0", saying(lambda cid: UpdateFailMalformedHtlc(cid, 0, bytes(32), 0x8004))),
    "malformed without BADONION": ("BADONION", saying(lambda cid: UpdateFailMalformedHtlc(cid, 0, bytes(32), 0x4004))),
    "a feerate too low": ("feerate_per_kw 252", saying(lambda cid: UpdateFee(cid, 252))),
    "a feerate too high": ("feerate_per_kw 250001", saying(lambda cid: UpdateFee(cid, 250_001))),
    "closing_signed in the middle": ("ClosingSigned", saying(lambda cid: ClosingSigned(cid, 1000, bytes(64)))),
    "another point": (
        "second_per_commitment_point",
        saying(lambda cid: ChannelReady(cid, ec.public_key(b"\x01" * 32))),
    ),
    "reestablish again": ("a second", saying(lambda cid: ChannelReestablish(cid, 1, 0, bytes(32), NO_POINT))),
}


async def test_updates_over_every_limit(scene: Scene) -> None:
    """Limits are for honest mistakes too: the channel fails before anything of it is signed."""
    for what, (why, offence) in UPDATES.items():
        channel = await scene.channel()
        try:
            await scene.fails(channel, await offence(channel), why)
        except AssertionError as wrong:
            raise AssertionError(f"{what}: {wrong}") from wrong
    await scene.unharmed()


async def test_an_htlc_that_its_sender_cannot_afford(tmp_path: Path) -> None:
    """Below the reserve, or more than there is: the fee must be paid, and cheating must cost something."""
    async with world(tmp_path) as made:
        bob = await made.start("bob")
        for number, amount_msat in enumerate((590_000_001, 600_000_001, 1_000_000_000, 2**63)):
            peer = await HostilePeer(f"mallory {number}").introduce(bob)
            channel = await HostileChannel(peer, bob, made, number).open()
            (add,) = await adding({"amount_msat": amount_msat})(channel)
            peer.send(add)
            error = await peer.expect(ErrorMessage)
            assert b"afford" in error.data or b"in flight" in error.data, error.data
            assert channel.state() == "force_closing"


async def test_a_feerate_that_its_sender_cannot_afford_or_may_not_set(scene: Scene) -> None:
    """Only the opener pays the fee and sets it; whether it can pay is checked when it signs."""
    channel = await scene.channel(opened_by_bob=True)
    await scene.fails(channel, [UpdateFee(channel.channel_id, 1000)], "only the opener")
    poor = HostileChannel(await HostilePeer("poor").introduce(scene.bob), scene.bob, scene.world, 900)
    await poor.open(push_msat=985_000_000)
    signed = CommitmentSigned(poor.channel_id, bytes(64), ())
    await scene.fails(poor, [UpdateFee(poor.channel_id, 250_000), signed], "afford")
    await scene.unharmed()


# --- what the node offers -------------------------------------------------------------------------------------------


async def offered(channel: HostileChannel) -> UpdateAddHtlc:
    """bob pays mallory; the HTLC is irrevocably committed."""
    await channel.node.keysend(channel.peer.node_id.hex(), 10_000_000)
    seen: list[Any] = []
    take = channel.party.handle

    def watch(event: Any) -> Any:
        seen.append(event)
        return take(event)

    channel.party.handle = watch  # type: ignore[method-assign]
    slot = channel.node.core.manager.channels[channel.channel_id]
    await channel.until(lambda: slot.state.core.outbound and 1 in slot.state.core.local.htlcs)
    await channel.settle()
    channel.party.handle = take  # type: ignore[method-assign]
    add: UpdateAddHtlc = next(one for one in seen if type(one) is UpdateAddHtlc)
    return add


async def test_answers_to_our_htlcs_that_are_wrong(scene: Scene) -> None:
    """A preimage that fits nothing is no proof; an HTLC has one answer."""
    cases: list[tuple[str, Callable[[bytes], list[Any]]]] = [
        ("does not match", lambda cid: [UpdateFulfillHtlc(cid, 0, bytes(32))]),
        ("no HTLC 1", lambda cid: [UpdateFulfillHtlc(cid, 1, bytes(32))]),
        ("already removed", lambda cid: [UpdateFailHtlc(cid, 0, b"x" * 292)] * 2),
        ("already removed", lambda cid: [UpdateFailHtlc(cid, 0, b""), UpdateFulfillHtlc(cid, 0, bytes(32))]),
        ("BADONION", lambda cid: [UpdateFailMalformedHtlc(cid, 0, bytes(32), 0x1007)]),
    ]
    for why, make in cases:
        channel = await scene.channel()
        await offered(channel)
        await scene.fails(channel, make(channel.channel_id), why)
    await scene.unharmed()


async def test_an_answer_before_the_htlc_is_committed(scene: Scene) -> None:
    """It may not be answered before both sides have revoked for it."""
    channel = await scene.channel()
    await scene.bob.keysend(channel.peer.node_id.hex(), 10_000_000)
    add = await channel.peer.expect(UpdateAddHtlc)
    await scene.fails(channel, [UpdateFailHtlc(channel.channel_id, add.id, b"")], "not irrevocably committed")


async def test_failures_that_nobody_can_read(scene: Scene) -> None:
    """Garbage for an answer is an answer: the payment fails and says that it cannot know why."""
    for reason in (b"", b"\x00", bytes(292), b"\xff" * 40_000):
        channel = await scene.channel()
        await offered(channel)
        channel.peer.send(*channel.handle(DecideHtlcs([], [FailedHtlc(0, reason, 0, b"")], []), Commit()))
        await channel.settle()
        payments = await scene.bob.payments()
        ended = await scene.bob.wait_payment(payments[-1].payment_id, 20)
        assert (ended.status, ended.failing_hop) == ("failed", None)
        assert channel.state() == "normal"
    await scene.unharmed()


# --- onions ---------------------------------------------------------------------------------------------------------


async def test_onions_that_cannot_be_read_are_answered_and_close_nothing(scene: Scene) -> None:
    """The sender of an HTLC made neither the onion nor the mistake, as far as we can know."""
    good = b"\x00" + ec.public_key(sha256(b"e")) + bytes(1332)
    for onion in (bytes(1366), b"\x01" + good[1:], good, b"\x00" + NO_POINT + bytes(1332), b"\xff" * 1366):
        channel = await scene.channel()
        channel.peer.send(*channel.add(onion_routing_packet=onion))
        await channel.settle()
        await channel.until(channel.has_answers)
        (outcome,) = channel.party.core.outcomes.values()
        assert outcome.removal.failure_code & 0x8000, "malformed, with BADONION"
        assert outcome.removal.reason == sha256(onion)
        assert channel.state() == "normal"
    await scene.unharmed()


# --- closing --------------------------------------------------------------------------------------------------------


async def test_shutdown_that_is_not_allowed(scene: Scene) -> None:
    """A script that nobody relays would lock the money; the connection ends and the channel lives."""
    for script in (b"", b"\x6a\x04data", b"\x76\xa9\x14" + bytes(20) + b"\x88\xac", bytes(60_000), b"\x51"):
        channel = await scene.channel()
        await scene.is_dropped(channel, [Shutdown(channel.channel_id, script)], "shutdown")
    channel = await scene.channel()
    (add,) = await adding({})(channel)
    script = b"\x00\x14" + bytes(20)
    await scene.is_dropped(channel, [add, Shutdown(channel.channel_id, script)], "not signed")
    await scene.unharmed()


async def test_updates_after_shutdown(scene: Scene) -> None:
    """Who closes adds nothing more."""
    channel = await scene.channel()
    (add,) = await adding({})(channel)
    await scene.fails(channel, [Shutdown(channel.channel_id, b"\x00\x14" + bytes(20)), add], "UpdateAddHtlc")


async def test_closing_signatures_that_are_wrong(scene: Scene) -> None:
    """Only what both sides have signed closes the channel cooperatively."""
    for change in ({"signature": b"\x01" * 64}, {"fee_satoshis": 900_000}, {"fee_satoshis": 2**63}):
        channel = await scene.channel()
        script = channel.party.signer.shutdown_script_pubkey()
        channel.peer.send(*channel.handle(StartShutdown(script, 1_000)))
        channel.handle(await channel.peer.expect(Shutdown))
        channel.handle(Commit())
        (honest,) = channel.handle(channel.party.answer_of_signer())
        before = dict(scene.world.chain.pool)
        channel.peer.send(replaced(honest, **change))
        await channel.peer.expect(ErrorMessage)
        assert channel.state() == "force_closing"
        await until(partial(_more_than, scene.world, len(before)))
    await scene.unharmed()


# --- policies -------------------------------------------------------------------------------------------------------


def _more_than(world_: World, count: int) -> bool:
    return len(world_.chain.pool) > count


def update(channel: HostileChannel, **changes: Any) -> bytes:
    """mallory's signed policy for forwarding to bob."""
    slot = channel.node.core.manager.channels[channel.channel_id]
    first = channel.peer.node_id < channel.node.core.manager.node_id
    fields: dict[str, Any] = {
        "signature": bytes(64), "chain_hash": REGTEST.chain_hash, "short_channel_id": slot.state.core.local_alias,
        "timestamp": 1_000, "message_flags": 3, "channel_flags": 0 if first else 1, "cltv_expiry_delta": 40,
        "htlc_minimum_msat": 1, "fee_base_msat": 5, "fee_proportional_millionths": 6, "htlc_maximum_msat": 10**9,
    }  # fmt: skip
    unsigned = encode(ChannelUpdate(**(fields | changes)))
    signature = ec.sign_ecdsa(channel.peer.secret, sha256d(unsigned[66:]))
    return unsigned[:2] + signature + unsigned[66:]


async def test_our_channel_update_names_the_peers_alias(scene: Scene) -> None:
    """Payers reach us by the name that the peer knows, and nobody learns where the funding is."""
    channel = await scene.channel()
    await channel.until(lambda: channel.updates)
    slot = scene.bob.core.manager.channels[channel.channel_id]
    assert slot.state.core.funding is not None
    assert [one.short_channel_id for one in channel.updates] == [1 << 50]
    assert slot.state.core.local_alias not in (0, slot.state.core.funding.short_channel_id, 1 << 50)


async def test_channel_updates_that_are_not_for_us_or_not_signed(scene: Scene) -> None:
    """They end up in invoices, so a wrong one would send payers astray."""
    channel = await scene.channel()
    slot = scene.bob.core.manager.channels[channel.channel_id]
    honest = scene.bob.core.manager.channels[bytes.fromhex(scene.channel_id)].state.core.local_alias
    before = fingerprint(scene.bob)
    channel.peer.send(
        update(channel, chain_hash=MAINNET.chain_hash), update(channel, short_channel_id=12345),
        update(channel, short_channel_id=honest), replaced(update(channel), channel_flags=2),
    )  # fmt: skip
    if channel.peer.node_id < scene.bob.core.manager.node_id:
        channel.peer.send(update(channel, channel_flags=1))
    else:
        channel.peer.send(update(channel, channel_flags=0))
    assert await channel.peer.answered() == []
    assert fingerprint(scene.bob) == before
    channel.peer.send(
        update(channel), update(channel, fee_base_msat=77), update(channel, timestamp=1, fee_base_msat=78)
    )
    await channel.peer.answered()
    policy = slot.state.core.peer_policy
    assert policy is not None
    assert policy.fee_base_msat == 5, "only newer ones count"
    await scene.is_dropped(
        channel, [replaced(update(channel, timestamp=2_000), signature=b"\x01" * 64)], "channel_update"
    )
    await scene.unharmed()


# --- reconnection ---------------------------------------------------------------------------------------------------


async def test_channel_messages_before_reestablish(scene: Scene) -> None:
    """A new connection begins with `channel_reestablish`; what comes before it is not believed, and heals."""
    channel = await scene.channel()
    for message in (
        UpdateFee(channel.channel_id, 1_000), CommitmentSigned(channel.channel_id, bytes(64), ()),
        UpdateFulfillHtlc(channel.channel_id, 0, bytes(32)), Shutdown(channel.channel_id, b"\x00\x14" + bytes(20)),
        RevokeAndAck(channel.channel_id, b"\x01" * 32, channel.party.core.opened.local.funding_pubkey),
    ):  # fmt: skip
        await channel.reconnect()
        await scene.is_dropped(channel, [message], "before channel_reestablish")
    await channel.reconnect()
    await channel.reestablish()
    channel.peer.send(*channel.add())
    await channel.settle()
    assert channel.state() == "normal"


async def test_reestablish_with_numbers_that_cannot_be(scene: Scene) -> None:
    """They say that one side has lost its memory or lies; without a proof we close, with the newest we have."""
    for why, changes in (
        ("next_commitment_number is 0", {"next_commitment_number": 0}),
        ("next_commitment_number is 9", {"next_commitment_number": 9}),
        ("beyond 48 bits", {"next_commitment_number": 2**64 - 1}),
        ("beyond 48 bits", {"next_revocation_number": 2**48}),
        ("your_last_per_commitment_secret", {"your_last_per_commitment_secret": b"\x07" * 32}),
        ("your_last_per_commitment_secret", {"next_revocation_number": 100}),
    ):
        channel = await scene.channel()
        await channel.reconnect()
        (honest,) = channel.handle(Connected())
        await scene.fails(channel, [replaced(honest, **changes)], why)
    await scene.unharmed()


# --- our own bugs ---------------------------------------------------------------------------------------------------


async def test_a_bug_in_one_channel_halts_that_channel_only(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the error is called: it is said where and on what, and everything else goes on."""
    channel = await scene.channel()
    slot = scene.bob.core.manager.channels[channel.channel_id]
    position = slot.tail.position
    monkeypatch.setattr(slot.state.core, "local", None)
    channel.peer.send(*channel.add())
    await channel.peer.answered()
    assert "on UpdateAddHtlc at record" in slot.halted
    assert "AttributeError" in slot.halted
    assert f"channel/{channel.hex}" in slot.halted
    assert slot.tail.position == position
    assert any(channel.hex[:16] in alarm for alarm in (await scene.bob.info()).alarms)
    channel.peer.send(UpdateFee(channel.channel_id, 1), ErrorMessage(channel.channel_id, b"close"))
    assert await channel.peer.answered() == [], "it writes and sends nothing more"
    await scene.world.mine(1)
    scene.bob.core.runtime.on_second()
    assert slot.tail.position == position
    assert channel_view(scene.bob, scene.channel_id).is_usable
    assert (await pay(scene.alice, scene.bob)).status == "succeeded"


async def test_a_bug_outside_of_channels_costs_that_connection_only(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node reports it, drops the peer that met it, and lives."""
    channel = await scene.channel()

    def broken(*_arguments: Any) -> None:
        raise KeyError("no such thing")

    monkeypatch.setitem(manager_peers._SESSION, WarningMessage, broken)
    channel.peer.send(WarningMessage(bytes(32), b""))
    await channel.peer.gone()
    assert "KeyError" in scene.bob.core.manager.faults[0]
    assert any("KeyError" in alarm for alarm in (await scene.bob.info()).alarms)
    assert channel.state() == "normal"
    assert (await pay(scene.alice, scene.bob)).status == "succeeded"
