"""Logs: one line for each event, to a rotating file in the data directory and to standard error.

Loggers are named `leyden.<subsystem>`; each subsystem may have its own level. Values belong in the sentence or in
`extra`, which becomes fields. Secrets do not belong there at all; what looks like a preimage or a private key of a
field with a telling name is blotted out nevertheless.
"""

import contextlib
import json
import logging
import os
import sys
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from leyden.node.settings import LOG_SUBSYSTEMS, LogSettings

ROOT: Final = "leyden"

_USUAL_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRET_NAMES: Final = (
    "secret",
    "preimage",
    "password",
    "passphrase",
    "seed",
    "private",
    "mnemonic",
    "entropy",
    "cookie",
)
_HIDDEN: Final = "***"


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Return what was given as `extra`, without secrets."""
    return {
        name: _HIDDEN if any(word in name.lower() for word in _SECRET_NAMES) else value
        for name, value in vars(record).items()
        if name not in _USUAL_FIELDS
    }


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(record.msecs):03}Z"


def _subsystem(record: logging.LogRecord) -> str:
    return record.name.removeprefix(ROOT + ".")


class TextFormatter(logging.Formatter):
    """`2026-01-02T03:04:05.678Z info  peer: sentence key=value`; a trace follows in lines of its own, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and the trace if there is one."""
        values = "".join(f" {name}={_value(value)}" for name, value in _fields(record).items())
        # A peer's words are in some sentences: they must not be able to write a line of their own.
        sentence = _one_line(record.getMessage())
        line = f"{_time(record)} {record.levelname.lower():7} {_subsystem(record)}: {sentence}{values}"
        if record.exc_info:
            line += "\n" + "\n".join("    " + part for part in self.formatException(record.exc_info).splitlines())
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, subsystem, message, then the fields, then `trace`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        entry: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "subsystem": _subsystem(record),
            "message": record.getMessage(),
        }
        entry |= {name: value for name, value in _fields(record).items() if name not in entry}
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=_text_of)


def _text_of(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _value(value: object) -> str:
    text = _one_line(_text_of(value))
    return json.dumps(text) if not text or any(char in text for char in ' "=') else text


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class _OwnersFile(RotatingFileHandler):
    """A rotating file that nobody else can read: it says whom the node deals with."""

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return open(os.open(self.baseFilename, flags, 0o600), "a", encoding=self.encoding)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Lose the line: a full disk must not make noise, and least of all stop the node."""


def set_up(settings: LogSettings, path: Path) -> None:
    """Send the logs of this process to `path` and, if set, to standard error; replaces what was set up before.

    Raises OSError when the file cannot be opened.
    """
    formatter = JsonFormatter() if settings.format == "json" else TextFormatter()
    handlers: list[logging.Handler] = [
        _OwnersFile(path, maxBytes=settings.file_bytes_max, backupCount=settings.files_kept, encoding="utf-8")
    ]
    if settings.stderr:
        handlers.append(logging.StreamHandler(sys.stderr))
    tear_down()
    root = logging.getLogger(ROOT)
    root.propagate = False
    root.setLevel(settings.level.upper())
    for one in handlers:
        one.setFormatter(formatter)
        root.addHandler(one)
    for subsystem in LOG_SUBSYSTEMS:
        level = settings.levels.get(subsystem)
        logging.getLogger(f"{ROOT}.{subsystem}").setLevel(level.upper() if level else logging.NOTSET)


def tear_down() -> None:
    """Close the files and go back to where a library's logs go: wherever the program sends them."""
    root = logging.getLogger(ROOT)
    for handler in list(root.handlers):
        root.removeHandler(handler)
        with contextlib.suppress(OSError):  # a full disk, again
            handler.close()
    root.propagate = True
    root.setLevel(logging.NOTSET)
    for subsystem in LOG_SUBSYSTEMS:
        logging.getLogger(f"{ROOT}.{subsystem}").setLevel(logging.NOTSET)
