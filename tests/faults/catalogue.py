"""The faults and attacks that a single node must survive; a test shows a row with ``@pytest.mark.row(number)``.

`test_catalogue.py` holds this list and the tests together. Numbers are those of the project's catalogue of faults; what
is missing from the sequence is of lower rank, or concerns brokers, clusters and durable logs.
"""

from __future__ import annotations

ROWS = {
    1: "a WebSocket client stops reading",
    2: "a device stops reading while it is sent commands",
    3: "a device vanishes without a word (power, radio, NAT)",
    4: "hundreds of devices send a byte now and then and never a frame",
    5: "hundreds of HTTP requests and upgrades that never end",
    6: "a frame whose end never comes",
    7: "a length that claims gigabytes",
    8: "characters cut in two, and bytes that are no characters",
    9: "a port scanner, a browser or a TLS client on a device port",
    10: "floods of connections that are reset, or closed at once",
    12: "violations of the WebSocket protocol",
    13: "a small compressed message that unpacks to a huge one",
    16: "a device or client that sends far too much",
    17: "a flood of connections from one address, or from many",
    19: "PROXY headers: forged, missing, cut, slow, malformed",
    21: "a handler raises",
    22: "a handler blocks the event loop",
    23: "a handler never returns",
    24: "a cancellation that gets lost in a wait with a timeout",
    25: "the stop signal with thousands of open connections",
    29: "the port is taken",
    30: "no descriptor is left",
    31: "the memory of the process comes to its limit",
    32: "memory of the kernel, held by sockets that nobody reads",
    33: "leaks: descriptors, tasks, objects, memory",
    34: "a TLS handshake that never ends",
    48: "messages in another order after a reconnect",
    54: "a foreign web page opens a WebSocket",
    55: "something can be done without showing who one is",
    56: "secrets in addresses, logs and error pages",
    58: "a foreign web page sends a command by a form",
    59: "a device sends a script to whoever looks at it",
    60: "a device forges lines of the log",
    62: "a Host header that makes one path look like another",
    63: "paths that climb out of the folder of static files, and ranges without end",
    64: "topics and filters that take for ever to match",
    65: "JSON that is nested without end, or huge",
    67: "bytes from outside that become code",
}
"""By number, what happens."""
