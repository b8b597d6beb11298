"""`invoice`, `decode`, `pay`, `keysend`, `payments`, `claim`, `fail`."""

import json

import pytest

from leyden.cli.payment_commands import failure_sentence
from tests.api.small_node import BOB, CAROL, INVOICE, SmallNode, payment
from tests.cli.conftest import Leyden


def test_invoice_is_all_that_is_printed(leyden: Leyden, node: SmallNode) -> None:
    """`leyden pay $(leyden invoice 1000)` is how it is used."""
    assert leyden("invoice", "1500msat", "coffee").stdout == INVOICE + "\n"
    assert leyden("invoice", "any").exit_code == 0
    assert node.calls == [("create_invoice", (1500, "coffee", 3600)), ("create_invoice", (None, "", 3600))]


def test_decode_shows_what_the_payer_must_know(leyden: Leyden, node: SmallNode) -> None:
    """Amount, payee and expiry decide whether to pay."""
    shown = leyden("decode", f"lightning:{INVOICE}").stdout
    assert "25,000" not in shown
    assert "25 sat" in shown
    assert "coffee ☕" in shown
    assert "EXPIRED" in shown
    assert "16000000x0x7" in shown
    assert leyden("decode", "lnbcrt1bad").exit_code == 1


def test_pay_waits_for_the_outcome(leyden: Leyden, node: SmallNode) -> None:
    """Exit code 0 means: paid, and here is the proof."""
    done = leyden("pay", INVOICE, "--fee-limit", "10", "--deadline", "30", "--max-parts", "2")
    assert done.exit_code == 0
    assert "succeeded" in done.stdout
    assert 32 * "00" in done.stdout
    assert node.calls == [("pay", (INVOICE, None, None, 10_000, 30, 2))]


def test_failed_payment_has_its_own_exit_code(leyden: Leyden, node: SmallNode) -> None:
    """A script must tell a payment that failed from one that was never begun."""
    node.outcome = {
        "status": "failed", "reason": "route_failed", "advice": "try again later", "failing_hop": 1,
        "failure_code": 0x1007, "failure_name": "temporary_channel_failure",
    }  # fmt: skip
    done = leyden("pay", INVOICE)
    assert done.exit_code == 5
    assert done.stdout == ""
    assert "route_failed (temporary_channel_failure at hop 2): try again later" in done.stderr
    view = json.loads(leyden("pay", INVOICE, "--json").stdout)
    assert (view["status"], view["failing_hop"], view["failure_code"]) == ("failed", 1, 0x1007)


def test_refused_payment_was_never_begun(leyden: Leyden, node: SmallNode) -> None:
    """Exit code 1: nothing was changed."""
    assert leyden("pay", "lnbcrt1paid").exit_code == 1


def test_payment_that_is_not_waited_for_is_pending(leyden: Leyden, node: SmallNode) -> None:
    """Exit code 6 is neither success nor failure."""
    done = leyden("pay", INVOICE, "--no-wait", "--payment-id", "ee" * 32)
    assert done.exit_code == 6
    assert "pending" in done.stdout
    assert node.calls[0][1][2] == "ee" * 32


def test_keysend_passes_custom_records(leyden: Leyden, node: SmallNode) -> None:
    """Messages travel with the payment."""
    assert leyden("keysend", CAROL, "7", "--record", "65537=cafe", "--record", "65539=").exit_code == 0
    assert node.calls[0] == ("keysend", (CAROL, 7000, {65537: "cafe", 65539: ""}))


@pytest.mark.parametrize("record", ["65537", "x=00", "=00", "-1=00"])
def test_record_without_a_type_is_refused(leyden: Leyden, node: SmallNode, record: str) -> None:
    """The recipient would look for it in vain."""
    assert leyden("keysend", CAROL, "7", "--record", record).exit_code == 1
    assert node.calls == []


def test_payments_are_listed(leyden: Leyden, node: SmallNode) -> None:
    """Both directions in one list, in the order of their beginning."""
    assert leyden("payments").stdout == ""
    node.payment_views = {
        "aa": payment("aa", status="failed", reason="no_route"),
        "bb": payment("bb", direction="inbound", status="succeeded", amount_msat=1001),
    }
    lines = leyden("payments").stdout.splitlines()
    assert lines[1].split()[2:] == ["out", "failed", "25", "0", 32 * "ab", "no_route"]
    assert lines[2].split()[2:] == ["in", "succeeded", "1.001", "-", 32 * "ab"]
    assert "no_route" in leyden("payments", "aa").stdout
    assert leyden("payments", "cc").exit_code == 1
    assert [view["payment_id"] for view in json.loads(leyden("payments", "--json").stdout)] == ["aa", "bb"]


def test_held_payment_says_how_it_is_claimed(leyden: Leyden, node: SmallNode) -> None:
    """Its event may have been acknowledged long ago."""
    node.payment_views = {
        "cc": payment("cc", direction="inbound", status="claimable", set_id=32 * "5e", deadline_height=130),
    }
    line = leyden("payments").stdout.splitlines()[1]
    assert line.split()[2:4] == ["in", "claimable"]
    assert f"set {32 * '5e'}, before block 130" in line
    shown = leyden("payments", "cc").stdout
    assert 32 * "5e" in shown
    assert "block 130" in shown


def test_claimable_payment_is_answered(leyden: Leyden, node: SmallNode) -> None:
    """The answer to an event payment_claimable."""
    assert leyden("claim", "5e7", "--preimage", "00").exit_code == 0
    assert node.calls == [("claim_payment", ("5e7", "00"))]
    assert leyden("fail", "5e7").exit_code == 1


def test_failure_is_told_with_what_is_known() -> None:
    """Hop and code are unknown when the failure never left this node."""
    assert failure_sentence(payment("aa", reason="no_route")) == "payment failed: no_route"
    assert failure_sentence(payment("aa")) == "payment failed: unknown reason"
    unknown_place = payment("aa", reason="route_failed", failure_name="mpp_timeout", advice="later")
    assert failure_sentence(unknown_place) == "payment failed: route_failed (mpp_timeout): later"
    assert BOB != CAROL
