"""Studies of methods on many cases: the protocol, the runs, what is kept of them on disk, and the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .report import write_report

__all__ = ["write_report"]


def __getattr__(name: str) -> Any:
    """The report when it is asked for: each process of a study imports this room, and needs no figures."""
    if name != "write_report":
        raise AttributeError(name)
    from .report import write_report

    return write_report
