"""Settings that all tests share."""

from hypothesis import HealthCheck, settings

# The same examples in every run and no deadline: a test depends neither on luck nor on how busy the machine is.
# To search further, run pytest with `--hypothesis-profile=search`.
settings.register_profile(
    "default_run", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default_run")
