"""Payments whose every HTLC is chosen: what their invoices say."""

from interop.crafted import Payee, invoice_of_nobody
from leyden.crypto.ec import public_key
from leyden.invoices import bolt11
from leyden.invoices.fields import RouteHintHop

HINT = RouteHintHop(public_key(b"h" * 32), 5, 1000, 100, 72)


def test_invoice_of_nobody_names_the_one_way_to_a_payee() -> None:
    """A payer must take it for any other: it is signed by the payee that it names."""
    text = invoice_of_nobody(HINT, 7_000, min_final_cltv_expiry_delta=20, secret=b"p" * 32)
    invoice = bolt11.decode(text)
    assert invoice.route_hints == ((HINT,),)
    assert (invoice.amount_msat, invoice.min_final_cltv_expiry_delta) == (7_000, 20)
    assert invoice.payee_node_id == public_key(b"p" * 32)
    assert Payee.of(text) == Payee(invoice.payment_hash.hex(), invoice.payment_secret.hex())


def test_nobody_is_someone_else_each_time() -> None:
    """A node remembers hashes: one that came twice would not be unknown."""
    assert Payee.nobody() != Payee.nobody()
    first, second = (bolt11.decode(invoice_of_nobody(HINT, 7_000)) for _ in range(2))
    assert first.payment_hash != second.payment_hash
    assert first.payee_node_id != second.payee_node_id
