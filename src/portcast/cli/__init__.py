"""The ``portcast`` command."""

from portcast.cli.entry import main

__all__ = ["main"]
