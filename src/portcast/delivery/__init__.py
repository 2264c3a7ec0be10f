"""What waits for a subscriber, how long it may wait, and when it is written. Pure."""

from portcast.delivery.batch import Batch, Encoding, Sink, SinkOwner
from portcast.delivery.limits import OutboxLimits
from portcast.delivery.outbox import Outbox, Standing
from portcast.delivery.pacing import FlushPacer
from portcast.delivery.patience import Patience

__all__ = ["Batch", "Encoding", "FlushPacer", "Outbox", "OutboxLimits", "Patience", "Sink", "SinkOwner", "Standing"]
