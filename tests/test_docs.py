"""Every Python block of the documentation runs: a page's blocks in order, in one module of its own.

Blocks that say more than ``python`` belong to a guide: see `test_guides`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE)


def _blocks(page: Path) -> list[tuple[int, str]]:
    """The line (from 1) and text of each block that is ``python`` and nothing more."""
    text = page.read_text("utf-8")
    return [
        (text.count("\n", 0, match.start("code")) + 1, _dedent(match["code"], match["indent"]))
        for match in FENCE.finditer(text)
        if match["info"].split() == ["python"]
    ]


def _dedent(code: str, indent: str) -> str:
    return "".join(line.removeprefix(indent) for line in code.splitlines(keepends=True))


def _pages() -> list[Path]:
    pages = [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in pages if _blocks(page)]


@pytest.fixture
def page_module() -> Iterator[ModuleType]:
    """A registered module, because Pydantic and `typing.get_type_hints` look names up where a class was made."""
    module = ModuleType("documentation_page")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.mark.parametrize("page", _pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_run(page: Path, page_module: ModuleType) -> None:
    """What a reader copies from a page works, in the order in which it stands there."""
    for line, code in _blocks(page):
        # Empty lines in front, so that a traceback shows the line of the page.
        exec(compile("\n" * (line - 1) + code, str(page), "exec", dont_inherit=True), page_module.__dict__)


def test_blocks_are_found(tmp_path: Path) -> None:
    """Python blocks are found with their line, other languages are not, indented ones are dedented."""
    page = tmp_path / "page.md"
    page.write_text("a\n```python\nx = 1\n```\n```console\n$ y\n```\n* b\n\n  ```python\n  z = 2\n  ```\n", "utf-8")
    assert _blocks(page) == [(3, "x = 1\n"), (11, "z = 2\n")]
