"""The subscription index: from a topic to everyone whose filter matches it.

Theory. A trie with one node per filter level. A node holds its literal children by level, its ``+`` child apart from
them, the items of the filters that end here, and the items of the filters that continue with ``#`` here.

* Only nodes that lead to an item exist: `SubscriptionIndex.remove` prunes the way back up.
* A lookup walks level by level with the set of nodes reached so far, at most two per node: work is bounded by the part
  of the trie that agrees with the topic so far, never by the number of subscriptions elsewhere. No recursion.
* The index does not know what its items are, and does not validate names.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class _Node(Generic[T]):
    """One level of some filters. The collections are made when needed: most nodes have one of the four."""

    __slots__ = ("children", "items", "plus", "rest")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] | None = None
        self.plus: _Node[T] | None = None
        # Items of filters that end at this node, and of filters that have '#' right after it.
        self.items: set[T] | None = None
        self.rest: set[T] | None = None

    def is_empty(self) -> bool:
        return not (self.children or self.plus or self.items or self.rest)


class SubscriptionIndex(Generic[T]):
    """Finds the items whose filters match a topic. ``len()`` counts (filter, item) pairs.

    Attributes:
        version: a number that changes whenever a pair is added or removed, so that results can be cached.
    """

    __slots__ = ("_root", "_size", "version")

    def __init__(self) -> None:
        self.version = 0
        self._root: _Node[T] = _Node()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, topic_filter: str, item: T) -> bool:
        """Let ``item`` be found by the topics that match ``topic_filter``.

        Args:
            topic_filter: a filter that `portcast.topics.validate_filter` accepts.
            item: anything hashable; the same item may be under several filters.

        Returns:
            False if this pair was there already; nothing changes then.
        """
        levels, is_rest = _split(topic_filter)
        node = self._root
        for level in levels:
            if level == "+":
                if node.plus is None:
                    node.plus = _Node()
                node = node.plus
            else:
                if node.children is None:
                    node.children = {}
                child = node.children.get(level)
                if child is None:
                    child = node.children[level] = _Node()
                node = child
        if is_rest:
            if node.rest is None:
                node.rest = set()
            holders = node.rest
        else:
            if node.items is None:
                node.items = set()
            holders = node.items
        if item in holders:
            return False
        holders.add(item)
        self._size += 1
        self.version += 1
        return True

    def remove(self, topic_filter: str, item: T) -> bool:
        """Undo `add` of the same pair.

        Returns:
            False if the pair was not there; nothing changes then.
        """
        levels, is_rest = _split(topic_filter)
        path = [self._root]
        for level in levels:
            node = path[-1]
            child = node.plus if level == "+" else (node.children or {}).get(level)
            if child is None:
                return False
            path.append(child)
        holders = path[-1].rest if is_rest else path[-1].items
        if holders is None or item not in holders:
            return False
        holders.remove(item)
        if not holders:
            # An empty set costs 216 bytes.
            if is_rest:
                path[-1].rest = None
            else:
                path[-1].items = None
        self._prune(levels, path)
        self._size -= 1
        self.version += 1
        return True

    def match(self, topic: str) -> set[T]:
        """Return the items with at least one filter that matches ``topic``, each once, in a set of the caller's own.

        Args:
            topic: a topic that `portcast.topics.validate_topic` accepts.
        """
        root = self._root
        found: list[set[T]] = []
        levels = topic.split("/")
        first = levels[0]
        # MQTT 5.0 §4.7.2: a wildcard in the first level does not match '$…'.
        is_system = first[:1] == "$"
        if root.rest and not is_system:
            found.append(root.rest)
        reached: list[_Node[T]] = []
        if root.children and (child := root.children.get(first)):
            reached.append(child)
        if root.plus and not is_system:
            reached.append(root.plus)
        for level in levels[1:]:
            if not reached:
                break
            deeper: list[_Node[T]] = []
            for node in reached:
                if node.rest:
                    found.append(node.rest)
                if node.children and (child := node.children.get(level)):
                    deeper.append(child)
                if node.plus:
                    deeper.append(node.plus)
            reached = deeper
        for node in reached:
            if node.items:
                found.append(node.items)
            # '#' also stands for no level at all: 'a/#' matches 'a' (MQTT 5.0 §4.7.1.2).
            if node.rest:
                found.append(node.rest)
        return set().union(*found)

    @staticmethod
    def _prune(levels: list[str], path: list[_Node[T]]) -> None:
        """Remove the nodes at the end of ``path`` that lead nowhere any more; never the root."""
        for level, node, parent in zip(reversed(levels), reversed(path[1:]), reversed(path[:-1]), strict=True):
            if not node.is_empty():
                return
            if level == "+":
                parent.plus = None
            else:
                assert parent.children is not None
                del parent.children[level]
                if not parent.children:
                    parent.children = None


def _split(topic_filter: str) -> tuple[list[str], bool]:
    """Return the levels without a final ``#``, and whether there was one."""
    levels = topic_filter.split("/")
    if levels[-1] == "#":
        levels.pop()
        return levels, True
    return levels, False
