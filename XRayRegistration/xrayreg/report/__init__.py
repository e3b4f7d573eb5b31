"""What a registration leaves behind: a page to read, and the folder of files around it."""

from .folder import CASE, POSE, REPORT, RESULT, Screenshot, delivered_together, files_of_earlier, scored, write_results
from .page import embedded, write_report

__all__ = [
    "CASE",
    "POSE",
    "REPORT",
    "RESULT",
    "Screenshot",
    "delivered_together",
    "embedded",
    "files_of_earlier",
    "scored",
    "write_report",
    "write_results",
]
