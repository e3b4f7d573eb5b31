"""Double of parameterPack: several values under one name, each kept as "name.member"."""

from __future__ import annotations

import typing
from typing import Any

import slicer

from .kinds import Kind, kind_of
from .limits import Default, IsInstance, NotNone, first, split


class PackKind(Kind):
    """A pack; what is read writes every change back into the node."""

    def __init__(self, cls: Any) -> None:
        self.validators, self.cls, self.default = [NotNone(), IsInstance(cls)], cls, cls

    def _member(self, name: str) -> str:
        return f"{name}.{next(iter(self.cls._kinds))}"

    def is_in(self, node: Any, name: str) -> bool:
        return next(iter(self.cls._kinds.values())).is_in(node, self._member(name))

    def write(self, node: Any, name: str, value: Any) -> None:
        self.validate(value)
        with slicer.util.NodeModify(node):
            for member, kind in self.cls._kinds.items():
                kind.write(node, f"{name}.{member}", getattr(value, member))

    def read(self, node: Any, name: str) -> Any:
        pack = self.cls.__new__(self.cls)
        kinds = self.cls._kinds
        values = {member: kind.read(node, f"{name}.{member}") for member, kind in kinds.items()}
        vars(pack).update(_values=values, _node=node, _name=name)
        return pack

    def remove(self, node: Any, name: str) -> None:
        for member, kind in self.cls._kinds.items():
            kind.remove(node, f"{name}.{member}")


def parameterPack(cls: Any = None) -> Any:
    """Class decorator."""
    if cls is None:
        return parameterPack
    hints = typing.get_type_hints(cls, include_extras=True)
    if not hints:
        raise ValueError("Unable to find any members in parameterPack")
    cls._kinds = {name: kind_of(declared) for name, declared in hints.items()}
    cls._hints = hints
    defaults = {name: _default(cls, name) for name in hints}
    for name, value in defaults.items():
        cls._kinds[name].validate(value())
        setattr(cls, name, _member(name))
    own = vars(cls).get("__init__")

    def initialise(self: Any, *positional: Any, **named: Any) -> None:
        values = {name: value() for name, value in defaults.items()}
        vars(self).update(_values=values, _node=None, _name="")
        if own is not None:
            own(self, *positional, **named)
            return
        given = dict(zip(hints, positional, strict=False))
        if set(given) & set(named) or set(named) - set(hints):
            raise TypeError(f"{cls.__name__} takes {', '.join(hints)}, each once")
        for name, value in {**given, **named}.items():
            setattr(self, name, value)

    cls.__init__ = initialise
    cls.__eq__ = lambda self, other: type(self) is type(other) and self._values == other._values
    cls.__hash__ = None
    cls.__repr__ = lambda self: f"{cls.__name__}({', '.join(f'{k}={v!r}' for k, v in self._values.items())})"
    cls.getValue, cls.setValue = get_value, set_value
    cls.dataType = staticmethod(lambda name: data_type(hints, name))
    return cls


def _default(cls: Any, name: str) -> Any:
    if name in vars(cls):
        value = vars(cls)[name]
        return lambda: value
    declared = first(split(cls._hints[name])[1], Default)
    return (lambda: declared.value) if declared else cls._kinds[name].default


def _member(name: str) -> property:
    def set_(self: Any, value: Any) -> None:
        kind = self._kinds[name]
        kind.validate(value)
        if self._node is None:
            self._values[name] = value
        else:
            kind.write(self._node, f"{self._name}.{name}", value)
            self._values[name] = kind.read(self._node, f"{self._name}.{name}")

    return property(lambda self: self._values[name], set_)


def get_value(self: Any, name: str) -> Any:
    """A member, or a member's member, by its dotted name; ValueError when there is none."""
    head, _, rest = name.partition(".")
    if head not in type(self)._hints:
        raise ValueError(f"{type(self).__name__} has no member '{head}'")
    return get_value(getattr(self, head), rest) if rest else getattr(self, head)


def set_value(self: Any, name: str, value: Any) -> None:
    get_value(self, name)
    head, _, rest = name.rpartition(".")
    setattr(get_value(self, head) if head else self, rest, value)


def data_type(hints: dict[str, Any], name: str) -> Any:
    """The declared type, with its annotations, of a dotted name."""
    head, _, rest = name.partition(".")
    if head not in hints:
        raise ValueError(f"Cannot find a param with the given name: {head}")
    if not rest:
        return hints[head]
    inner = split(hints[head])[0]
    if not isParameterPack(inner):
        raise ValueError(f"{head} is not a parameter pack but expects to have '{rest}'")
    return data_type(inner._hints, rest)


def isParameterPack(declared: Any) -> bool:
    return hasattr(declared, "_hints") and hasattr(declared, "_kinds")


FUNCTIONS = (parameterPack, isParameterPack)
