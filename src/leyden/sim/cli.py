"""`python -m leyden.sim`: explore scenarios, run random worlds, replay and look at what they found."""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from difflib import unified_diff
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from leyden.sim import exploring
from leyden.sim.chain_world import ChainWorld
from leyden.sim.diagram import page
from leyden.sim.explore import Result, Tier
from leyden.sim.findings import Finding, describe, finding_of, told, trace_of, write
from leyden.sim.power_run import run_power_cuts
from leyden.sim.random_world import RandomWorld
from leyden.sim.script import BadScript, Script, format_script, load_script, script_of

app = typer.Typer(
    help="A deterministic world of Leyden nodes: crash them anywhere, and see whether anything is lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()
GROUP = 20
EXIT_VIOLATED = 1
EXIT_WRONG_LINE = 2

Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes to use.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for the scenario files of what was found.")]


def progress_bar() -> Progress:
    """Return a progress bar: what, how many, how long."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )


def read(what: str) -> Script:
    """Return the scenario of a file or token. Exits with a clear error when it is neither."""
    try:
        path = Path(what)
        return load_script(path) if len(what) < 200 and path.exists() else script_of(what)
    except BadScript as error:
        fail(str(error))
    except OSError as error:
        fail(f"{what} cannot be read: {error.strerror}")


def fail(text: str) -> NoReturn:
    """Say what is wrong, and exit."""
    console.print(f"error: {text}", style="red", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(EXIT_WRONG_LINE)


def say(text: str) -> None:
    """Print a line as it is."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def tell(found: Sequence[Finding], out: Path) -> None:
    """Write and tell what was found; exit with 1 if there is anything."""
    for finding in found:
        say(finding.report(write(finding, out)))
    if found:
        raise typer.Exit(EXIT_VIOLATED)


@app.command()
def explore(
    files: Annotated[list[Path] | None, typer.Argument(help="Scenario files; without one those of Leyden.")] = None,
    tier: Annotated[Tier | None, typer.Option(help="How much is tried, whatever the files say.")] = None,
    crashes: Annotated[int | None, typer.Option(min=1, help="Crashes, each in the recovery of the one before.")] = None,
    seconds: Annotated[float, typer.Option(help="Longest time for one scenario.")] = 600.0,
    promise: Annotated[str, typer.Option(help="Only what proves this promise (docs/assurance.md).")] = "",
    onchain: Annotated[
        bool, typer.Option("--onchain", help="The table of on-chain stories, when no file is named.")
    ] = False,
    share: Annotated[int, typer.Option(min=1, help="Try one of so many crashes, spread over the whole run.")] = 1,
    part: Annotated[int, typer.Option(min=0, help="Which of them; each part has others.")] = 0,
    jobs: Jobs = 2,
    out: Out = Path("violations"),
) -> None:
    """Explore scenarios: every order, every crash, every combination of what a crash keeps; and check everything."""
    paths = files or exploring.built_in(onchain=onchain)
    scripts = {path: read(str(path)) for path in paths}
    wanted = [path for path in paths if not promise or promise in scripts[path].proves]
    todo = exploring.tasks(wanted, tier, crashes, seconds, share=share, part=part)
    begun = time.perf_counter()
    results: list[Result] = []
    found: list[Finding] = []
    say(exploring.HEADER)
    with progress_bar() as bar:
        at = bar.add_task("scenarios", total=len(todo), note="")
        for task, result in exploring.explore_all(todo, jobs, lambda line: bar.update(at, note=line)):
            results.append(result)
            bar.update(at, advance=1)
            say(exploring.row(task, result))
            if result.violation is not None:
                found.append(exploring.finding_of_found(scripts[task.path], result.violation))
    say(exploring.totals(results, time.perf_counter() - begun))
    if share > 1:
        say(f"one crash in {share} was tried: part {part % share}, parts 0 to {share - 1} have all of them")
    for line in exploring.not_exhausted(results):
        say(line)
    for line in exploring.promises([scripts[task.path] for task in todo], [task.name for task in todo]):
        say(line)
    tell(found, out)


@app.command()
def random(
    seeds: Annotated[str, typer.Option(help="First and last seed, as 0..2000; the last is not run.")] = "0..2000",
    onchain: Annotated[bool, typer.Option("--onchain", help="Worlds whose channels end on the chain.")] = False,
    jobs: Jobs = 2,
    out: Out = Path("violations"),
) -> None:
    """Run random worlds; stop at the first violation, make it small, and write a scenario file that replays it."""
    first, last = _range(seeds)
    groups = [range(at, min(at + GROUP, last)) for at in range(first, last, GROUP)]
    begun = time.perf_counter()
    found: list[Finding] = []
    ran = 0
    with progress_bar() as bar, ProcessPoolExecutor(jobs) as pool:
        task = bar.add_task("random worlds", total=last - first, note="")
        waiting = [pool.submit(run_worlds, group, onchain=onchain) for group in groups]
        for done in as_completed(waiting):
            count, finding = done.result()
            ran += count
            bar.update(task, advance=count, note=f"{ran / (time.perf_counter() - begun):.0f} worlds/s")
            if finding is not None:
                found.append(finding)
                pool.shutdown(wait=False, cancel_futures=True)
                break
    seconds = time.perf_counter() - begun
    say(f"{ran} random worlds in {seconds:.0f} s ({ran / seconds:.0f}/s), {len(found)} violation(s)")
    tell(found, out)


def _range(text: str) -> tuple[int, int]:
    first, dots, last = text.partition("..")
    if not (dots and first.isdigit() and last.isdigit() and int(first) < int(last)):
        fail(f"'{text}' is no range of seeds: write 0..2000")
    return int(first), int(last)


def run_worlds(seeds: range, *, onchain: bool = False) -> tuple[int, Finding | None]:
    """Run random worlds one after the other; return how many ran, and what the last one violates, made small."""
    for count, seed in enumerate(seeds, 1):
        world = ChainWorld(f"c{seed}") if onchain else RandomWorld(str(seed))
        try:
            world.run()
        except Exception as violation:  # noqa: BLE001 - a crash of the program is a finding like a violated oracle
            name = f"seed {seed}"
            return count, finding_of(name, world.script()) or Finding(name, describe(violation), world.script())
    return len(seeds), None


@app.command()
def replay(
    what: Annotated[str, typer.Argument(help="A token, or a scenario file.")],
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only whether everything holds.")] = False,
) -> None:
    """Run a scenario once, as it is written, and tell what happens."""
    play, narrator, wrong = told(read(what))
    if not quiet:
        for line in narrator.lines():
            say(line)
    for skipped in play.director.skipped:
        say(f"skipped {skipped}")
    if wrong:
        say(f"violated:\n{wrong}")
        raise typer.Exit(EXIT_VIOLATED)
    say("everything that must hold holds")


@app.command()
def show(
    what: Annotated[str, typer.Argument(help="A scenario file, or a token.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path("run.html"),
) -> None:
    """Draw a run: nodes, messages, what became durable, crashes and what they lost."""
    script = read(what)
    play, narrator, wrong = told(script)
    output.write_text(page(script.title, script.about, list(play.world.nodes), narrator.moments, wrong))
    say(f"{len(narrator.moments)} moments drawn in {output}")


@app.command()
def trace(
    files: Annotated[list[Path], typer.Argument(help="Scenario files.")],
    rewrite: Annotated[bool, typer.Option(help="Write what happens into the files.")] = False,
) -> None:
    """Compare what happens in scenarios with what their files say."""
    different: list[Path] = []
    for path in files:
        script = read(str(path))
        happened = tuple(trace_of(script))
        if happened == script.expected:
            continue
        different.append(path)
        if rewrite:
            path.write_text(format_script(msgspec.structs.replace(script, expected=happened)))
        else:
            for line in unified_diff(script.expected, happened, str(path), "this run", lineterm=""):
                say(line)
    say(f"{len(files)} scenarios, {len(different)} {'rewritten' if rewrite else 'different'}")
    if different and not rewrite:
        raise typer.Exit(EXIT_VIOLATED)


@app.command()
def power(
    images: Annotated[int, typer.Option(help="How many images of disks at a power cut to open.")] = 20_000,
) -> None:
    """Cut the power below the SQLite store; whatever the disk kept of what was not synced must open."""
    totals = run_power_cuts(images, say)
    say(totals.line())
    if totals.bad:
        raise typer.Exit(EXIT_VIOLATED)
