"""Topics and topic filters: which names are allowed, and which filter matches which topic.

A topic is one or more *levels* separated by ``/``. A filter is a topic in which a level may be a wildcard: ``+``
stands for exactly one level, a final ``#`` for any number of levels, none included. The rules are those of MQTT 5.0
§4.7, with a smaller size limit:

* Empty levels count (§4.7.1.1 and §4.7.3): ``/a``, ``a`` and ``a/`` are three topics, and ``+`` matches an empty level.
* ``a/#`` also matches ``a`` (§4.7.1.2).
* A wildcard in the first level does not match a first level that begins with ``$`` (§4.7.2).

One rule is wider than MQTT's: only a level that is nothing but ``+`` or ``#`` is a wildcard, so that the channel name
``#42`` is an ordinary topic.
"""

from __future__ import annotations

from portcast.errors import TopicError

MAX_TOPIC_BYTES = 255
"""UTF-8 bytes of a topic or filter; also Centrifugo's default limit for a channel name."""

MAX_TOPIC_LEVELS = 16
"""Levels of a topic or filter. Bounds the depth of `SubscriptionIndex`, and with it the work per lookup."""


def validate_topic(topic: str) -> None:
    """Check that ``topic`` can be published to.

    It costs about 0.3 µs, so a caller that publishes to one topic again and again keeps the names that
    have passed (a broker knows its topics) and calls this for new ones only.

    Args:
        topic: 1 to 255 bytes in UTF-8, at most 16 levels, no control characters (U+0000 to U+001F, U+007F to
            U+009F), no level that is ``+`` or ``#`` alone.

    Raises:
        TopicError: it breaks one of these rules.
    """
    _check_text(topic)
    if ("+" in topic or "#" in topic) and is_wildcard(topic):
        raise TopicError(topic, "'+' and '#' alone in a level are wildcards, which only a filter may have")


def validate_filter(topic_filter: str) -> None:
    """Check that ``topic_filter`` can be subscribed to.

    Args:
        topic_filter: as a topic (see `validate_topic`), but a level may be ``+``, and the last one ``#``.

    Raises:
        TopicError: it breaks one of these rules.
    """
    _check_text(topic_filter)
    # The cheap test first: hardly any filter has more than one '#'.
    if "#" in topic_filter and "#" in topic_filter.split("/")[:-1]:
        raise TopicError(topic_filter, "'#' stands for the rest and must be the last level")


def is_wildcard(topic_filter: str) -> bool:
    """Return True if some level of the filter is ``+`` or ``#``, so that it can match several topics."""
    if "+" not in topic_filter and "#" not in topic_filter:
        return False
    levels = topic_filter.split("/")
    return "+" in levels or "#" in levels


def matches(topic_filter: str, topic: str) -> bool:
    """Return True if ``topic_filter`` matches ``topic``; linear in their length.

    Args:
        topic_filter: a filter that `validate_filter` accepts.
        topic: a topic that `validate_topic` accepts.
    """
    if not is_wildcard(topic_filter):
        return topic_filter == topic
    if topic[:1] == "$" and topic_filter[:1] in ("+", "#") and topic_filter[1:2] in ("", "/"):
        return False
    wanted = topic_filter.split("/")
    levels = topic.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        if len(levels) < len(wanted):
            return False
    elif len(levels) != len(wanted):
        return False
    # Not strict: a filter that ended in '#' is shorter than the topics it matches.
    return all(want in ("+", level) for want, level in zip(wanted, levels, strict=False))


def _check_text(name: str) -> None:
    """Apply the rules that topics and filters share."""
    if not name:
        raise TopicError(name, "it is empty")
    # Characters first: a name of a megabyte must not be encoded to learn that it is too long.
    size = len(name)
    if size <= MAX_TOPIC_BYTES and not name.isascii():
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            raise TopicError(name, "it contains a surrogate, which UTF-8 cannot express") from None
    if size > MAX_TOPIC_BYTES:
        raise TopicError(name, f"it is longer than {MAX_TOPIC_BYTES} bytes")
    if name.count("/") >= MAX_TOPIC_LEVELS:
        raise TopicError(name, f"it has {name.count('/') + 1} levels, more than {MAX_TOPIC_LEVELS}")
    # Printable text has no control characters; the reverse is not true (U+00A0, joiners), so look again if in doubt.
    if not name.isprintable() and any(character < " " or "\x7f" <= character <= "\x9f" for character in name):
        raise TopicError(name, "it contains a control character")
