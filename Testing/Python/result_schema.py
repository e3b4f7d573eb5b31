"""Holds a result.json against its schema, as any other program would."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

from xrayreg.io.results import json_text
from xrayreg.schemas import schema

VALIDATOR = Draft202012Validator(schema("result"))


def require_valid(content: Any) -> None:
    """Fail unless what would be written obeys the schema, knows no other keys, and has a code for each note."""
    written = json.loads(json_text(content))
    VALIDATOR.validate(written)
    assert set(written) <= set(VALIDATOR.schema["properties"])
    for name in ("quality", "score"):
        assert set(written.get(name, ())) <= set(VALIDATOR.schema["properties"][name]["properties"])
    assert len(written.get("notes", ())) == len(written.get("note_codes", ()))
