"""What waits for a subscriber, how long it may wait, and when it is written. Pure."""

from portcast.delivery.batch import Batch, Encoding, Sink, SinkOwner, joined
from portcast.delivery.limits import OutboxLimits
from portcast.delivery.outbox import Outbox, Standing
from portcast.delivery.pacing import FlushPacer
from portcast.delivery.patience import Patience
from portcast.delivery.policy import Loss, Newest, Policy, SlowConsumer, decided, newest_per_key

__all__ = [
    "Batch",
    "Encoding",
    "FlushPacer",
    "Loss",
    "Newest",
    "Outbox",
    "OutboxLimits",
    "Patience",
    "Policy",
    "Sink",
    "SinkOwner",
    "SlowConsumer",
    "Standing",
    "decided",
    "joined",
    "newest_per_key",
]
