"""The ways in for clients: live page, WebSockets, event streams, API, health checks."""

from portcast.web.asgi_sink import AsgiSink
from portcast.web.hosts import HostRule, host_dependency, host_guards
from portcast.web.networks import network_guards
from portcast.web.routes import add_routes
from portcast.web.transports import TransportProbe, put_probe

__all__ = [
    "AsgiSink",
    "HostRule",
    "TransportProbe",
    "add_routes",
    "host_dependency",
    "host_guards",
    "network_guards",
    "put_probe",
]
