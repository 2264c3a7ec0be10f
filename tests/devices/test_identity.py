from __future__ import annotations

from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.devices import MAX_DEVICE_ID_BYTES, validate_device_id, validate_device_pattern
from portcast.errors import DeviceIdError, TopicError
from portcast.topics import validate_topic


@pytest.mark.parametrize(
    "text",
    ["353994711011822", "boiler-1", "$odd", "a b", "a.b", "...", "é" * 64, "x" * 128, "\u00a0", "\ue000", "\U000e0fff"],
    ids=ascii,
)
def test_allowed(text: str) -> None:
    """Whatever can be one level of a topic."""
    assert validate_device_id(text) == text


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("", "it is empty", "IMEI"),
        ("a/b", "it contains '/'", "replace it"),
        ("a+", "it contains '+'", "replace it"),
        ("#", "it contains '#'", "replace it"),
        ("a\n", "it contains a control character", "decode the bytes"),
        ("\x85", "it contains a control character", "decode the bytes"),
        ("a\u202eb", "the invisible character U+202E", "strip it"),
        ("\ufeffa", "the invisible character U+FEFF", "strip it"),
        ("a\u2028", "the invisible character U+2028", "strip it"),
        ("a\u2029", "the invisible character U+2029", "strip it"),
        ("a\u200db", "the invisible character U+200D", "strip it"),
        ("a\u00adb", "the invisible character U+00AD", "strip it"),
        ("a\U000e0041", "the invisible character U+E0041", "strip it"),
        ("\ud800", "it contains a surrogate", "decode the bytes"),
        (".", "it is '.'", "URLs"),
        ("..", "it is '..'", "URLs"),
        ("x" * 129, "it is longer than 128 bytes", "something shorter"),
        ("é" * 65, "it is longer than 128 bytes", "something shorter"),
        ("x" * 10_000, "it is longer than 128 bytes", "something shorter"),
    ],
    ids=ascii,
)
def test_refused(text: str, problem: str, hint: str) -> None:
    """The error says which rule, and what to do; it never holds a whole id of 10 kB."""
    with pytest.raises(DeviceIdError) as caught:
        validate_device_id(text)
    assert problem in caught.value.problem
    assert hint in caught.value.hint
    assert len(str(caught.value)) < 300


@given(st.text(max_size=140))
def test_every_id_stands_in_a_topic(text: str) -> None:
    """Presence is published on such a topic, and must never fail for a name."""
    try:
        device_id = validate_device_id(text)
    except DeviceIdError:
        return
    validate_topic(f"$devices/{device_id}/commands")
    assert not {category(one) for one in device_id} & {"Cc", "Cf", "Zl", "Zp"}
    assert "/" not in device_id
    assert len(device_id.encode()) <= MAX_DEVICE_ID_BYTES


@given(st.text(alphabet="ab/+#\0", min_size=1, max_size=5))
def test_what_is_refused_would_not_be_one_level(text: str) -> None:
    """Nothing is refused that would do."""
    try:
        validate_device_id(text)
    except DeviceIdError:
        try:
            validate_topic(f"x/{text}/y")
        except TopicError:
            return
        assert set(text) & set("/+#")


@pytest.mark.parametrize("text", ["*", ".*", "..*", "a*", "a*b", "a", "x" * 128 + "*"])
def test_patterns(text: str) -> None:
    """Each of them is some device's."""
    assert validate_device_pattern(text) == text


@pytest.mark.parametrize("text", ["", ".", "..", "a/*", "a/b", "+*", "x" * 129 + "*"])
def test_patterns_of_nobody(text: str) -> None:
    """For the reason for which ids are refused."""
    with pytest.raises(DeviceIdError):
        validate_device_pattern(text)
