import math

import pytest

from portcast.config import MOST_SECONDS
from portcast.errors import ConfigurationError
from portcast.runtime.device_submission import Submission


def test_nothing_said_leaves_all_to_the_options() -> None:
    """None is not zero: a lifetime of 0 means that the device must be there."""
    submission = Submission("x")
    assert (submission.is_answered, submission.timeout_s, submission.lifetime_s) == (None, None, None)
    assert not submission.is_idempotent


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, -1, MOST_SECONDS * 2])
def test_a_deadline_that_is_none_is_refused(seconds: float) -> None:
    """Not a number compares with nothing, so it would hide the deadlines of all other commands behind it."""
    with pytest.raises(ConfigurationError, match=r"timeout: .* is out of range"):
        Submission("x", timeout_s=seconds)
    with pytest.raises(ConfigurationError, match=r"lifetime: .* is out of range"):
        Submission("x", lifetime_s=seconds)


def test_the_ends_of_the_range_are_taken() -> None:
    """A lifetime of 0 is for devices that are there."""
    assert Submission("x", timeout_s=MOST_SECONDS, lifetime_s=0).lifetime_s == 0
