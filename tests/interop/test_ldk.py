"""What the LDK driver says to its program and makes of its answers, without one that runs."""

import base64
import sys
from pathlib import Path

import pytest

from interop.foreign import ChainPlace, ForeignOptions, PeerFailed
from interop.ldk import FALLEN_BEHIND, LdkNode, channel_of, failure_name, payment_of, start_options, store_of

CHAIN = ChainPlace(18443, "user", "secret")


def test_first_line_names_the_chain_service_and_what_is_asked() -> None:
    """The credentials are base64 of user and password; policy and delay are passed on."""
    options = ForeignOptions(store_delay_ms=150, fee_base_msat=7, fee_proportional_millionths=8, cltv_expiry_delta=90)
    line = start_options(Path("/data"), 9735, CHAIN, options, "manager_first")
    assert base64.b64decode(str(line["rpc_credentials"])) == b"user:secret"
    assert (line["folder"], line["port"], line["rpc_port"]) == ("/data", 9735, 18443)
    assert (line["store"], line["store_delay_ms"]) == ("manager_first", 150)
    assert (line["fee_base_msat"], line["fee_proportional_millionths"], line["cltv_expiry_delta"]) == (7, 8, 90)


@pytest.mark.parametrize(
    ("log_messages", "delay_ms", "store"),
    [(True, 0, "manager_first"), (True, 150, "manager_first"), (False, 150, "manager_first"), (False, 0, "direct")],
)
def test_only_undelayed_measurements_take_the_store_as_shipped(log_messages: bool, delay_ms: int, store: str) -> None:
    """Everything else writes the manager first."""
    assert store_of(ForeignOptions(log_messages=log_messages, store_delay_ms=delay_ms)) == store


@pytest.mark.parametrize(
    ("code", "otherwise", "name"),
    [
        (0x400F, "recipient_rejected", "incorrect_or_unknown_payment_details"),
        (0x1007, "", "temporary_channel_failure"),
        (21, "", "expiry_too_far"),
        (0, "no_route", "no_route"),
        (0x7FFF, "", "failure code 0x7fff"),
    ],
)
def test_failures_are_named_as_in_bolt_4(code: int, otherwise: str, name: str) -> None:
    """A code wins over LDK's own word; an unknown one is shown as it is."""
    assert failure_name(code, otherwise) == name


def _payment(status: str) -> dict[str, object]:
    return {
        "sent": "aa" * 32,
        "status": status,
        "preimage": "",
        "amount_msat": 5,
        "fee_msat": 1,
        "parts": 2,
        "failure_code": 0x400F,
        "failure": "recipient_rejected",
        "failure_hop": 1,
    }


def test_a_failed_payment_says_where() -> None:
    """The hop of a part that failed is told only of a payment that failed."""
    assert payment_of(_payment("failed")).failure_hop == 1
    assert payment_of(_payment("succeeded")).failure_hop is None


@pytest.mark.parametrize(("is_usable", "has_info"), [(True, False), (False, True), (True, True)])
def test_a_channel_is_usable_when_its_policy_is_known(is_usable: bool, has_info: bool) -> None:
    """LDK puts no hint of a channel into an invoice before it knows what the peer asks for forwarding."""
    told = {
        "funding_outpoint": "00" * 32 + ":0",
        "counterparty_node_id": "02" + "11" * 32,
        "capacity_sat": 100_000,
        "local_msat": 60_000_000,
        "remote_msat": 40_000_000,
        "is_usable": is_usable,
        "is_initiator": True,
        "channel_type": "anchors",
        "feerate_per_kw": 253,
        "htlcs_pending": 0,
        "reserve_sat": 1000,
        "short_channel_id": 0,
        "has_forwarding_info": has_info,
    }
    assert channel_of(told).is_usable == (is_usable and has_info)


PROGRAM = """#!{python}
import json, sys
options = json.loads(sys.stdin.readline())
print(json.dumps({{"id": 0, "result": "started"}}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if not options["recovers"]:
        print("{words}", file=sys.stderr)
        break
    print(json.dumps({{"id": request["id"], "result": "recovered"}}), flush=True)
"""


def _node(tmp_path: Path, words: str) -> LdkNode:
    program = tmp_path / "program"
    program.write_text(PROGRAM.format(python=sys.executable, words=words))
    program.chmod(0o700)
    return LdkNode("peer", tmp_path / "peer", CHAIN, ForeignOptions(), program)


async def test_an_old_copy_is_recovered_from(tmp_path: Path) -> None:
    """LDK ends itself over an old copy: it is started again as it says then, and the call is made again."""
    node = _node(tmp_path, f"{FALLEN_BEHIND} - and more")
    await node.start()
    try:
        assert await node.new_address() == "recovered"
    finally:
        await node.kill()


async def test_any_other_end_is_a_failure(tmp_path: Path) -> None:
    """A program that ends for another reason stays away, and so does one that was killed."""
    node = _node(tmp_path, "index out of bounds")
    await node.start()
    with pytest.raises(PeerFailed):
        await node.new_address()
    assert node.pid == 0
    await node.kill()
    with pytest.raises(PeerFailed, match="does not run"):
        await node.new_address()
