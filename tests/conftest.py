"""Settings that all tests share."""

import gc

from hypothesis import HealthCheck, settings

# The same examples in every run and no deadline: a test depends neither on luck nor on how busy the machine is.
# To search further, run pytest with `--hypothesis-profile=search`.
settings.register_profile(
    "default_run", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default_run")

GC_FIRST = 20_000
"""So many new containers until the collector looks at them. Simulated worlds make them all the time."""


def pytest_collection_finish() -> None:
    """What was imported stays; the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_FIRST, 20, 20)
