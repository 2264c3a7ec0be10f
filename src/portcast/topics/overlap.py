"""How two topic filters relate: whether some topic matches both, and whether one matches all that the other does.

A topic without wildcards is a filter too, so these also compare a filter with a topic. Both look at one level after
the other and are linear in the number of levels. The rules of `portcast.topics.names` hold; that a topic has at most
16 levels is not used, so ``covers`` may say False for filters that differ in deeper ones only.
"""

from __future__ import annotations

from itertools import zip_longest


def overlaps(one: str, other: str) -> bool:
    """Return True if some topic matches both filters.

    Args:
        one: a filter that `portcast.topics.validate_filter` accepts.
        other: likewise.
    """
    if _is_hidden_from(one, other) or _is_hidden_from(other, one):
        return False
    for a, b in zip_longest(one.split("/"), other.split("/")):
        # "#" takes whatever the other has left, nothing included.
        if a == "#" or b == "#":
            return True
        if a is None or b is None or (a != b and "+" not in (a, b)):
            return False
    return True


def covers(outer: str, inner: str) -> bool:
    """Return True if every topic that matches ``inner`` matches ``outer``.

    Args:
        outer: a filter that `portcast.topics.validate_filter` accepts.
        inner: likewise.
    """
    if _is_hidden_from(inner, outer):
        return False
    for wide, narrow in zip_longest(outer.split("/"), inner.split("/")):
        if wide == "#":
            return True
        if wide is None or narrow is None or narrow == "#" or (wide != "+" and wide != narrow):
            return False
    return True


def _is_hidden_from(name: str, topic_filter: str) -> bool:
    """Return True if ``name`` begins with ``$`` and the filter with a wildcard, which does not match it."""
    return name[:1] == "$" and topic_filter.split("/", 1)[0] in ("+", "#")
