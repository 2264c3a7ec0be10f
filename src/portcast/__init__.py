"""Raw TCP in, live WebSockets out, inside a FastAPI app."""

from portcast.version import VERSION as __version__

__all__ = ["__version__"]
