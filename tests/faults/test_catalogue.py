"""Every row of the catalogue is shown by a test, and every mark names a row."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from faults.catalogue import ROWS

TESTS = Path(__file__).parents[1]


def _rows_in(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each row that ``pytest.mark.row(…)`` of a file names, and where."""
    text = path.read_text("utf-8")
    if "mark.row(" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="mark"), attr="row"), args=args):
                for one in args:
                    assert isinstance(one, ast.Constant), f"{path}:{node.lineno}: a row is a plain number"
                    assert isinstance(one.value, int)
                    yield one.value, f"{path.relative_to(TESTS)}:{node.lineno}"


def _shown() -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for number, where in _rows_in(path):
            found[number].append(where)
    return found


def test_every_row_is_shown() -> None:
    """None is left out."""
    missing = {number: ROWS[number] for number in ROWS.keys() - _shown().keys()}
    assert not missing


def test_every_mark_names_a_row() -> None:
    """A number that is mistyped would show nothing."""
    strangers = {number: where for number, where in _shown().items() if number not in ROWS}
    assert not strangers


def test_marks_are_found(tmp_path: Path) -> None:
    """The scan can fail: it sees marks on functions, classes and modules, and nothing in text."""
    file = TESTS / "faults" / "test_stop_crowd.py"
    assert [number for number, _ in _rows_in(file)] == [25]
