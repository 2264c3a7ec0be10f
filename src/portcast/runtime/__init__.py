"""Listeners, connections, the hub and the orderly stop. Knows neither a concrete broker nor a user's handler."""

from portcast.runtime.catch_up import within_bytes
from portcast.runtime.connection import Connection
from portcast.runtime.consumer import Consumer
from portcast.runtime.drain import abort_all, drain
from portcast.runtime.hub import Hub
from portcast.runtime.hub_statistics import HubStatistics
from portcast.runtime.inbox import InboxConsumer
from portcast.runtime.limits import connection_budget, raise_descriptor_limit
from portcast.runtime.listener import Listener, ListenerStatistics
from portcast.runtime.node import ListenerPlan, Node
from portcast.runtime.registry import Registry
from portcast.runtime.relay import RelayConsumer
from portcast.runtime.session import Handler, Session
from portcast.runtime.store import Store
from portcast.runtime.subscriber import CLOSE_RESTART, CLOSE_SHUTDOWN, CLOSE_SLOW, Follower, Subscriber

__all__ = [
    "CLOSE_RESTART",
    "CLOSE_SHUTDOWN",
    "CLOSE_SLOW",
    "Connection",
    "Consumer",
    "Follower",
    "Handler",
    "Hub",
    "HubStatistics",
    "InboxConsumer",
    "Listener",
    "ListenerPlan",
    "ListenerStatistics",
    "Node",
    "Registry",
    "RelayConsumer",
    "Session",
    "Store",
    "Subscriber",
    "abort_all",
    "connection_budget",
    "drain",
    "raise_descriptor_limit",
    "within_bytes",
]
