"""JSON Schemas (2020-12) of the files that other programs write for us and read from us: case.json and result.json.

They hold the structure: keys, kinds and counts. What numbers mean (rotations, cameras) is checked when a case is read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCHEMAS = ("case", "result")


def schema_text(name: str) -> str:
    """The text of a schema, of "case" or "result"."""
    return (Path(__file__).parent / f"{name}.schema.json").read_text(encoding="utf-8")


def schema(name: str) -> dict[str, Any]:
    """A schema as plain values, of "case" or "result"."""
    content: dict[str, Any] = json.loads(schema_text(name))
    return content
