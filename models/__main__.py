"""`python -m models [MODEL ...]`: explore every reading; exit with 1 when one is not as expected."""

import sys
import time

from models.catalogue import MODELS
from models.kernel import Reading, explore


def show(model: str, reading: Reading) -> bool:
    """Explore one reading and say what came of it; return whether that was expected."""
    before = time.perf_counter()
    found = explore(reading.model)
    seconds = time.perf_counter() - before
    wrong = reading.verdict(found)
    said = (wrong and f"NOT AS EXPECTED: {wrong}") or found.loss or "holds"
    sys.stdout.write(f"{model}: {reading.name}: {found.states} states, {seconds:.1f} s: {said}\n")
    for step in found.schedule:
        sys.stdout.write(f"      {step}\n")
    sys.stdout.flush()
    return not wrong


def main(wanted: list[str]) -> int:
    """Explore the models named, or all. Returns the exit code."""
    unknown = [name for name in wanted if name not in MODELS]
    if unknown:
        sys.stderr.write(f"no model {', '.join(unknown)}; there are {', '.join(MODELS)}\n")
        return 2
    before = time.perf_counter()
    results = [show(name, reading) for name in wanted or MODELS for reading in MODELS[name]]
    seconds = time.perf_counter() - before
    sys.stdout.write(f"{len(results)} readings, {results.count(False)} not as expected, {seconds:.0f} s\n")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
