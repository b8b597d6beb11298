"""`TokenBucket`."""

from leyden.drivers.net.limits import TokenBucket


def test_bucket_lets_the_rate_through_and_makes_the_rest_wait() -> None:
    """A flood is slowed to the rate, a burst is not."""
    bucket = TokenBucket(100, 2.0, 0.0)
    assert bucket.spend(200)
    assert not bucket.spend(50)
    assert bucket.wait(0.0) == 0.5
    assert bucket.wait(0.25) == 0.25
    assert bucket.wait(0.5) == 0.0
    assert not bucket.spend(1)


def test_bucket_that_was_left_alone_holds_no_more_than_its_burst() -> None:
    """An hour of silence buys no hour of flood."""
    bucket = TokenBucket(100, 2.0, 0.0)
    bucket.spend(200)
    assert bucket.wait(3600.0) == 0.0
    assert bucket.spend(200)
    assert not bucket.spend(1)
    assert bucket.wait(3600.0) > 0


def test_credit_is_only_looked_at_when_it_runs_out() -> None:
    """The hot path reads no clock: a debt that has been paid meanwhile shows no wait."""
    bucket = TokenBucket(100, 1.0, 0.0)
    assert bucket.spend(100)
    assert not bucket.spend(10)
    assert bucket.wait(10.0) == 0.0
