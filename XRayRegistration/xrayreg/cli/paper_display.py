"""A paper's table on the terminal: our figures beside the published ones, and which of them are comparable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..printing import printable

if TYPE_CHECKING:
    from ..benchmark.statistics import Summary
    from ..benchmark.tables.paper_rows import MeasuredTable

# Width of the table; a narrower terminal wraps its lines.
_WIDTH = 260
_COLUMNS = (
    *("row", "n", "SR10", "", "median", "best 95 / 75 / 50 %", "SR10 far", "", "far: best 95 / 75 / 50 %"),
    *("published SR10", "published best", "median", "s", "renders", "training"),
)


def show_paper_table(table: MeasuredTable, folder: Path) -> None:
    """Print the table, then row by row what is comparable, and where the files are."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..benchmark.report.paper_report import longer_of, published_of, training_of
    from ..benchmark.report.wording import count, length, rate

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(console.width, _WIDTH))
    console.print(Text(printable(f"{table.paper.title}, run again on arm {table.arm}"), style="bold"))
    said = f"{table.cases} cases, seed {table.seed}; mTRE [mm], camera frame and far lever; intervals of 95 %"
    console.print(Text(said, style="dim"))
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(_COLUMNS):
        justify: Literal["left", "right"] = "left" if number in (0, len(_COLUMNS) - 1) else "right"
        grid.add_column(column, justify=justify, style="" if column else "dim")
    for row in table.rows:
        camera, far = row.figures["camera_frame"], row.figures["far_lever"]
        share, best, median = published_of(row.row.published)
        minutes, how = training_of(row)
        cells = (
            *(row.row.title, str(row.n), *rate(camera.sr10, row.n), length(camera.median), _best(camera)),
            *(*rate(far.sr10, row.n), _best(far)),
            *(share, best, median, length(row.seconds), count(row.renders)),
            f"{minutes}, {how}" if how else minutes,
        )
        grid.add_row(*(Text(printable(cell)) for cell in cells))
    console.print(grid)
    console.print()
    told = [("All rows", table.same, table.different, "")]
    told += [(row.row.title, row.row.same, row.row.different, row.row.told) for row in table.rows]
    for title, same, different, published in told:
        words = f"comparable: {same} Not comparable: {different}" + (f" Published: {published}." if published else "")
        console.print(Text(printable(f"{title}: {words}"), style="dim"))
    for row in table.rows:
        if row.n < table.cases:
            console.print(Text(printable(f"{row.row.title}: {row.n} of {table.cases} cases so far"), style="yellow"))
    for missing in table.missing:
        console.print(Text(printable(f"{missing.row.title}: {missing.reason}"), style="yellow"))
    shown: set[str] = set()
    for row in table.rows:
        if row.under_trained and row.network is not None and row.network.name not in shown:
            shown.add(row.network.name)
            console.print(Text(printable(f"{row.network.name}: {row.under_trained}"), style="yellow"))
            # Not wrapped, so that it can be copied.
            console.print(Text(printable(f"  {longer_of(row)}")), soft_wrap=True)
    console.print(Text(printable(folder)), soft_wrap=True)


def _best(figures: Summary) -> str:
    from ..benchmark.report.wording import best

    return " / ".join(best(share) for share in figures.best)
