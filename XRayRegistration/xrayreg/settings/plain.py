"""Settings as plain values for JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from ..checks import InputError

Kind = TypeVar("Kind")


def as_plain(settings: Any) -> dict[str, Any]:
    """The settings (a dataclass) as nested dictionaries of numbers, strings and lists."""
    return {name: _listed(value) for name, value in asdict(settings).items()}


def from_plain(kind: type[Kind], content: object, what: str = "settings") -> Kind:
    """The settings of class `kind` from the output of `as_plain`; omitted fields take their default.

    Raises InputError for unknown names, and for values of another type or beyond the bounds that the settings declare
    ("least" and "most" in a field's metadata).
    """
    if not isinstance(content, Mapping):
        raise _wrong(what, "a table of settings", type(content).__name__)
    types = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(str(name) for name in content if name not in known)
    if unknown:
        raise _wrong(what, "names that are known here", ", ".join(unknown))
    values = {name: _value(types[name], value, f"{what}.{name}") for name, value in content.items()}
    for name, value in values.items():
        low, high = known[name].metadata.get("least"), known[name].metadata.get("most")
        if low is not None and not low <= value <= high:
            raise _wrong(f"{what}.{name}", f"{low:g} to {high:g}", repr(value))
    return kind(**values)


def _value(kind: Any, value: Any, what: str) -> Any:
    if is_dataclass(kind):
        return from_plain(kind, value, what)  # type: ignore[arg-type]
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        # The only unions are optional fields.
        return None if value is None else _value(inner[0], value, what)
    if origin is Literal:
        if value not in inner:
            raise _wrong(what, f"one of {', '.join(map(str, inner))}", str(value))
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _wrong(what, "a list", str(value))
        kinds = [inner[0]] * len(value) if inner[1:] == (...,) else list(inner)
        if len(kinds) != len(value):
            raise _wrong(what, f"{len(kinds)} values", str(len(value)))
        return tuple(_value(one, entry, what) for one, entry in zip(kinds, value, strict=True))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _wrong(what, "a table", type(value).__name__)
        return {str(name): _value(inner[1], entry, f"{what}.{name}") for name, entry in value.items()}
    fits = isinstance(value, int | float) if kind is float else isinstance(value, kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise _wrong(what, f"a value of type {kind.__name__}", repr(value))
    try:
        return kind(value)
    except OverflowError as error:
        raise _wrong(what, "a number within the range of doubles", f"one of {len(str(value))} digits") from error


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _listed(entry) for name, entry in value.items()}
    return [_listed(entry) for entry in value] if isinstance(value, list | tuple) else value


def _wrong(what: str, expected: str, found: str) -> InputError:
    return InputError(what, expected=expected, found=found[:80], remedy="write it with this version of the program")
