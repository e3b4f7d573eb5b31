"""The output of a registration: a report page, and the result folder around it."""

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
