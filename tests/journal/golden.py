"""Golden files of the journal: `python -m tests.journal.golden` writes those that are missing and never changes one."""

import json
from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).resolve().parent.parent / "golden" / "journal" / "v1"


def readable(value: Any) -> Any:
    """A value as JSON shows it: structs by field name, bytes in hex."""
    if isinstance(value, msgspec.Struct):
        return {name: readable(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (list, tuple)):
        return [readable(one) for one in value]
    if isinstance(value, dict):
        return {str(key): readable(one) for key, one in value.items()}
    return value


def path_of(kind: type[msgspec.Struct]) -> Path:
    """Where the golden file of a kind is."""
    return FOLDER / f"{kind.__name__}.json"


def write_missing(value: msgspec.Struct, encoded: bytes) -> bool:
    """Write the golden file of a kind unless there is one; a written file is the past, and the past does not change."""
    path = path_of(type(value))
    if path.exists():
        return False
    content = {"kind": type(value).__name__, "hex": encoded.hex(), "fields": readable(value)}
    path.write_text(json.dumps(content, indent=1) + "\n")
    return True


def load(path: Path) -> tuple[bytes, Any]:
    """The bytes of a golden file, and what they say."""
    content = json.loads(path.read_text())
    assert content["kind"] == path.stem
    return bytes.fromhex(content["hex"]), content["fields"]


if __name__ == "__main__":
    from leyden.channel.snapshot import encode_core, snapshot_of
    from leyden.journal.codec import encode_record
    from tests.channel.test_snapshot import full_core
    from tests.journal.samples import SAMPLES

    full = full_core().a.core
    if write_missing(snapshot_of(full), encode_core(full)):
        print("wrote ChannelSnapshot.json")

    for sample in SAMPLES:
        if write_missing(sample, encode_record(sample)):
            print(f"wrote {path_of(type(sample)).name}")
