"""Keep the documentation and the results together: ``python -m benchmarks.fan_out.pages``.

Rewrites the marked part of ``docs/benchmarks.md``, and the picture, from the JSON of the last full run.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.children import ROOT
from benchmarks.fan_out.picture import burst_picture
from benchmarks.fan_out.report import Json, markdown

RESULTS = ROOT / "benchmarks" / "results" / "fan-out.json"
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "images" / "benchmarks.svg"
BEGIN = "<!-- fan-out: made by `python -m benchmarks.fan_out.pages`; change nothing up to the end mark -->"
END = "<!-- fan-out: end -->"


def save(result: Json) -> Path:
    """Write a full run where the documentation finds it."""
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return RESULTS


def page_with(page: str, result: Json) -> str:
    """Return the page with the tables of this run between the marks.

    Raises:
        ValueError: there are no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} has no line {BEGIN!r} followed by {END!r}")
    return f"{before}{BEGIN}\n\n{markdown(result)}\n\n{END}{after}"


def main() -> None:
    result = json.loads(RESULTS.read_text())
    PAGE.write_text(page_with(PAGE.read_text(), result))
    PICTURE.write_text(burst_picture(result))
    print(f"{PAGE.relative_to(ROOT)} and {PICTURE.relative_to(ROOT)} show {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
