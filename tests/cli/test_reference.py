"""Tests of `portcast.cli.reference`, and that the pages made with it are up to date."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from portcast.cli.reference import generated_parts, renewed, write_pages
from portcast.config import ListenerOptions, TopicOptions, option_names
from portcast.framing import FRAMING_NAMES
from portcast.settings import OPTIONS, load_settings

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["configuration.md", "command-line.md", "http.md"]


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_up_to_date(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    assert renewed(text) == text, f"run: python -m portcast.cli.reference docs/{page}"


def test_every_part_stands_on_a_page() -> None:
    """A new section or command must not be forgotten in the documentation."""
    text = "".join((DOCS / page).read_text("utf-8") for page in PAGES)
    assert set(re.findall(r"<!-- generated: (.*?) -->", text)) == set(generated_parts())


def test_the_tables_hold_every_option() -> None:
    text = renewed((DOCS / "configuration.md").read_text("utf-8"))
    for name in (*option_names(ListenerOptions), *option_names(TopicOptions), *FRAMING_NAMES):
        assert f"| `{name}` |" in text
    for option in OPTIONS:
        assert f"| `{option.name}` | `{option.variable}` | `{option.flag}` |" in text


def test_the_whole_file_on_the_page_is_valid(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", (DOCS / "configuration.md").read_text("utf-8"), re.DOTALL)
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    settings = load_settings(file)
    assert len(settings.listeners) == 4
    assert set(tomllib.loads(text)) == {
        *("listen", "listener", "http", "gateway", "history", "log", "topics", "centrifuge", "permissions")
    }


def test_only_the_marked_parts_change(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- generated: listener -->\nbygone\n<!-- end -->\nafter\n")
    write_pages([page])
    text = page.read_text()
    assert text.startswith("before\n<!-- generated: listener -->\n\n| key |")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "bygone" not in text


def test_an_unknown_part_is_noticed() -> None:
    with pytest.raises(KeyError):
        renewed("<!-- generated: nothing -->\n<!-- end -->")
