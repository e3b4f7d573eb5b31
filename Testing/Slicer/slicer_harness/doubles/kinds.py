"""How each kind of value is kept in a parameter node: under the same names and in the same words as by the originals
(Base/Python/slicer/parameterNodeWrapper/serializers.py), so that scenes saved with either can be read with the other.
"""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from collections.abc import Callable, Iterable, MutableSequence
from typing import Any

import slicer

from .limits import IsInstance, NotNone, Validator, split

_PATHS = (pathlib.Path, pathlib.PosixPath, pathlib.PurePath, pathlib.PurePosixPath)


class Kind:
    """A value kept as one parameter, written by `store` and read by `load`."""

    def __init__(
        self, accepted: Any, store: Callable[[Any], str], load: Callable[[str], Any], default: Callable[[], Any]
    ) -> None:
        self.validators: list[Validator] = [NotNone(), IsInstance(accepted)]
        self.store, self.load, self.default = store, load, default

    def validate(self, value: Any) -> None:
        for validator in self.validators:
            validator.validate(value)

    def fits(self, value: Any) -> bool:
        try:
            self.validate(value)
        except (TypeError, ValueError):
            return False
        return True

    def is_in(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))

    def write(self, node: Any, name: str, value: Any) -> None:
        self.validate(value)
        node.SetParameter(name, self.store(value))

    def read(self, node: Any, name: str) -> Any:
        return self.load(node.GetParameter(name))

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)


class NodeKind(Kind):
    """A node, kept as a reference."""

    def __init__(self, cls: type) -> None:
        self.validators, self.default = [IsInstance(cls)], lambda: None

    def write(self, node: Any, name: str, value: Any) -> None:
        self.validate(value)
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class NoneKind(Kind):
    """Nothing, as one of several possibilities."""

    def __init__(self) -> None:
        super().__init__(type(None), lambda value: "True", lambda text: None, lambda: None)
        self.validators = [_IsNone()]


class _IsNone(Validator):
    def validate(self, value: Any) -> None:
        if value is not None:
            raise ValueError("Value must be None")


class KeptList(MutableSequence[Any]):
    """A list that writes itself into the parameter node whenever it is changed."""

    def __init__(self, node: Any, kind: ListKind, name: str, values: Iterable[Any]) -> None:
        self._node, self._kind, self._name, self._list = node, kind, name, list(values)

    def _save(self) -> None:
        try:
            self._kind.write(self._node, self._name, self._list)
        finally:
            self._list = self._kind.read(self._node, self._name)._list

    def __len__(self) -> int:
        return len(self._list)

    def __getitem__(self, index: Any) -> Any:
        return self._list[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._list[index] = value
        self._save()

    def __delitem__(self, index: Any) -> None:
        del self._list[index]
        self._save()

    def insert(self, index: int, value: Any) -> None:
        self._list.insert(index, value)
        self._save()

    def __eq__(self, other: object) -> bool:
        return self._list == (other._list if isinstance(other, KeptList) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ObservedList({self._list})"


class ListKind(Kind):
    """A list of one kind of value: its length and its elements are parameters of their own."""

    def __init__(self, element: Kind) -> None:
        self.validators, self.default, self.element = [], list, element

    def is_in(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(f"{name}.len"))

    def write(self, node: Any, name: str, value: Any) -> None:
        values = list(value)
        for one in values:
            self.element.validate(one)
        with slicer.util.NodeModify(node):
            before = int(node.GetParameter(f"{name}.len")) if self.is_in(node, name) else 0
            for number, one in enumerate(values):
                self.element.write(node, f"{name}.{number}", one)
            for number in range(len(values), before):
                self.element.remove(node, f"{name}.{number}")
            node.SetParameter(f"{name}.len", str(len(values)))

    def read(self, node: Any, name: str) -> KeptList:
        length = int(node.GetParameter(f"{name}.len")) if self.is_in(node, name) else 0
        return KeptList(node, self, name, [self.element.read(node, f"{name}.{number}") for number in range(length)])

    def remove(self, node: Any, name: str) -> None:
        with slicer.util.NodeModify(node):
            for number in range(len(self.read(node, name))):
                self.element.remove(node, f"{name}.{number}")
            node.UnsetParameter(f"{name}.len")


class UnionKind(Kind):
    """One of several kinds; with two of which the second is None, it starts as None."""

    def __init__(self, kinds: list[Kind]) -> None:
        self.validators, self.kinds = [], kinds
        optional = len(kinds) == 2 and isinstance(kinds[1], NoneKind)
        self.default = (lambda: None) if optional else kinds[0].default

    def _kept(self, node: Any, name: str) -> Iterable[tuple[str, Kind]]:
        named = ((f"{name}.{number}", kind) for number, kind in enumerate(self.kinds))
        return [(key, kind) for key, kind in named if kind.is_in(node, key)]

    def is_in(self, node: Any, name: str) -> bool:
        return bool(self._kept(node, name))

    def validate(self, value: Any) -> None:
        if not any(kind.fits(value) for kind in self.kinds):
            raise TypeError(f"Unable to write {value!r}")

    def write(self, node: Any, name: str, value: Any) -> None:
        self.validate(value)
        # A node's kind takes None as well, but None has a kind of its own here.
        fitting = [(n, kind) for n, kind in enumerate(self.kinds) if kind.fits(value)]
        number, chosen = next(
            (entry for entry in fitting if isinstance(entry[1], NoneKind) == (value is None)), fitting[0]
        )
        with slicer.util.NodeModify(node):
            self.remove(node, name)
            chosen.write(node, f"{name}.{number}", value)

    def read(self, node: Any, name: str) -> Any:
        key, kind = next(iter(self._kept(node, name)))
        return kind.read(node, key)

    def remove(self, node: Any, name: str) -> None:
        for key, kind in self._kept(node, name):
            kind.remove(node, key)


def kind_of(declared: Any) -> Kind:
    """How values of a declared type, annotated or not, are kept."""
    bare, annotations = split(declared)
    kind = _bare_kind(bare)
    kind.validators += [annotation for annotation in annotations if isinstance(annotation, Validator)]
    return kind


def _bare_kind(declared: Any) -> Kind:
    import qt

    from .packs import PackKind, isParameterPack

    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin in (typing.Union, types.UnionType):
        return UnionKind([kind_of(argument) for argument in arguments])
    if origin is list:
        return ListKind(kind_of(arguments[0]))
    if not isinstance(declared, type):
        raise TypeError(f"Unable to keep a {declared} in a parameter node")
    if declared is type(None):
        return NoneKind()
    if declared is bool:
        return Kind(bool, lambda value: "True" if value else "False", lambda text: text == "True", bool)
    if declared in (int, float):
        return Kind((int, float) if declared is float else int, str, declared, lambda: 0)
    if declared is str:
        return Kind(str, str, str, str)
    if declared in _PATHS:
        return Kind(declared, str, declared, declared)
    if declared is qt.QColor:
        return Kind(qt.QColor, lambda value: value.name(1), qt.QColor, qt.QColor)
    if issubclass(declared, enum.Enum):
        return Kind(declared, lambda value: value.name, lambda text: declared[text], lambda: next(iter(declared)))
    if issubclass(declared, slicer.vtkMRMLNode):
        return NodeKind(declared)
    if isParameterPack(declared):
        return PackKind(declared)
    raise TypeError(f"Unable to keep a {declared} in a parameter node")
