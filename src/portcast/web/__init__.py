"""The ways in for clients: live page, WebSockets, event streams, API, health checks."""

from portcast.web.asgi_sink import AsgiSink
from portcast.web.routes import add_routes
from portcast.web.transports import TransportProbe

__all__ = ["AsgiSink", "TransportProbe", "add_routes"]
