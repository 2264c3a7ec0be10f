"""Guides build their product step by step: each step runs, and what is left at the end is the example."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
GUIDE = ROOT / "docs" / "guide-gt06.md"
EXAMPLE = ROOT / "examples" / "gt06_tracker"
COPIED = re.compile(r"\.\./examples/gt06_tracker/([\w.]+)\)")
"""A link to a file of the example: the guide says to copy it."""


@dataclass
class Step:
    """The state of the product after a step, and the program that tries it."""

    title: str
    files: dict[str, str]
    tries: list[str] = field(default_factory=list)


def _steps(text: str) -> list[Step]:
    steps: list[Step] = []
    files: dict[str, str] = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        step = Step(section.splitlines()[0], files)
        files |= {name: (EXAMPLE / name).read_text("utf-8") for name in COPIED.findall(section)}
        for match in FENCE.finditer(section):
            _take(match["info"], match["code"], files, step)
        step.files = dict(files)
        if step.tries:
            steps.append(step)
    return steps


def _take(info: str, code: str, files: dict[str, str], step: Step) -> None:
    language, _, rest = info.partition(" ")
    kind, _, name = rest.partition("=")
    match (language, kind):
        case ("python", "file"):
            assert name not in files, f"{step.title}: {name} is there already; show what changes"
            files[name] = code
        case ("diff", "file"):
            files[name] = _patched(files[name], code, f"{step.title}: {name}")
        case ("js", "excerpt"):
            assert code in files[name], f"{step.title}: not in {name}: {code}"
        case ("python", "try"):
            step.tries.append(code)
        case ("sh" | "text", ""):
            pass
        case _:
            pytest.fail(f"{step.title}: what is a block of {info!r}?")


def _patched(text: str, diff: str, where: str) -> str:
    for hunk in re.split(r"^@@\n", diff, flags=re.MULTILINE):
        lines = [line or " " for line in hunk.splitlines()]
        assert all(line[0] in " +-" for line in lines), where
        before, after = ("".join(f"{line[1:]}\n" for line in lines if line[0] in kept) for kept in (" -", " +"))
        assert text.count(before) == 1, f"{where}: {text.count(before)} places for\n{before}"
        text = text.replace(before, after)
    return text


STEPS = _steps(GUIDE.read_text("utf-8"))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.title)
def test_each_step_runs(step: Step, tmp_path: Path) -> None:
    """In an empty folder, as a reader runs it; a warning is an error."""
    folder = tmp_path / EXAMPLE.name
    folder.mkdir()
    for name, text in {"__init__.py": "", **step.files}.items():
        (folder / name).write_text(text, "utf-8")
    for code in step.tries:
        (tmp_path / "try.py").write_text(code, "utf-8")
        for database in tmp_path.glob("trackers.db*"):
            database.unlink()
        ran = subprocess.run(
            [sys.executable, "-W", "error", "try.py"], cwd=tmp_path, capture_output=True, text=True, timeout=50
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "Error" not in ran.stderr, ran.stderr
    shutil.rmtree(folder)


def test_the_guide_ends_at_the_example() -> None:
    """Every file of the example, to the letter, and each step has something to try."""
    assert [step.title.split(":")[0] for step in STEPS] == [f"Step {number}" for number in range(1, 10)]
    example = {path.name: path.read_text("utf-8") for path in EXAMPLE.iterdir() if path.is_file()}
    del example["__init__.py"]  # the guide's is empty
    assert STEPS[-1].files == example


def test_a_hunk_must_fit_once() -> None:
    """A change that fits nowhere, or in two places, is a mistake in the guide."""
    assert _patched("a\nb\n", " a\n-b\n+c\n", "here") == "a\nc\n"
    for text in ("x\n", "b\nb\n"):
        with pytest.raises(AssertionError, match="places for"):
            _patched(text, "-b\n+c\n", "here")
