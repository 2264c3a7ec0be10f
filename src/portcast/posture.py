"""What is open, to whom, with which limits, and what a stranger could do: the security of settings, in sentences.

A list of small checks, each a pure function from `View` to findings. A new one is a function in `CHECKS`. What clients
may do is not worked out here: the rules themselves (`portcast.web.sdk_rules`) are asked on behalf of a stranger.

==========  ===========================================================================================================
level       means
==========  ===========================================================================================================
``ok``      how it is; nobody gets more than intended
``note``    on purpose, and good to know
``warning`` weaker than it could be
``danger``  a stranger can read everything, publish or hold what others need; `portcast check` ends with status 3
==========  ===========================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from portcast.api_keys import KeyTable, digests_of
from portcast.permissions import PermissionTable
from portcast.posture_devices import device_deadlines, device_limits, device_pages, device_reach, device_way
from portcast.posture_http import (
    http_connections,
    http_deadlines,
    http_guesses,
    http_keys,
    http_pages,
    http_rates,
    http_reach,
    http_stranger,
    http_tokens,
)
from portcast.posture_view import LEVELS, Check, Finding, Level, View
from portcast.runtime.memory_limit import hard_limit, memory_limit, memory_use
from portcast.settings import Settings
from portcast.web.sdk_basis import Basis
from portcast.web.sdk_rules import Rules


def posture(
    settings: Settings, environment: Mapping[str, str], *, connections: int, http_connections: int
) -> list[Finding]:
    """Return what is the case, by check.

    Args:
        settings: merged and valid.
        environment: variables that hold keys.
        connections: device connections at a time, as the descriptors allow.
        http_connections: the same for HTTP.

    Raises:
        ConfigurationError: a key, a token or a file of keys cannot be used.
        MissingDependencyError: tokens are to be verified, and PyJWT is not installed.
    """
    keys = KeyTable(settings.keys, environment)
    for one in settings.listeners:
        digests_of(one.options.device_tokens, environment, f"listener {one.address}: device_tokens")
    rules = Rules(Basis(settings.centrifuge, PermissionTable(settings.permissions), keys=keys))
    view = View(settings, rules, connections, http_connections)
    return [finding for check in CHECKS for finding in check(view)]


# The process


def logs(view: View) -> Iterator[Finding]:
    """Whether what devices send stands in the log."""
    if view.settings.log.level == "debug":
        yield Finding("warning", "log", "at level debug the log holds parts of what devices send")


def recorder(view: View) -> Iterator[Finding]:
    """Whose raw frames are kept, and who may read them."""
    settings = view.settings
    operators = [name for name, key in settings.keys.items() if key.role == "operator" and not key.topics]
    who = f"keys with the role operator ({', '.join(operators)})" if operators else "operators"
    if view.stranger is not None and view.stranger.rights.may_change:
        who = "everybody who can connect to http"
    rules = settings.recorder.on
    if not rules:
        yield Finding("ok", "recorder", f"nothing is recorded; it can be turned on, and read, by {who}")
        return
    cut = all(one.options.redact for one in settings.listeners)
    what = "frames, without what redact leaves out," if cut else "whole frames, credentials included,"
    yield Finding("note", "recorder", f"{what} of {', '.join(rules)} are kept; they can be read by {who}")


def watchdog(view: View) -> Iterator[Finding]:
    """Whether a blocked loop is noticed."""
    if not view.settings.gateway.block_limit_s:
        yield Finding("note", "process", "block_limit is 0: nobody notices what blocks the event loop")


def memory(view: View) -> Iterator[Finding]:
    """Whether the process slows down before the system kills it."""
    allowed, source = hard_limit()
    limit = memory_limit(view.settings.gateway.memory_limit_bytes)
    if not memory_use().resident:
        yield Finding("warning", "memory", "this system does not tell what is used: only each buffer has a bound")
    elif allowed and limit.bytes > allowed:
        yield Finding(
            "danger",
            "memory",
            f"memory_limit_bytes is {limit.bytes} bytes, and the {_ALLOWS[source]} allows {allowed}: whoever fills "
            "buffers can get the process killed",
        )
    else:
        yield Finding("ok", "memory", f"above {limit.bytes} bytes devices wait and newcomers are refused")


def application(view: View) -> Iterator[Finding]:
    """What cannot be seen from here."""
    yield Finding(
        "note",
        "application",
        "a gateway in an application of your own is not seen here, nor what its dependencies check: given any, it lets "
        "whoever passes them do everything",
    )


_ALLOWS = {"cgroup": "control group", "machine": "machine", "address_space": "limit of address space"}

CHECKS: tuple[Check, ...] = (
    http_reach,
    http_stranger,
    http_keys,
    http_tokens,
    http_pages,
    http_deadlines,
    http_connections,
    http_rates,
    http_guesses,
    device_reach,
    device_way,
    device_pages,
    device_deadlines,
    device_limits,
    recorder,
    watchdog,
    memory,
    logs,
    application,
)
"""In the order in which they are shown."""


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level of findings."""
    return max((one.level for one in findings), key=LEVELS.index, default="ok")
