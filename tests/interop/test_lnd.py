"""How LND is started, and how its channels are told."""

import re
from pathlib import Path
from typing import Any

import pytest

from interop.foreign import ChainPlace, ForeignOptions
from interop.lnd import command_line, known_channel, pending_channel, pending_htlc, sent_back_as_replays, words_of_peers

PLACE = ChainPlace(18443, "user", "secret")


def flags(options: ForeignOptions) -> list[str]:
    """The command line of an LND."""
    return command_line(Path("/bin/lnd"), Path("/data"), (1, 2, 3), PLACE, options)


def channel(**changes: Any) -> dict[str, Any]:
    """A channel as LND lists it."""
    return {
        "channel_point": "ab:1",
        "remote_pubkey": "02",
        "capacity": "5000000",
        "local_balance": "1990000",
        "remote_balance": "3005720",
        "initiator": False,
        "commitment_type": "ANCHORS",
        "fee_per_kw": "1250",
        "pending_htlcs": [{}],
        "local_chan_reserve_sat": "50000",
        "chan_id": "120946279120897",
        "zero_conf": False,
        "zero_conf_confirmed_scid": "0",
        **changes,
    }


def test_everything_it_listens_on_is_loopback() -> None:
    """And nothing looks for other peers."""
    command = flags(ForeignOptions())
    addresses = [flag.partition("=")[2] for flag in command if re.match(r"--(\w*listen|bitcoind\.rpchost)=", flag)]
    assert sorted(addresses) == ["127.0.0.1:1", "127.0.0.1:18443", "127.0.0.1:2", "127.0.0.1:3"]
    assert "--nobootstrap" in command


def test_forwarding_fees_and_messages_in_its_log_are_as_asked() -> None:
    """Messages cost time, so a benchmark goes without."""
    command = flags(ForeignOptions(log_messages=False, fee_base_msat=7, fee_proportional_millionths=8))
    assert {"--bitcoin.basefee=7", "--bitcoin.feerate=8", "--bitcoin.timelockdelta=72"} <= set(command)
    assert "--debuglevel=info" in command
    assert "--debuglevel=info,PEER=debug" in flags(ForeignOptions())


def test_channel_is_told_in_millisatoshis_and_by_our_names() -> None:
    """LND knows whole satoshis only."""
    told = known_channel(channel(), is_usable=True)
    assert (told.local_msat, told.remote_msat, told.reserve_sat) == (1_990_000_000, 3_005_720_000, 50_000)
    assert (told.channel_type, told.htlcs_pending, told.short_channel_id) == ("anchors", 1, 120946279120897)


@pytest.mark.parametrize("confirmed", ["0", "77"])
def test_zero_conf_channel_has_no_place_before_its_block(confirmed: str) -> None:
    """LND goes on to name it by an alias."""
    told = known_channel(channel(zero_conf=True, zero_conf_confirmed_scid=confirmed), is_usable=True)
    assert told.short_channel_id == int(confirmed)


def test_opening_channel_is_not_usable() -> None:
    """Who opens it has other words here."""
    fields = channel(remote_node_pub="03", initiator="INITIATOR_LOCAL")
    told = pending_channel({"channel": fields, "fee_per_kw": "253"})
    assert (told.is_usable, told.is_initiator, told.short_channel_id, told.feerate_per_kw) == (False, True, 0, 253)


def test_pending_htlc_is_told() -> None:
    """Its hash is base64 at LND."""
    htlc = {"hash_lock": "AQID", "amount": "2000", "expiration_height": 160, "incoming": True}
    told = pending_htlc(htlc)
    assert (told.payment_hash, told.amount_msat, told.cltv_expiry, told.is_incoming) == ("010203", 2_000_000, 160, True)


def test_words_of_peers_are_read_from_the_log() -> None:
    """Warnings and errors, of channels and of openings; nothing that LND itself says."""
    log = (
        "[DBG] PEER a.go:1: Peer(02): Received Error(chan_id=ab, err=no) from 02\n"
        "[DBG] PEER a.go:1: Peer(02): Sending Error(chan_id=ab, err=mine) to 02\n"
        "[ERR] FNDG a.go:1: received funding error from 02: too small\n"
    )
    assert words_of_peers(log) == (
        "Received Error(chan_id=ab, err=no) from 02",
        "received funding error from 02: too small",
    )


def test_htlcs_that_were_taken_for_replays_are_found() -> None:
    """Those that were malformed in another way are not: then nobody has spoken of a replay."""
    failed = f"[ERR] HSWC link.go:1: unable to decode onion hop iterator for htlc(id=4, hash={'ab' * 32}): "
    replay = "[ERR] HSWC iterator.go:905: unable to process onion packet: sphinx packet replay attempted\n"
    assert sent_back_as_replays(f"{replay}{failed}InvalidOnionVersion\n") == {"ab" * 32}
    assert not sent_back_as_replays(f"{failed}InvalidOnionVersion\n")
    assert not sent_back_as_replays(f"{replay}{failed}InvalidOnionHmac\n")
