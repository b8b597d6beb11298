"""`channel show`, `sweeps`, `sweep`."""

import json
import sys

import msgspec
import pytest

from leyden.api.views import OnchainClaimView, SweepsView, TimelineView
from tests.api import small_node
from tests.api.small_node import CHANNEL, CLAIM_TXID, CLOSING_TXID, OTHER_CHANNEL, SWEEP_TXID, SmallNode
from tests.cli.conftest import Leyden


def row(text: str, first: str) -> list[str]:
    """The cells of the table row that begins with a word; cells are two spaces apart."""
    (line,) = [one for one in text.splitlines() if one.startswith(first + "  ")]
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_open_channel_says_when_it_would_be_closed(leyden: Leyden, node: SmallNode) -> None:
    """Whoever knows of the deadline can still bring the peer back."""
    shown = leyden("channel", "show", CHANNEL).stdout
    assert "height 830 (in 18 blocks) if its HTLCs stay as they are" in shown
    assert "nothing yet: the channel is open" in shown
    assert "closed by " not in shown.replace("closed by force", "")


def test_closed_channel_is_told_output_by_output(leyden: Leyden, node: SmallNode) -> None:
    """Where each satoshi is, and until when nobody can have it."""
    shown = leyden("channel", "show", OTHER_CHANNEL).stdout
    assert "our commitment 7" in shown
    assert "800 (13 confirmations)" in shown
    assert "1,500 sat, 4.48 sat/vB" in shown
    assert "600,000 sat, the last of it at height 944" in shown
    assert "not before height 1043" in shown
    assert row(shown, "0") == ["0", "our anchor", "330", "-", "left", "-", "-"]
    htlc = ["2", "HTLC 5 out", "25,000", "810", "claiming, 8.00 sat/vB", "811", CLAIM_TXID]
    assert row(shown, "2") == htlc
    assert row(shown, "3") == ["3", "HTLC 3 in", "25,000", "810", "undecided", "-", "-"]
    assert row(shown, "4") == ["4", "ours, delayed", "600,000", "-", "locked", "944", "-"]
    assert row(shown, "-")[:2] == ["-", "HTLC 6 out"]
    assert row(shown, CLAIM_TXID) == [CLAIM_TXID, "2", "published", "25,000", "1,400", "8.00 sat/vB", "820", "850"]
    view = json.loads(leyden("channel", "show", OTHER_CHANNEL, "--json").stdout)
    assert view["outputs"][3]["unlock_height"] == 944


def test_commitment_in_no_block_says_so(leyden: Leyden, node: SmallNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heights of what is not confirmed are guesses, and the child that pays for it is worth a look."""
    usual = small_node.timeline()
    assert usual.commitment is not None
    child = OnchainClaimView(
        txid=None, outpoints=[f"{CLOSING_TXID}:0"], state="making", feerate_per_kw=0, fee_sat=0, amount_sat=330,
        since_height=0,
    )  # fmt: skip
    waiting = msgspec.structs.replace(usual.commitment, height=None, confirmations=0, child=child)

    async def channel_timeline(channel_id: str) -> TimelineView:
        return small_node.timeline(channel_id, commitment=waiting, archive_height=None, claims=[])

    monkeypatch.setattr(node, "channel_timeline", channel_timeline)
    shown = leyden("channel", "show", OTHER_CHANNEL).stdout
    assert "in no block yet" in shown
    assert "what pays for the commitment, through its anchor:" in shown
    assert row(shown, "-     0")[2:] == ["making", "330", "-", "-", "-", "-"]
    assert "archived" not in shown


@pytest.mark.parametrize("columns", ["100", "50"])
def test_timeline_fits_a_terminal(
    leyden: Leyden, node: SmallNode, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """In a narrow one each output is a paragraph; no figure is cut, and none is made up."""
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("leyden.cli.output.is_terminal", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    shown = leyden("channel", "show", OTHER_CHANNEL).stdout
    assert "600,000" in shown
    assert ("─" in shown) == (columns == "100")
    assert ("state   locked\n" in shown) == (columns == "50")


def test_sweeps_tell_waiting_from_swept(leyden: Leyden, node: SmallNode) -> None:
    """What is not worth its fee is said with the feerate at which that is so."""
    shown = leyden("sweeps").stdout
    states = [line.split("  ") for line in shown.splitlines() if line.startswith(OTHER_CHANNEL)]
    assert [[cell.strip() for cell in line if cell.strip()][3] for line in states] == [
        "waiting", "ready", "sweeping", "swept", "uneconomic",
    ]  # fmt: skip
    cells = {line[3]: line for line in [[cell.strip() for cell in one if cell.strip()] for one in states]}
    assert {state: line[4] for state, line in cells.items()} == {
        "waiting": "944", "ready": "812", "sweeping": "-", "swept": "-", "uneconomic": "700",
    }  # fmt: skip
    assert cells["swept"][5:] == [SWEEP_TXID, "790 (23 confirmations)"]
    assert "next                 ready at height 944" in shown
    assert "90 sat are not worth their fee at 2.00 sat/vB" in shown
    assert row(shown, SWEEP_TXID) == [SWEEP_TXID, "2", "published", "600,000", "240", "2.00 sat/vB", "822", "-"]
    assert json.loads(leyden("sweeps", "--json").stdout)["uneconomic_sat"] == 90


def test_sweep_passes_the_feerate(leyden: Leyden, node: SmallNode) -> None:
    """2 sat/vB are 500 sat per 1000 weight units; without one the node estimates."""
    assert leyden("sweep", "--feerate", "2").exit_code == 0
    assert leyden("sweep", "--json").exit_code == 0
    assert leyden("sweep", "--feerate", "fast").exit_code == 1
    assert node.calls == [("sweep", (500,)), ("sweep", (None,))]


def test_nothing_to_sweep_is_said_to_a_person(leyden: Leyden, node: SmallNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty screen looks like a failure; an empty table in a pipe is none."""

    async def sweeps() -> SweepsView:
        return small_node.sweeps(outputs=[], sweep=None, uneconomic_sat=0)

    monkeypatch.setattr(node, "sweeps", sweeps)
    assert leyden("sweeps").stdout == ""
    monkeypatch.setattr("leyden.cli.output.is_terminal", lambda: True)
    assert leyden("sweeps").stdout == "no closed channel has an output of ours\n"


def test_help_does_not_load_the_client(leyden: Leyden) -> None:
    """Completion asks for help at every keystroke."""
    assert "on-chain life" in " ".join(leyden("channel", "show", "--help").stdout.split())
    assert "leyden.cli.onchain_commands" in sys.modules
