"""`python -m leyden.demo.child chain|node DIRECTORY`: one process of the demo.

It ends with whoever started it: standard input is a pipe that nobody writes to, and its end means that they are gone,
even by `kill -9`.
"""

import os
import sys
import threading
from pathlib import Path

EXIT_ORPHANED = 70


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(EXIT_ORPHANED)


def _run_chain(directory: Path) -> int:
    from leyden.regtest.service import run

    return run(directory, 0)


def _run_node(directory: Path) -> int:
    from leyden.api.server import ApiServer
    from leyden.base.errors import LeydenError
    from leyden.node import config, daemon

    settings = config.load(None, {}, {"data_dir": directory})
    try:
        return daemon.run(settings, ApiServer(settings.socket_path), None)
    except LeydenError as error:
        sys.stderr.write(f"not started: {error}\n")
        return 1


def main(arguments: list[str]) -> int:
    """Run what is asked for; return the exit status of the process."""
    kind, directory = arguments
    threading.Thread(target=_end_with_parent, name="lifeline", daemon=True).start()
    return (_run_chain if kind == "chain" else _run_node)(Path(directory))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
