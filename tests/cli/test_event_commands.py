"""`events`, shown, followed and acknowledged."""

import json

from leyden.node.views import EventView
from tests.api.small_node import SmallNode
from tests.cli.conftest import Leyden

SENT = EventView(event_id="sent/1", type="payment_sent", fields={"amount_msat": 5, "payment_hash": 32 * "ab"})
CLAIMED = EventView(
    event_id="claimed/2", type="payment_claimed", fields={"purpose": "in\x1bvoice", "custom_records": {}}
)


def test_events_stay_until_they_are_acknowledged(leyden: Leyden, node: SmallNode) -> None:
    """Looking at an event must not lose it."""
    node.event_views = [SENT, CLAIMED]
    for _ in range(2):
        assert leyden("events").stdout.splitlines() == [
            f"payment_sent  amount_msat=5  payment_hash={32 * 'ab'}",
            "payment_claimed  purpose=in�voice",
        ]
    shown = leyden("events", "--json", "--acknowledge").stdout.splitlines()
    assert [json.loads(line)["event_id"] for line in shown] == ["sent/1", "claimed/2"]
    assert leyden("events", "--json").stdout == ""


def test_outputs_that_are_ours_are_told(leyden: Leyden, node: SmallNode) -> None:
    """What `spendable_outputs` names can be looked up in any explorer."""
    outpoints = [f"{32 * 'f1'}:{index}" for index in range(2)]
    node.event_views = [
        EventView(event_id="o/1", type="spendable_outputs", fields={"outputs": outpoints, "amount_sat": 5})
    ]
    assert leyden("events").stdout == f"spendable_outputs  outputs={','.join(outpoints)}  amount_sat=5\n"


def test_following_goes_on_where_it_was(leyden: Leyden, node: SmallNode) -> None:
    """Each event is shown once, in order, until the node goes away."""

    async def gone(after_id: str | None = None, wait_seconds: int = 0) -> list[EventView]:
        if after_id is None:
            return [SENT]
        if after_id == "sent/1":
            return [CLAIMED]
        raise ConnectionError

    node.events = gone  # type: ignore[method-assign]
    done = leyden("events", "--follow", "--json")
    assert [json.loads(line).get("event_id") for line in done.stdout.splitlines()] == ["sent/1", "claimed/2", None]
    assert done.exit_code == 7
