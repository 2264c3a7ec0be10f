"""What goes wrong with the application's store (`portcast.runtime.store`); beside `portcast.errors`, which is long."""

from __future__ import annotations

from portcast.errors import PortcastError


class StoreFull(PortcastError):
    """The store holds as many values as it may, and this would be one more.

    Attributes:
        key: the name of the value, cut to 80 characters.
        limit: how many values there may be.
    """

    def __init__(self, key: str, limit: int) -> None:
        self.key = key[:80]
        self.limit = limit
        super().__init__(f"store: no room for {self.key!r} beside {limit} others; delete some, or give keys a lifetime")


class StoreConflict(PortcastError):
    """A value was changed again and again while a function that was to replace it worked.

    Attributes:
        key: the name of the value, cut to 80 characters.
        attempts: how often the function was called.
    """

    def __init__(self, key: str, attempts: int) -> None:
        self.key = key[:80]
        self.attempts = attempts
        super().__init__(
            f"store: {self.key!r} was set or deleted during each of {attempts} updates; use update for all its changes"
        )
