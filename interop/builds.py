"""Building the peers, each once, into a folder outside the checkout: nothing of theirs lies among our files."""

import asyncio
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

PEERS: Final = Path(__file__).parent / "peers"
CACHE_VARIABLE: Final = "LEYDEN_INTEROP_CACHE"
BUILD_SECONDS: Final = 1800.0
PROGRESS_SECONDS: Final = 15.0
_KEY_LETTERS: Final = 16
_LAST_LINES: Final = 20


class BuildFailed(Exception):
    """A peer could not be built. The text says why, and what to do."""


class Recipe(msgspec.Struct, frozen=True):
    """How one peer is built.

    tool, tool_title: program that must be on the PATH, and its name for people. command: run in a copy of the peer's
    folder; `{out}` stands for what it `produces`, a path in that copy. environment: added to ours; `{cache}` stands for
    the folder of all builds, where a tool may keep what it can use again.
    """

    kind: str
    tool: str
    tool_title: str
    command: tuple[str, ...]
    produces: str
    environment: tuple[tuple[str, str], ...] = ()


LND_TAGS: Final = (
    "autopilotrpc chainrpc invoicesrpc neutrinorpc peersrpc routerrpc signrpc walletrpc watchtowerrpc wtclientrpc "
    "kvdb_sqlite dev"
)
RECIPES: Final[dict[str, Recipe]] = {
    "lnd": Recipe(
        kind="lnd",
        tool="go",
        tool_title="Go 1.25 or newer",
        command=(
            *("go", "build", "-mod=mod", "-trimpath", "-ldflags", "-s -w", "-tags", LND_TAGS),
            *("-o", "{out}", "github.com/lightningnetwork/lnd/cmd/lnd"),
        ),
        produces="lnd",
    ),
    "ldk": Recipe(
        kind="ldk",
        tool="cargo",
        tool_title="Rust with Cargo",
        command=("cargo", "build", "--release", "--quiet"),
        produces="{cache}/ldk-target/release/leyden-interop-ldk",
        environment=(("CARGO_TARGET_DIR", "{cache}/ldk-target"),),
    ),
}


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Return where built peers are kept."""
    named = environment.get(CACHE_VARIABLE, "")
    if named:
        return Path(named)
    base = environment.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "leyden" / "interop"


def key_of(recipe: Recipe, sources: Path) -> str:
    """Return a name that changes with every file of the peer and with the way it is built."""
    digest = hashlib.sha256(repr(recipe).encode())
    for path in sorted(path for path in sources.rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(sources)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:_KEY_LETTERS]


async def built(kind: str, say: Callable[[str], None]) -> Path:
    """Return the peer's program; build it when it is not there. say: takes lines of progress.

    Raises BuildFailed.
    """
    recipe = RECIPES[kind]
    sources = PEERS / kind
    folder = cache_folder(os.environ) / f"{kind}-{key_of(recipe, sources)}"
    program = folder / kind
    if program.exists():
        return program
    if shutil.which(recipe.tool) is None:
        raise BuildFailed(
            f"{kind} is built with {recipe.tool_title}, and there is no `{recipe.tool}` on the PATH: install it, or "
            f"run the lane with another peer (PEER=...)"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    async with _alone(folder.parent / f"{kind}.lock", say):
        if not program.exists():
            await _build(recipe, sources, program, say)
    return program


@asynccontextmanager
async def _alone(lock: Path, say: Callable[[str], None]) -> AsyncIterator[None]:
    """Wait until no other process builds the same peer."""
    with lock.open("wb") as file:
        waits = False
        while not _is_locked(file.fileno()):
            if not waits:
                say(f"waiting for another build ({lock.stem})")
            waits = True
            await asyncio.sleep(1.0)
        yield


def _is_locked(descriptor: int) -> bool:
    """Take the lock, which goes with the descriptor; return False when another process has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _build(recipe: Recipe, sources: Path, program: Path, say: Callable[[str], None]) -> None:
    folder = program.parent
    work = folder.with_name(folder.name + ".work")
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(sources, work)
    say(f"building {recipe.kind} (once, some minutes)")
    await _run(recipe, work, say)
    folder.mkdir(exist_ok=True)
    part = program.with_suffix(".part")
    shutil.copyfile(work / _placed(recipe.produces, work), part)
    part.chmod(0o755)
    part.replace(program)
    shutil.rmtree(work)


def _placed(text: str, work: Path) -> str:
    return text.replace("{cache}", str(work.parent))


async def _run(recipe: Recipe, work: Path, say: Callable[[str], None]) -> None:
    """Run the build, with a sign of life now and then; raise BuildFailed with its last lines."""
    log = work.with_name(work.name + ".log")
    begun = time.monotonic()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *[part.replace("{out}", recipe.produces) for part in recipe.command],
            cwd=work,
            env={**os.environ, **{name: _placed(value, work) for name, value in recipe.environment}},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            while process.returncode is None and time.monotonic() - begun < BUILD_SECONDS:
                try:
                    await asyncio.wait_for(process.wait(), PROGRESS_SECONDS)
                except TimeoutError:
                    say(f"building {recipe.kind}: {time.monotonic() - begun:.0f} s")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
        raise BuildFailed(f"{recipe.kind} could not be built (`{' '.join(recipe.command)}`); its last words:\n{last}")
    log.unlink()
    say(f"built {recipe.kind} in {time.monotonic() - begun:.0f} s")
