"""What all settings have in common, and pydantic's report of a wrong value in our words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from ptycho.errors import ConfigError


class Settings(BaseModel):
    """A frozen record of settings: no unknown key, no infinite number, no `true` for a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise explained(type(self), error) from None

    # pydantic: validation of a mapping (`resolve`) goes on without this constructor.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic takes True for 1: `--set epochs=true` would train one epoch.
        annotation = cls.model_fields[str(info.field_name)].annotation
        listed = value if isinstance(value, (list, tuple)) else (value,)
        if any(isinstance(one, bool) for one in listed) and bool not in _types(annotation):
            raise ValueError("a value that is not true or false")
        return value


def _types(annotation: Any) -> Iterator[Any]:
    """The annotation and all that it is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from _types(part)


M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], /, **values: Any) -> M:
    """Build `model` from `values`; one ConfigError names every wrong key and value."""
    try:
        return model(**values)
    except ValidationError as error:  # a model that is not a `Settings`
        raise explained(model, error) from None


def explained(model: type[BaseModel], error: ValidationError) -> ConfigError:
    """pydantic's report as a ConfigError with every wrong key and value."""
    problems = error.errors()
    keys = [".".join(str(part) for part in problem["loc"]) or "(all)" for problem in problems]
    known = ", ".join(model.model_fields)
    return ConfigError(
        f"{model.__name__}: " + "; ".join(p["msg"] for p in problems),
        where=", ".join(keys),
        expected=f"one of {known}"
        if any(p["type"] == "extra_forbidden" for p in problems)
        else None,
        got=", ".join(repr(p.get("input")) for p in problems),
        fix="correct the value and run the command again",
    )
