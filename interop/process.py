"""One process of a foreign node: in a session of its own, ended by its id, its output in a log."""

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final, final

STOP_SECONDS: Final = 15.0


@final
class ForeignProcess:
    """A program that is started, killed and started again."""

    def __init__(self, command: Sequence[str], folder: Path, log_path: Path, *, pipes: bool = False) -> None:
        self._command = tuple(command)
        self._folder = folder
        self._log_path = log_path
        self._pipes = pipes
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it. With pipes, standard input and output are ours and only standard error goes to the log."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._log_path.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=self._folder,
                stdin=asyncio.subprocess.PIPE if self._pipes else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if self._pipes else log,
                stderr=log,
                start_new_session=True,
                limit=1 << 26,
            )

    @property
    def pid(self) -> int:
        """The process that runs, 0 when there is none."""
        return 0 if self.process is None or self.process.returncode is not None else self.process.pid

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when that takes too long."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """`kill -9`; returns when the process is gone."""
        process = self.process
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    def last_words(self, lines: int = 5) -> str:
        """Return the end of the log."""
        return "\n".join(self._log_path.read_text(errors="replace").splitlines()[-lines:])
