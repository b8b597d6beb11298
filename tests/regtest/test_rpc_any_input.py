"""No parameters, however odd, bring the service down: a result or an error of the protocol."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leyden.regtest.service import METHODS
from tests.regtest.running_node import Node
from tests.regtest.world import ANYONE_P2WSH, NOW, SCRIPT

GENESIS = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
LEAVES = st.sampled_from(
    [
        None, True, False, -1, 0, 1, 2, 101, 1 << 31, 1 << 63, 1 << 70, 0.5, -0.5, 1e300, NOW,
        "", "0", "0.1", "zz", "00" * 40, "02000000", "txid", "é\u0000", "\ud800", GENESIS, "ab" * 32,
        "raw(", f"raw({SCRIPT.hex()})", f"raw({ANYONE_P2WSH.hex()})",
    ]
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["txid", "vout", "blockhash", "args", "height", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = sorted({*METHODS, "generatetoaddress", "generatetodescriptor", "help"})


@given(
    st.sampled_from(NAMES),
    st.lists(VALUES, max_size=4) | st.dictionaries(st.sampled_from(["blockhash", "txid", "args"]), VALUES, max_size=3),
)
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_parameters(node: Node, name: str, params: object) -> None:
    """A programming error in a handler would stop the service: look for one with everything."""
    status, reply = node.client.post(json.dumps({"id": 1, "method": name, "params": params}))
    assert status in {200, 400, 404, 500}
    assert reply["error"] is None or reply["error"]["code"] < 0
    assert node.service.failure is None


@pytest.mark.parametrize("name", NAMES)
def test_every_method_can_be_called_without_parameters(node: Node, name: str) -> None:
    """Either it answers or it says what it wants."""
    status, reply = node.client.post(json.dumps({"id": 1, "method": name}))
    assert (status == 200) == (reply["error"] is None)
    assert node.service.failure is None
