"""The machine that figures are seen on, and who else was busy on it."""

import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import apsw

from leyden.crypto import ec

SYNCS = 200


def describe() -> dict[str, Any]:
    """Return what decides the figures: processor, memory, versions, and how long this disk and libsecp256k1 take."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / (1 << 30), 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "sqlite": apsw.sqlite_lib_version(),
        "coincurve": version("coincurve"),
        "sync_ms_p50": sync_ms(),
        "libsecp_us": libsecp_us(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def sync_ms() -> float:
    """Return the median time in ms that appending 512 bytes to a file and syncing it takes."""
    times: list[float] = []
    with tempfile.TemporaryFile() as file:
        for _ in range(SYNCS):
            begun = time.perf_counter()
            os.write(file.fileno(), bytes(512))
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begun)
    return round(median(times) * 1000, 3)


def libsecp_us() -> dict[str, float]:
    """Return microseconds of the four operations that a payment cannot do without."""
    secret, digest = b"\x11" * 32, b"\x22" * 32
    point = ec.public_key(secret)
    signature = ec.sign_ecdsa(secret, digest)
    operations = {
        "sign": lambda: ec.sign_ecdsa(secret, digest),
        "verify": lambda: ec.verify_ecdsa(point, digest, signature),
        "ecdh": lambda: ec.ecdh(secret, point),
        "public_key": lambda: ec.public_key(secret),
    }
    found = {}
    for name, operation in operations.items():
        best = min(_repeated(operation, 300) for _ in range(5))
        found[name] = round(best * 1e6, 1)
    return found


def _repeated(operation: Any, times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        operation()
    return (time.perf_counter() - begun) / times


class Neighbours:
    """How much of the machine others used while something ran: processes that are not ours, and the hypervisor.

    own_seconds: CPU that the measured processes used, given at the end.
    """

    def __init__(self) -> None:
        self._busy, self._begun = _busy_seconds(), time.monotonic()

    def share(self, own_seconds: float) -> float:
        """Return the cores that others kept busy on average (0.0: the machine was ours)."""
        elapsed = time.monotonic() - self._begun
        others = _busy_seconds() - self._busy - own_seconds
        return round(max(0.0, others) / max(elapsed, 0.001), 2)


def _busy_seconds() -> float:
    """Seconds of all cores that were neither idle nor waiting for a disk, since the machine started."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _idle, _wait, irq, soft, steal = [int(field) for field in fields[:8]]
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(seconds_max: float) -> float:
    """Wait until others use less than a tenth of a core over a second, at most `seconds_max`; return what they use.

    Nodes that wait for the benchmark count as others here; they do next to nothing.
    """
    deadline = time.monotonic() + seconds_max
    while True:
        neighbours = Neighbours()
        time.sleep(1.0)
        share = neighbours.share(0.0)
        if share < 0.1 or time.monotonic() >= deadline:
            return share
