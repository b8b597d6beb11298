"""The invoice as a value: when it expires, and where else it may be paid."""

import pytest

from leyden.bitcoin.networks import MAINNET, REGTEST, Network
from leyden.bitcoin.script import null_data, p2pkh, p2sh, p2tr, p2wpkh
from leyden.invoices.fields import Bolt11Invoice

STAMP = 1_700_000_000


def invoice(network: Network, expiry_seconds: int, scripts: tuple[bytes, ...]) -> Bolt11Invoice:
    """An invoice of which only these fields matter."""
    return Bolt11Invoice(
        network=network,
        amount_msat=None,
        timestamp=STAMP,
        payment_hash=bytes(32),
        payment_secret=bytes(32),
        description="",
        expiry_seconds=expiry_seconds,
        payee_node_id=b"\x02" * 33,
        fallback_script_pubkeys=scripts,
    )


@pytest.mark.parametrize("expiry_seconds", [0, 1, 3600, 1 << 48])
def test_invoice_expires_at_its_last_second(expiry_seconds: int) -> None:
    """A payment sent a second too late is refused by the payee and stuck until then."""
    made = invoice(MAINNET, expiry_seconds, ())
    end = STAMP + expiry_seconds
    assert made.expires_at() == end
    assert [made.is_expired(now) for now in (end - 1, end, end + 1)] == [False, True, True]


def test_fallback_addresses_are_of_the_network_of_the_invoice() -> None:
    """A person copies them into another wallet; a script without address is left out."""
    scripts = (p2wpkh(bytes(20)), p2tr(b"\x01" * 32), p2pkh(bytes(20)), p2sh(bytes(20)), null_data(b"x"))
    shown = invoice(REGTEST, 1, scripts).fallback_addresses()
    assert [address[:6] for address in shown[:2]] == ["bcrt1q", "bcrt1p"]
    assert len(shown) == 4
    assert invoice(MAINNET, 1, scripts[:1]).fallback_addresses()[0].startswith("bc1qqqqqqq")
