from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.centrifuge.messages import FilterNode
from portcast.centrifuge.tag_filter import (
    MAX_DEPTH,
    MAX_NODES,
    MAX_TEXT,
    MAX_VALUES,
    compile_filter,
    validate,
)
from portcast.errors import TagFilterError

Tags = Mapping[str, str]

TAGS = {"name": "boiler", "empty": "", "temp": "21.50", "word": "abc", "big": "9" * 60, "minus": "-3"}


def leaf(cmp: str, key: str, val: str = "") -> FilterNode:
    return FilterNode(key=key, cmp=cmp, val=val)


def among(cmp: str, key: str, *vals: str) -> FilterNode:
    return FilterNode(key=key, cmp=cmp, vals=vals)


def both(*nodes: FilterNode) -> FilterNode:
    return FilterNode(op="and", nodes=nodes)


def either(*nodes: FilterNode) -> FilterNode:
    return FilterNode(op="or", nodes=nodes)


def negate(node: FilterNode) -> FilterNode:
    return FilterNode(op="not", nodes=(node,))


YES, NO = leaf("ex", "name"), leaf("nex", "name")

COMPARISONS = [
    (leaf("eq", "name", "boiler"), True),
    (leaf("eq", "name", "Boiler"), False),
    (leaf("eq", "temp", "21.5"), False),
    (leaf("eq", "nowhere", "x"), False),
    (leaf("neq", "name", "pump"), True),
    (leaf("neq", "name", "boiler"), False),
    (leaf("neq", "nowhere", "x"), True),
    (among("in", "name", "pump", "boiler"), True),
    (among("in", "name", "pump"), False),
    (among("in", "nowhere", "x"), False),
    (among("in", "nowhere", "x", ""), True),
    (among("in", "empty", ""), True),
    (among("nin", "name", "pump"), True),
    (among("nin", "name", "boiler"), False),
    (among("nin", "nowhere", "x"), True),
    (among("nin", "nowhere", "x", ""), False),
    (leaf("ex", "name"), True),
    (leaf("ex", "empty"), True),
    (leaf("ex", "nowhere"), False),
    (leaf("ex", ""), False),
    (leaf("nex", "name"), False),
    (leaf("nex", "empty"), False),
    (leaf("nex", "nowhere"), True),
    (leaf("sw", "name", "boi"), True),
    (leaf("sw", "name", "oil"), False),
    (leaf("sw", "nowhere", "x"), False),
    (leaf("ew", "name", "ler"), True),
    (leaf("ew", "name", "oil"), False),
    (leaf("ew", "nowhere", "x"), False),
    (leaf("ct", "name", "oil"), True),
    (leaf("ct", "name", "x"), False),
    (leaf("ct", "nowhere", "x"), False),
]


@pytest.mark.parametrize(
    ("node", "expected"), COMPARISONS, ids=[f"{n.cmp} {n.key} {n.val or n.vals}" for n, _ in COMPARISONS]
)
def test_what_a_comparison_of_text_matches(node: FilterNode, expected: bool) -> None:
    """The table of the module, missing tags included."""
    assert compile_filter(node)(TAGS) is expected


@pytest.mark.parametrize(
    ("value", "bound", "order"),
    [
        ("21.50", "21.5", 0),
        ("+1", "1", 0),
        ("-0", "0", 0),
        ("007", "7", 0),
        ("9", "10", -1),
        ("-3", "-2.9", -1),
        ("-3", "2", -1),
        ("0.1", "0.1000000000000000001", -1),
        ("9007199254740993", "9007199254740992", 1),
        ("9" * 60, "9" * 59, 1),
        ("9" * 200, "0", 1),
        ("1.0000000000000000001", "1", 1),
    ],
)
def test_numbers_compare_exactly(value: str, bound: str, order: int) -> None:
    """As decimals: floats would call the last digits equal."""
    results = {cmp: compile_filter(leaf(cmp, "n", bound))({"n": value}) for cmp in ("lt", "lte", "gt", "gte")}
    assert results == {"lt": order < 0, "lte": order <= 0, "gt": order > 0, "gte": order >= 0}


NO_NUMBERS = [
    "",
    "x",
    " 1",
    "1 ",
    "1\n",
    ".5",
    "5.",
    "-.5",
    "+",
    "-",
    "--1",
    "1e3",
    "1_000",
    "NaN",
    "inf",
    "1,5",
    "1.2.3",
]


@pytest.mark.parametrize("text", [*NO_NUMBERS, "٣", "0x1", "1." + "0" * 20, "9" * 201], ids=ascii)
@pytest.mark.parametrize("cmp", ["lt", "lte", "gt", "gte"])
def test_what_is_no_number_compares_false(cmp: str, text: str) -> None:
    """On either side, and in every direction."""
    assert compile_filter(leaf(cmp, "n", "1"))({"n": text}) is False
    if text:
        assert compile_filter(leaf(cmp, "n", text))({"n": "1"}) is False
    assert compile_filter(leaf(cmp, "n", "1"))({}) is False


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        pytest.param(both(YES, YES), True, id="and"),
        pytest.param(both(YES, NO), False, id="and, one false"),
        pytest.param(either(NO, YES), True, id="or"),
        pytest.param(either(NO, NO), False, id="or, none"),
        pytest.param(negate(NO), True, id="not"),
        pytest.param(negate(YES), False, id="not, true"),
        pytest.param(both(either(NO, negate(NO)), negate(both(YES, NO))), True, id="nested"),
        pytest.param(FilterNode(op="and", key="k", cmp="?", val="v", nodes=[YES]), True, id="what it needs not"),
        pytest.param(FilterNode(key="name", cmp="ex", nodes=[NO]), True, id="nodes of a comparison"),
    ],
)
def test_what_a_combination_matches(node: FilterNode, expected: bool) -> None:
    """The table of the module; fields that a node does not need are ignored, as in centrifuge."""
    assert compile_filter(node)(TAGS) is expected


def deep(depth: int) -> FilterNode:
    node = YES
    for _ in range(depth - 1):
        node = negate(node)
    return node


@pytest.mark.parametrize(
    ("node", "path", "problem"),
    [
        pytest.param(FilterNode(op="xor", nodes=[YES]), "", "'op' must be", id="op"),
        pytest.param(FilterNode(op="and"), "", "'and' needs at least one", id="and without"),
        pytest.param(FilterNode(op="or"), "", "'or' needs at least one", id="or without"),
        pytest.param(FilterNode(op="not"), "", "exactly one node, not 0", id="not without"),
        pytest.param(FilterNode(op="not", nodes=[YES, YES]), "", "exactly one node, not 2", id="not with two"),
        pytest.param(FilterNode(key="k"), "", "'cmp' must be one of ct, eq", id="no cmp"),
        pytest.param(leaf("like", "k", "v"), "", "'cmp' must be one of", id="cmp"),
        pytest.param(leaf("eq", "k"), "", "'eq' needs 'val'", id="no val"),
        pytest.param(FilterNode(key="k", cmp="gt", val="1", vals=["2"]), "", "'gt' takes no 'vals'", id="vals"),
        pytest.param(among("in", "k"), "", "'in' needs 'vals'", id="no vals"),
        pytest.param(FilterNode(key="k", cmp="nin", val="1", vals=["2"]), "", "'nin' takes no 'val'", id="val"),
        pytest.param(leaf("ex", "k", "v"), "", "'ex' takes no 'val'", id="ex with val"),
        pytest.param(among("nex", "k", "v"), "", "'nex' takes no 'val' or 'vals'", id="nex with vals"),
        pytest.param(leaf("eq", "", "v"), "", "'eq' needs 'key'", id="no key"),
        pytest.param(among("in", "", "v"), "", "'in' needs 'key'", id="in without key"),
        pytest.param(both(YES, negate(leaf("eq", "k"))), "nodes[1].nodes[0]", "needs 'val'", id="deep"),
        pytest.param(leaf("eq", "k" * 256, "v"), "", "longer than 255", id="long key"),
        pytest.param(leaf("eq", "k", "v" * 256), "", "longer than 255", id="long val"),
        pytest.param(among("in", "k", "", "v" * 256), "", "longer than 255", id="long vals"),
        pytest.param(among("in", "k", *["v"] * (MAX_VALUES + 1)), "", "more than 1000 values", id="values"),
        pytest.param(both(*[YES] * MAX_NODES), "nodes[0]", "more than 100 nodes", id="nodes"),
        pytest.param(deep(MAX_DEPTH + 1), ".".join(["nodes[0]"] * MAX_DEPTH), "deeper than 16", id="depth"),
        pytest.param(deep(100_000), ".".join(["nodes[0]"] * MAX_DEPTH), "deeper than 16", id="very deep"),
    ],
)
def test_a_filter_that_breaks_a_rule_is_refused(node: FilterNode, path: str, problem: str) -> None:
    """Before it is used, with the place and the rule; no other error at any depth."""
    with pytest.raises(TagFilterError, match=problem) as caught:
        validate(node)
    assert caught.value.path == path
    with pytest.raises(TagFilterError):
        compile_filter(node)


def test_the_limits_are_inclusive() -> None:
    """What is exactly at a limit is accepted."""
    validate(deep(MAX_DEPTH))
    validate(both(*[YES] * (MAX_NODES - 1)))
    validate(among("in", "k" * MAX_TEXT, *["v" * MAX_TEXT] * MAX_VALUES))


KEYS = st.sampled_from(["a", "b"])
VALUES = st.sampled_from(["", "1", "2", "10", "1.0", "x", "xy"])
SOME_TAGS = st.dictionaries(KEYS, VALUES)
LEAVES = st.one_of(
    st.builds(
        leaf, st.sampled_from(["eq", "neq", "sw", "ew", "ct", "lt", "lte", "gt", "gte"]), KEYS, VALUES.filter(bool)
    ),
    st.builds(
        lambda cmp, key, vals: among(cmp, key, *vals), st.sampled_from(["in", "nin"]), KEYS, st.sets(VALUES, min_size=1)
    ),
    st.builds(leaf, st.sampled_from(["ex", "nex"]), KEYS),
)
FILTERS = st.recursive(
    LEAVES,
    lambda nodes: st.one_of(
        st.builds(negate, nodes),
        st.lists(nodes, min_size=1, max_size=3).map(lambda found: both(*found)),
        st.lists(nodes, min_size=1, max_size=3).map(lambda found: either(*found)),
    ),
    max_leaves=8,
)


def reference(node: FilterNode, tags: Tags) -> bool:
    """The definition once more, interpreted and written the other way round."""
    if node.op:
        results = [reference(child, tags) for child in node.nodes]
        return {"and": all(results), "or": any(results), "not": not results[0]}[node.op]
    value = tags.get(node.key)
    if node.cmp in ("neq", "nin", "nex"):
        opposite = {"neq": "eq", "nin": "in", "nex": "ex"}[node.cmp]
        return not reference(FilterNode("", node.key, opposite, node.val, node.vals), tags)
    if node.cmp == "in":
        return (value or "") in node.vals
    if value is None or node.cmp == "ex":
        return value is not None
    if node.cmp in ("eq", "sw", "ew", "ct"):
        found = value.find(node.val) if node.cmp != "ew" else value.rfind(node.val)
        ends = found + len(node.val) == len(value)
        return found >= 0 and (found == 0 or node.cmp not in ("eq", "sw")) and (ends or node.cmp not in ("eq", "ew"))
    if not all(text.replace(".", "").isdigit() for text in (value, node.val)):
        return False
    difference = Decimal(value) - Decimal(node.val)
    return {"lt": difference < 0, "lte": difference <= 0, "gt": difference > 0, "gte": difference >= 0}[node.cmp]


@given(FILTERS, SOME_TAGS)
def test_the_compiled_filter_is_its_definition(node: FilterNode, tags: Tags) -> None:
    """Against a plain interpreter, for any tree."""
    assert compile_filter(node)(tags) is reference(node, tags)


@given(FILTERS, FILTERS, SOME_TAGS)
def test_and_or_and_not_are_boolean(one: FilterNode, two: FilterNode, tags: Tags) -> None:
    """De Morgan's laws and the double negation."""
    matches = compile_filter
    assert matches(negate(both(one, two)))(tags) is matches(either(negate(one), negate(two)))(tags)
    assert matches(negate(either(one, two)))(tags) is matches(both(negate(one), negate(two)))(tags)
    assert matches(negate(negate(one)))(tags) is matches(one)(tags)
