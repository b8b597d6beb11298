"""How much is done for a figure."""

import msgspec


class Scale(msgspec.Struct, frozen=True):
    """Payments and repetitions of each case.

    runs: of the cases with many payments in flight; the median counts. lone: lone payments by store delay in ms.
    store: payments on the channel whose store is weighed. channels: of the grown node. stalled: payments while a store
    stalls. states: revoked, of one channel. blocks: missed by a node that was down. micro_seconds: for each
    micro-benchmark.
    """

    name: str
    runs: int
    warm_up: int
    single: int
    direct: int
    delayed: dict[int, int]
    delayed_runs: int
    lone: dict[int, int]
    forwarded: int
    store: int
    channels: int
    processes: int
    stalled: int
    states: int
    blocks: int
    micro_seconds: float


DEFAULT = Scale(
    "default",
    runs=5,
    warm_up=400,
    single=300,
    direct=4_000,
    delayed={10: 5_000, 50: 5_000, 150: 6_000},
    delayed_runs=3,
    lone={10: 40, 50: 15, 150: 6},
    forwarded=2_500,
    store=100_000,
    channels=1_000,
    processes=5,
    stalled=2_000,
    states=10_000,
    blocks=1_000,
    micro_seconds=0.5,
)
QUICK = Scale(
    "quick",
    runs=2,
    warm_up=200,
    single=150,
    direct=2_000,
    delayed={10: 2_500, 50: 2_500, 150: 2_500},
    delayed_runs=1,
    lone={10: 15, 50: 6, 150: 3},
    forwarded=1_000,
    store=10_000,
    channels=1_000,
    processes=3,
    stalled=1_000,
    states=10_000,
    blocks=1_000,
    micro_seconds=0.1,
)
TINY = Scale(
    "tiny",
    runs=1,
    warm_up=0,
    single=5,
    direct=40,
    delayed={10: 20, 50: 20, 150: 20},
    delayed_runs=1,
    lone={10: 2, 50: 2, 150: 1},
    forwarded=20,
    store=50,
    channels=20,
    processes=1,
    stalled=60,
    states=200,
    blocks=30,
    micro_seconds=0.002,
)
SCALES = {scale.name: scale for scale in (DEFAULT, QUICK, TINY)}
