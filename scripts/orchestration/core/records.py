"""Records: frozen dataclasses that are written as JSON objects and read back with their types.

The annotations of the fields say what may stand in the JSON: `str`, `int`, `float`, `bool`,
`X | None`, `tuple[X, ...]` (a JSON list), `dict[str, X]`, another record, or `Any`. A field with a
default may be absent; a key that no field has is left alone, so that a reader of today reads what
a writer of tomorrow adds.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields
from functools import cache
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

Read = Callable[[Any, str], Any]
PLAIN = {str: "a text", int: "a whole number", bool: "true or false"}


class WrongShape(ValueError):
    """A JSON value is not what a record's field says; the message names the place."""


class Record:
    """Base of the dataclasses that go into the log."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str = "") -> Self:
        """Read a JSON object; raises WrongShape with the key that is absent or of another type."""
        if not isinstance(data, Mapping):
            raise WrongShape(f"{where or cls.__name__}: expected an object, got {data!r:.60}")
        values = {}
        for name, key, read, required in _plan(cls):  # type: ignore[arg-type]
            if key in data:
                values[name] = read(data[key], f"{where}.{key}" if where else key)
            elif required:
                raise WrongShape(f"{where}.{key} is absent" if where else f"{key} is absent")
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object; a field marked `omit` is left out at its default."""
        written = {}
        for one in fields(self):  # type: ignore[arg-type]
            value = getattr(self, one.name)
            if not (one.metadata.get("omit") and value == one.default):
                written[_key(one)] = _plain(value)
        return written


def entry(default: Any = MISSING, *, key: str = "", omit: bool = False) -> Any:
    """A field whose JSON key is no Python name, or that is written only when it says something."""
    return field(default=default, metadata={"key": key, "omit": omit})


def _key(one: Field[Any]) -> str:
    return one.metadata.get("key") or one.name


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value


@cache
def _plan(cls: type[Any]) -> tuple[tuple[str, str, Read, bool], ...]:
    """(field, JSON key, reader, whether it must be there) for each field of a record."""
    hints = get_type_hints(cls)
    return tuple(
        (
            one.name,
            _key(one),
            _reader(hints[one.name]),
            one.default is MISSING and one.default_factory is MISSING,
        )
        for one in fields(cls)
    )


def _reader(kind: Any) -> Read:
    """A function that checks and converts what JSON gave for an annotation."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda value, where: value
    if origin in (Union, types.UnionType):
        some = _reader(next(one for one in inner if one is not type(None)))
        return lambda value, where: None if value is None else some(value, where)
    if origin is tuple:
        return _list_reader(_reader(inner[0]))
    if origin is dict:
        return _dict_reader(_reader(inner[1]))
    if isinstance(kind, type) and issubclass(kind, Record):
        return kind.from_json
    if kind is float:
        return _read_float
    return _plain_reader(kind)


def _list_reader(inner: Read) -> Read:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, list | tuple):
            raise WrongShape(f"{where}: expected a list, got {value!r:.60}")
        return tuple(inner(one, f"{where}[{n}]") for n, one in enumerate(value))

    return read


def _dict_reader(inner: Read) -> Read:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, Mapping):
            raise WrongShape(f"{where}: expected an object, got {value!r:.60}")
        return {str(key): inner(one, f"{where}.{key}") for key, one in value.items()}

    return read


def _read_float(value: Any, where: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise WrongShape(f"{where}: expected a number, got {value!r:.60}")


def _plain_reader(kind: type[Any]) -> Read:
    def read(value: Any, where: str) -> Any:
        if type(value) is kind:
            return value
        raise WrongShape(f"{where}: expected {PLAIN[kind]}, got {value!r:.60}")

    return read
