"""Turn pydantic's report of a wrong value into this package's words, at one place."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ptycho.errors import ConfigError

M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], /, **values: Any) -> M:
    """Build `model` from `values`; one ConfigError names every wrong key and value."""
    try:
        return model(**values)
    except ValidationError as error:
        problems = error.errors()
        keys = [".".join(str(part) for part in problem["loc"]) or "(all)" for problem in problems]
        known = ", ".join(model.model_fields)
        raise ConfigError(
            f"{model.__name__}: " + "; ".join(p["msg"] for p in problems),
            where=", ".join(keys),
            expected=f"one of {known}"
            if any(p["type"] == "extra_forbidden" for p in problems)
            else None,
            got=", ".join(repr(p.get("input")) for p in problems),
            fix="correct the value and run the command again",
        ) from None
