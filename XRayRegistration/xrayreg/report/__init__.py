"""What a registration leaves behind: a page to read, and the folder of files around it."""

from .folder import POSE, REPORT, RESULT, Screenshot, delivered_together, scored, write_results
from .page import embedded, write_report

__all__ = [
    "POSE",
    "REPORT",
    "RESULT",
    "Screenshot",
    "delivered_together",
    "embedded",
    "scored",
    "write_report",
    "write_results",
]
