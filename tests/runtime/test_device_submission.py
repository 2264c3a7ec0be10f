from portcast.runtime.device_submission import Submission


def test_nothing_said_leaves_all_to_the_options() -> None:
    """None is not zero: a lifetime of 0 means that the device must be there."""
    submission = Submission("x")
    assert (submission.is_answered, submission.timeout_s, submission.lifetime_s) == (None, None, None)
    assert not submission.is_idempotent
