"""A result for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..printing import printable


def show_result(content: dict[str, Any], folder: Path) -> None:
    """Print the verdict, its figures and the location of the files."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def shown(value: object, style: str = "") -> Text:
        return Text(printable(value), style)

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    word, style = ("Accepted", "bold green") if content["accepted"] else ("Rejected", "bold red")
    word, style = ("Interrupted", "bold yellow") if content.get("interrupted") else (word, style)
    word, style = ("Not judged", "bold yellow") if content.get("unjudged") else (word, style)
    table.add_row("Verdict", shown(word, style))
    table.add_row("Reason", shown(content["reason"]))
    for name, value in _figures(content):
        table.add_row(name, shown(value))
    for note in content.get("notes", ()):
        table.add_row("Note", shown(note))
    table.add_row("Files", shown(folder))
    Console(highlight=False).print(table)


def _figures(content: dict[str, Any]) -> list[tuple[str, str]]:
    figures = []
    similarity = content["quality"].get("similarity")
    if similarity is not None:
        figures.append(("Similarity", f"{similarity:.3f}"))
    per_view = [view["similarity"] for view in content["views"] if view["similarity"] is not None]
    if len(per_view) > 1:
        figures.append(("Similarity per view", ", ".join(f"{similarity:.3f}" for similarity in per_view)))
    expected = content["quality"].get("expected_error_mm")
    if expected is not None:
        figures.append(("Expected error", f"{expected:.2f} mm at the anatomy"))
    score = content.get("score")
    if score:
        figures.append(
            (
                "Error (reference)",
                f"mTRE {score['mtre_mm']:.2f} mm, rotation {score['rotation_deg']:.2f} degrees, "
                f"projection {score['mpd_mm']:.2f} mm",
            )
        )
    seconds, renders = content["seconds"], content["renders"]
    compiled = f" (and {seconds['compile']:.0f} s once to compile)" if "compile" in seconds else ""
    told = f", {renders} renders" if renders is not None else ""
    figures.append(("Time", f"{seconds['total']:.1f} s{compiled}{told}, {content['engine']}"))
    return figures
