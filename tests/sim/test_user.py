"""What users ask for is what the API would record."""

from leyden.invoices import bolt11
from leyden.sim import user
from leyden.sim.user import Order
from tests.manager.stage import Stage, payment_id
from tests.sim import topologies


def test_invoices_differ_by_their_tag_and_carry_hints() -> None:
    """A payer needs the hints, a test needs two invoices."""
    stage = Stage(topologies.line())
    one, two = (bolt11.decode(stage.invoice("carol", tag=tag)) for tag in ("one", "two"))
    assert one.payment_hash != two.payment_hash
    assert one.route_hints[0][0].node_id == stage["bob"].node_id
    assert not bolt11.decode(user.make_invoice(stage["carol"], 5)).route_hints


def test_order_is_asked_for_until_it_is_accepted() -> None:
    """A call that did not return is made again after the crash; one that did is not."""
    stage = Stage(topologies.direct())
    stage["alice"].disk.held["node"] = None
    order = stage.pay("alice", "bob", stage.invoice("bob"))
    stage.act()
    assert not order.accepted
    stage.world.restart("alice")
    order.ask(stage["alice"])
    stage.act()
    assert order.accepted
    order.ask(stage["alice"])
    stage.check()


def test_keysend_and_given_routes_have_their_own_records() -> None:
    """No invoice is in them."""
    stage = Stage(topologies.direct())
    spontaneous = user.keysend_payment(stage["alice"], stage["bob"], 1000, payment_id("k"), ((65537, b"x"),))
    assert spontaneous.keysend_preimage
    assert spontaneous.custom_records == [(65537, b"x")]
    hops = [(0, "bob", 700, stage.m("alice").env.block_height + 60)]
    routes = [stage.fixed_route("alice", hops, bytes(32))] * 2
    given = user.route_payment(stage["alice"], stage.invoice("bob"), 1400, payment_id("r"), routes)
    assert (given.parts_max, given.invoice, len(given.routes), given.fee_msat_max) == (2, "", 2, 0)
    stage.order(Order("alice", spontaneous, "bob"))
    stage.check()
