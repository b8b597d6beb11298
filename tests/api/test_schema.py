"""The table of methods, and what it says about bad requests."""

import inspect
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.api import schema
from leyden.base.errors import CommandRejected
from leyden.node.control import NodeControl
from tests.api.small_node import SmallNode


def test_every_method_of_a_node_is_served() -> None:
    """A method that the table forgets cannot be called by any program."""
    wanted = {name for name in vars(NodeControl) if not name.startswith("_")}
    assert set(schema.methods()) == wanted
    assert set(schema.WAITING) <= wanted
    assert all(method.summary for method in schema.methods().values())


def test_the_table_and_an_implementation_take_the_same_arguments() -> None:
    """The server calls a node with the names of the table: a node with other names would fail at run time only."""
    for name, method in schema.methods().items():
        parameters = list(inspect.signature(getattr(SmallNode, name)).parameters)[1:]
        assert list(method.request.__struct_fields__) == parameters, name


def test_every_method_is_documented() -> None:
    """A method that the page does not name is not found."""
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    assert [name for name in schema.methods() if f"`{name}`" not in page] == []


def test_defaults_are_filled_in() -> None:
    """A program names only what it cares about."""
    decoded = schema.method_named("events").decode_request(b"")
    assert decoded == {"after_id": None, "wait_seconds": 0}


def test_a_request_reads_as_it_was_written() -> None:
    """Client and server must mean the same by every value, numbers as keys and nested routes included."""
    keysend = schema.method_named("keysend")
    body = keysend.encode_request("02aa", 1000, custom_records={65537: "ff"})
    assert keysend.decode_request(body)["custom_records"] == {65537: "ff"}


BAD_REQUESTS = [
    ("info", b"[]", "info: expected `object`, got `array`"),
    ("info", b"{", "not a JSON object"),
    ("info", b"\xff", "not a JSON object"),
    ("info", b"[" * 100_000, "info: expected `object`"),
    ("info", b'{"verbose": true}', "unknown field `verbose`; it takes no fields"),
    ("pay", b"{}", "pay: object missing required field `invoice`"),
    ("pay", b'{"invoce": "x"}', "did you mean `invoice`?"),
    ("pay", b'{"invoice": "x", "ammount_msat": 5}', "did you mean `amount_msat`?"),
    ("pay", b'{"invoice": 5}', "pay: invoice: expected `str`, got `int`"),
    ("pay", b'{"invoice": "x", "amount_msat": "5"}', "pay: amount_msat: expected `int | null`, got `str`"),
    ("pay", b'{"invoice": "x", "amount_msat": 1.5}', "pay: amount_msat: expected `int | null`, got `float`"),
    ("pay", b'{"invoice": "x", "amount_msat": 1e400}', "pay: amount_msat:"),
    ("pay", b'{"invoice": "x", "amount_msat": 99999999999999999999999999}', "pay: amount_msat:"),
    ("open_channel", b'{"node_id": "x", "amount_sat": 5, "channel_type": "new"}', "channel_type: invalid enum value"),
    ("close", b'{"channel_id": "x", "force": 1}', "close: force: expected `bool`, got `int`"),
    (
        "send_to_route",
        b'{"payment_hash":"","payment_secret":"","amount_msat":1,"routes":[{"channel_id":"","hops":[],"fee":1}]}',
        "send_to_route: routes[0]: object contains unknown field `fee`",
    ),
    ("keysend", b'{"node_id": "x", "amount_msat": 5, "custom_records": {"a": "b"}}', "keysend: custom_records: "),
]


@pytest.mark.parametrize(("name", "body", "said"), BAD_REQUESTS)
def test_a_bad_request_is_refused_with_the_field_that_is_wrong(name: str, body: bytes, said: str) -> None:
    """Whoever writes a program against the API learns from its errors."""
    with pytest.raises(CommandRejected) as refused:
        schema.method_named(name).decode_request(body)
    assert refused.value.code == "invalid_request"
    assert said in refused.value.what


@pytest.mark.parametrize(("name", "near"), [("chanels", "channels"), ("createinvoice", "create_invoice"), ("xyz", "")])
def test_an_unknown_method_names_the_nearest(name: str, near: str) -> None:
    """A misspelt method is the commonest mistake."""
    with pytest.raises(CommandRejected) as refused:
        schema.method_named(name)
    assert refused.value.code == "unknown_method"
    assert (f"did you mean `{near}`?" in refused.value.what) == bool(near)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=6,
)


@given(st.sampled_from(sorted(schema.methods())), st.data())
def test_no_body_does_anything_but_be_read_or_refused(name: str, data: st.DataObject) -> None:
    """A crash in the decoder would be a fault of ours for a mistake of the client."""
    method = schema.method_named(name)
    fields = st.sampled_from([*method.request.__struct_fields__, "other"])
    request = data.draw(st.dictionaries(fields, VALUES, max_size=5))
    body = data.draw(st.one_of(st.binary(max_size=50), st.just(json.dumps(request).encode())))
    try:
        decoded = method.decode_request(body)
    except CommandRejected:
        return
    assert list(decoded) == list(method.request.__struct_fields__)
