"""Which channel a name means: what the commands that take one rely on."""

import pytest

from tests.api.small_node import CHANNEL, SmallNode
from tests.cli.conftest import Leyden


@pytest.mark.parametrize("name", [CHANNEL, "CCCC", "800x1x0", "16000000x0x7"])
def test_every_name_finds_the_channel(leyden: Leyden, node: SmallNode, name: str) -> None:
    """In capitals, too: some explorers show hexadecimal so."""
    assert CHANNEL in leyden("channel", "show", name).stdout


def test_unknown_name_says_where_to_look(leyden: Leyden, node: SmallNode) -> None:
    """A channel that is closed for good is not there any more: that is no reason for fear."""
    done = leyden("channel", "show", "abcd")
    assert done.exit_code == 1
    assert "those that are archived are gone" in done.stderr
