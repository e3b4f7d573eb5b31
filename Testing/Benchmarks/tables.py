"""What every benchmark returns: a table that can be printed and stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.markup import escape
from rich.table import Table as RichTable

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """Rows of measured values under named columns; notes say how they were measured."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()

    def for_terminal(self) -> RichTable:
        """The table as rich prints it."""
        # Units stand in brackets, which rich would take for its own marks.
        columns = [escape(column) for column in self.columns]
        table = RichTable(*columns, title=self.title, title_justify="left", caption="\n".join(self.notes))
        table.caption_justify = "left"
        for column in table.columns[1:]:
            column.justify = "right"
        for row in self.rows:
            table.add_row(
                *("" if cell is None else f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row)
            )
        return table

    def for_json(self) -> dict[str, object]:
        """The table as plain values."""
        return asdict(self)
