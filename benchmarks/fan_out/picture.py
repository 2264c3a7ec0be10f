"""The picture for the documentation: deliveries per second of processor time, as bars, in SVG."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape, quoteattr

from benchmarks.fan_out.report import Json
from benchmarks.results import number

WIDTH = 860
NAMES = 230
"""Pixels for the servers' names."""
VALUES = 200
"""Pixels for what stands behind a bar."""
BAR = 20
STEP = 28
OURS = "#0f766e"
OTHERS = "#94a3b8"
INK = "#0f172a"
DIM = "#475569"


def burst_picture(result: Json) -> str:
    """Return the bursts of a run, one block of bars for each number of subscribers, on a linear scale from zero."""
    blocks: dict[str, list[Json]] = {}
    for row in result["rows"]:
        if row["scenario"].startswith("burst") and row["server"] != "defaults":
            blocks.setdefault(row["scenario"].partition("-")[2], []).append(row)
    measured = [row["deliveries_per_cpu_second"] for rows in blocks.values() for row in rows if "samples" in row]
    most = max(measured, default=1)
    parts: list[str] = []
    y = 58
    for count, rows in blocks.items():
        parts.append(_text(16, y, f"{count} subscribers", size=14, weight=600))
        y += 14
        for row in sorted(rows, key=lambda row: -row.get("deliveries_per_cpu_second", 0)):
            parts += _bar(row, y, most)
            y += STEP
        y += 30
    height = y + 4
    machine = result["machine"]
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" role="img" aria-labelledby="t">',
        '<title id="t">Messages delivered to WebSockets per second of the server\'s processor time</title>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(
            16, 28, "Messages delivered to WebSockets per second of the server's processor time", size=16, weight=600
        ),
    ]
    where = f"{machine['processor']}, {machine['when'][:10]}"
    everything = all(row["delivered"] == 1 for rows in blocks.values() for row in rows if "samples" in row)
    whole = ", nothing lost" if everything else ""
    foot = f"A burst of 120-byte messages{whole}; every server on the same one core. {where}"
    return "\n".join([*head, *parts, _text(16, height - 14, foot, size=11, fill=DIM), "</svg>", ""])


def _bar(row: Json, y: int, most: float) -> list[str]:
    is_ours = row["server"] == "portcast"
    name = "Portcast" if is_ours else row["title"]
    shown = [_text(NAMES - 10, y + 15, name, size=12, anchor="end", weight=600 if is_ours else 400)]
    if "samples" not in row:
        return [*shown, _text(NAMES, y + 15, "could not be run here", size=12, fill=DIM)]
    value = row["deliveries_per_cpu_second"]
    length = max(1.0, (WIDTH - NAMES - VALUES) * value / most)
    shown.append(
        f'<rect x="{NAMES}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{OURS if is_ours else OTHERS}"/>'
    )
    said = number(value)
    if is_ours and row["times_nats"]:
        said += f" = {row['times_nats']:.1f} x nats-server"
    shown.append(_text(NAMES + length + 8, y + 15, said, size=12, weight=600 if is_ours else 400))
    return shown


def _text(
    x: float, y: float, said: str, *, size: int, fill: str = INK, anchor: str = "start", weight: int = 400
) -> str:
    attributes: dict[str, Any] = {
        "x": f"{x:.1f}", "y": y, "font-size": size, "fill": fill, "text-anchor": anchor, "font-weight": weight
    }  # fmt: skip
    written = " ".join(f"{name}={quoteattr(str(value))}" for name, value in attributes.items())
    return f"<text {written}>{escape(said)}</text>"
