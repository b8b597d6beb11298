"""Where built peers are kept, under which name, and what is said when they cannot be built."""

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest

from interop import builds
from interop.builds import BuildFailed, Recipe, built, cache_folder, key_of

BUILDS = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(pathlib.Path('source').read_text().upper())"
BREAKS = "import sys; sys.exit('no such module: the reason')"


def recipe(script: str = BUILDS, tool: str = sys.executable) -> Recipe:
    """A peer that is built by a line of Python."""
    return Recipe("toy", tool, "a toy's tool", (sys.executable, "-c", script, "{out}"), "out")


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a peer named `toy`, with a cache of its own."""
    folder = tmp_path / "peers" / "toy"
    folder.mkdir(parents=True)
    (folder / "source").write_text("toy")
    monkeypatch.setattr(builds, "PEERS", tmp_path / "peers")
    monkeypatch.setitem(builds.RECIPES, "toy", recipe())
    monkeypatch.setenv(builds.CACHE_VARIABLE, str(tmp_path / "cache"))
    return folder


def test_cache_is_where_it_is_asked_for_and_never_in_the_checkout() -> None:
    """Our variable, else the place for caches of this user, else `~/.cache`."""
    assert cache_folder({builds.CACHE_VARIABLE: "/a"}) == Path("/a")
    assert cache_folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/leyden/interop")
    assert cache_folder({}) == Path.home() / ".cache/leyden/interop"


def test_key_changes_with_sources_names_and_recipe(sources: Path) -> None:
    """So an old program is never taken for one of the sources of today."""
    first = key_of(recipe(), sources)
    assert key_of(recipe(), sources) == first
    assert key_of(msgspec.structs.replace(recipe(), environment=(("A", "1"),)), sources) != first
    (sources / "source").write_text("toys")
    second = key_of(recipe(), sources)
    (sources / "source").rename(sources / "renamed")
    assert len({first, second, key_of(recipe(), sources)}) == 3


def test_peer_is_built_once_outside_its_sources(sources: Path) -> None:
    """The second time nothing is run, and nothing lies among the sources."""
    said: list[str] = []
    program = asyncio.run(built("toy", said.append))
    assert program.read_text() == "TOY"
    assert [path.name for path in sources.iterdir()] == ["source"]
    assert "building toy" in said[0]
    said.clear()
    assert asyncio.run(built("toy", said.append)) == program
    assert not said


def test_missing_tool_says_what_to_install(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to guess from an exception of the operating system."""
    assert sources.exists()
    monkeypatch.setitem(builds.RECIPES, "toy", recipe(tool="no-such-tool"))
    with pytest.raises(BuildFailed, match=r"built with a toy's tool, and there is no `no-such-tool`"):
        asyncio.run(built("toy", print))


def test_failed_build_shows_its_last_words_and_is_tried_again(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a build is never taken for a whole one."""
    monkeypatch.setitem(builds.RECIPES, "toy", recipe(BREAKS))
    for _ in range(2):
        with pytest.raises(BuildFailed, match="no such module: the reason"):
            asyncio.run(built("toy", lambda _: None))
    assert sources.exists()


@pytest.mark.parametrize("kind", sorted(builds.RECIPES))
def test_every_recipe_has_sources(kind: str) -> None:
    """What is built is named by its folder, and the program by a path in it."""
    assert builds.RECIPES[kind].kind == kind
    assert not Path(builds.RECIPES[kind].produces).is_absolute()
