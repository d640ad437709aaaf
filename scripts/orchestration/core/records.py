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

Read = Callable[[Any], Any]
PLAIN = {str: "a text", int: "a whole number", bool: "true or false"}


class WrongShape(ValueError):
    """A JSON value is not what a record's field says; the message names the place."""

    def __init__(self, problem: str, place: str = "") -> None:
        super().__init__(place + problem)
        self.problem, self.place = problem, place

    def inside(self, place: str) -> WrongShape:
        """The same problem, seen from one level further out."""
        dot = "." if self.place and not self.place.startswith("[") else ""
        return WrongShape(self.problem, f"{place}{dot}{self.place}")


class Record:
    """Base of the dataclasses that go into the log."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read a JSON object; raises WrongShape with the key that is absent or of another type."""
        if not isinstance(data, dict):
            raise _other("an object", data)
        values, key = {}, ""
        try:
            for name, key, read, required in _plan(cls):  # type: ignore[arg-type]
                if key in data:
                    values[name] = read(data[key])
                elif required:
                    raise WrongShape(" is absent")
        except WrongShape as problem:
            raise problem.inside(key) from None
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
        return lambda value: value
    if origin in (Union, types.UnionType):
        some = _reader(next(one for one in inner if one is not type(None)))
        return lambda value: None if value is None else some(value)
    if origin is tuple:
        return _list_reader(_reader(inner[0]), inner[0])
    if origin is dict:
        return _dict_reader(_reader(inner[1]))
    if isinstance(kind, type) and issubclass(kind, Record):
        return kind.from_json
    return _read_float if kind is float else _plain_reader(kind)


def _other(expected: str, value: Any) -> WrongShape:
    return WrongShape(f": expected {expected}, got {value!r:.60}")


def _list_reader(inner: Read, kind: Any) -> Read:
    plain = {kind} if kind in PLAIN else set()

    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise _other("a list", value)
        if plain.issuperset(map(type, value)):  # most lists, in a tenth of the time
            return tuple(value)
        found: list[Any] = []
        try:
            for one in value:
                found.append(inner(one))
        except WrongShape as problem:
            raise problem.inside(f"[{len(found)}]") from None
        return tuple(found)

    return read


def _dict_reader(inner: Read) -> Read:
    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _other("an object", value)
        found, key = {}, ""
        try:
            for key, one in value.items():
                found[key] = inner(one)
        except WrongShape as problem:
            raise problem.inside(key) from None
        return found

    return read


def _read_float(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise _other("a number", value)


def _plain_reader(kind: type[Any]) -> Read:
    def read(value: Any) -> Any:
        if type(value) is kind:
            return value
        raise _other(PLAIN[kind], value)

    return read
