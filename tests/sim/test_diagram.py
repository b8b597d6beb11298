"""Runs as pictures."""

from xml.etree import ElementTree

from leyden.sim.diagram import page, picture
from leyden.sim.narrate import Moment
from leyden.sim.play import Play
from leyden.sim.script import parse_script

MOMENTS = (
    Moment(1, "command", "", "", "pay alice bob 5 one"),
    Moment(2, "connect", "alice", "bob", ""),
    Moment(3, "deliver", "bob", "alice", "update_add_htlc 0"),
    Moment(3, "commit", "bob", "alice-bob", "ReceivedCommitment"),
    Moment(4, "command", "bob", "", "crash bob (lost: node 1)"),
    Moment(4, "tell", "bob", "", "tells <PaymentClaimed>"),
    Moment(5, "publish", "", "", "published: funding"),
)
WORLD = "channel alice bob 1000000 500000000"
NAMESPACE = "{http://www.w3.org/2000/svg}"


def test_every_moment_has_a_row_and_every_node_a_lane() -> None:
    """An arrow for a message, a box for what is kept, a bar for what goes wrong; text is escaped."""
    root = ElementTree.fromstring(picture(["alice", "bob"], MOMENTS))
    texts = ["".join(text.itertext()) for text in root.iter(f"{NAMESPACE}text")]
    assert {"alice", "bob", "update_add_htlc 0update_add_htlc 0"} <= set(texts)
    assert any("tells <PaymentClaimed>" in text for text in texts)
    kinds = [rect.get("class") for rect in root.iter(f"{NAMESPACE}rect")]
    assert kinds == ["other", "kept", "wrong", "tell", "other"]
    arrows = [line for line in root.iter(f"{NAMESPACE}line") if line.get("class") == "message"]
    assert len(arrows) == 1
    assert float(arrows[0].get("x1", 0)) < float(arrows[0].get("x2", 0))


def test_boxes_stay_in_the_picture_and_long_texts_are_cut() -> None:
    """The whole text is in the title."""
    text = "ReceivedCommitment, " * 9
    root = ElementTree.fromstring(picture(["alice"], [Moment(1, "commit", "alice", "node", text)]))
    [rect] = root.iter(f"{NAMESPACE}rect")
    assert float(rect.get("x", 0)) >= 0
    assert float(rect.get("x", 0)) + float(rect.get("width", 0)) <= float(root.get("width", 0))
    assert any((title.text or "").endswith(text) for title in root.iter(f"{NAMESPACE}title"))


def test_page_says_what_was_violated() -> None:
    """Or that nothing was."""
    assert "Everything that must hold holds." in page("A title", ["About <it>."], ["alice"], [])
    assert "About &lt;it&gt;." in page("A title", ["About <it>."], ["alice"], [])
    assert "alice owns 5 msat, not 6" in page("A title", [], ["alice"], [], "alice owns 5 msat, not 6")


def test_real_run_can_be_drawn() -> None:
    """All that happens in one."""
    play = Play(
        parse_script(
            "# Direct.\nchannel alice bob 1000000 500000000\n\npay alice bob 5000000 one\n@7 kill bob\n@8 start bob\n"
        )
    )
    narrator = play.narrated()
    play.run()
    root = ElementTree.fromstring(picture(list(play.world.nodes), narrator.moments))
    assert len([text for text in root.iter(f"{NAMESPACE}text") if text.get("class") == "step"]) == len(narrator.moments)
