"""Configuration: frozen, checked, and resolved at one place.

Precedence: defaults < YAML file < options < `--set key=value`. Unknown keys are errors, never
ignored; nested keys are written with dots (`network_options.width=32`). The resolved configuration
is passed as an argument everywhere; nothing reads a global.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, TypeVar, Union, cast, get_args, get_origin

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ptycho.errors import ConfigError

BACKGROUND_FLOOR = 1e-3
"""Counts per pixel that every model of a frame holds at least, so that its slope stays finite."""
Progress = Callable[[int, int, dict[str, Any]], None]
"""How a caller is told of progress: (done, total, facts by name)."""
Watch = Callable[[Callable[[], Any]], None]
"""Called after each piece of work with what makes the result as it is so far, where it is asked."""


class Settings(BaseModel):
    """A frozen record of settings: no unknown key, no infinite number, no `true` for a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        with _explaining(type(self)):
            super().__init__(**values)

    # pydantic: validation of a mapping (`resolve`) goes on without this constructor.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def model_validate(cls, obj: Any, **how: Any) -> Self:
        """As pydantic's; what is wrong is a ConfigError."""
        with _explaining(cls):
            return super().model_validate(obj, **how)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **how: Any) -> Self:
        """As pydantic's; what is wrong is a ConfigError."""
        with _explaining(cls):
            return super().model_validate_json(json_data, **how)

    def __setattr__(self, name: str, value: Any) -> None:
        with _explaining(type(self)):
            super().__setattr__(name, value)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic takes True for 1: `--set epochs=true` would train one epoch.
        annotation = cls.model_fields[str(info.field_name)].annotation
        if value is False and "off" in _types(annotation):
            return "off"  # as YAML has it: `--set clean=off`
        listed = value if isinstance(value, (list, tuple)) else (value,)
        if any(isinstance(one, bool) for one in listed) and bool not in _types(annotation):
            raise ValueError("a value that is not true or false")
        return value


@contextmanager
def _explaining(model: type[BaseModel]) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise explained(model, error) from None


def _types(annotation: Any) -> Iterator[Any]:
    """The annotation and all that it is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from _types(part)


Clean = Literal["auto", "report", "off"]
CLEAN_FIELD: Any = Field(
    default="auto",
    description="bad pixels and frames; auto: mask, leave out and say so; report: say; off",
)


class GroupingConfig(Settings):
    """How frames are grouped; shared by training and reconstruction."""

    clean: Clean = CLEAN_FIELD

    gridsize: int = Field(default=2, ge=1, le=8, description="g: groups of g² overlapping frames")
    neighbours: int | None = Field(
        default=None,
        ge=1,
        description="candidates for a group's members; None: the grouping's default",
    )
    max_distance_px: float | None = Field(
        default=None,
        gt=0,
        description="farthest member from the seed frame; None: as far as the neighbours are",
    )


StepCounts = Annotated[tuple[Annotated[int, Field(ge=0, le=200)], ...], Field(min_length=1)]


class TrainConfig(GroupingConfig):
    """Everything that decides a training; written into the run folder as it was used."""

    network: str = Field(default="default", description="'default' or 'cnn'")
    network_options: dict[str, int | float | str | bool] = Field(
        default_factory=dict, description="keys of the network's builder, such as width"
    )
    loss: Literal["poisson", "mae"] = Field(
        default="poisson", description="deviance of counts, or mean absolute error of amplitudes"
    )
    estimate_steps: Annotated[int, Field(ge=1, le=200)] | StepCounts | None = Field(
        default=None,
        description="physics steps that make the default network's input: K, or [at N/2, at N]; "
        "None: what suits the probe",
    )
    epochs: int = Field(default=20, ge=1, description="most passes over the training groups")
    time_budget_s: float | None = Field(
        default=None, gt=0, description="stop (and finish the learning-rate schedule) by then"
    )
    batch_size: int = Field(default=16, ge=1, description="groups in a step")
    learning_rate: float = Field(default=1e-3, gt=0, description="of Adam, after the warm-up")
    final_learning_rate_fraction: float = Field(
        default=0.02, gt=0, le=1, description="where the cosine schedule ends"
    )
    warmup_steps: int = Field(
        default=20, ge=0, description="steps in which the learning rate rises from 0"
    )
    clip_norm: float | None = Field(
        default=1.0, gt=0, description="global gradient norm; None: no clip"
    )
    thinning: float | None = Field(
        default=0.9,
        gt=0,
        lt=1,
        description="share of each count that is the input, the rest is the target; None: off",
    )
    rethin_epochs: int = Field(
        default=5, ge=1, description="draw a new thinning every so many epochs"
    )
    validation_fraction: float = Field(
        default=0.1,
        ge=0,
        lt=0.9,
        description="share of the frames, apart in space, that is held out",
    )
    validation_margin_px: float | None = Field(
        default=None,
        ge=0,
        description="gap between training and held-out frames; None: the lit width",
    )
    patience: int | None = Field(
        default=10,
        ge=1,
        description="epochs without a better held-out deviance; None: no early stop",
    )
    probe_trainable: bool = Field(default=False, description="learn the probe too")
    scale_trainable: bool = Field(default=False, description="learn the dose of the probe too")
    background: float = Field(
        default=BACKGROUND_FLOOR, gt=0, description="counts per pixel added to the model"
    )
    seed: int = Field(default=0, ge=0, description="of weights, groups, thinning and order")
    deterministic: bool = Field(
        default=True,
        description="bit-equal repeats on a CPU (TensorFlow op determinism, process-wide)",
    )
    checkpoint: bool = Field(default=True, description="write a checkpoint after every epoch")
    estimate_cache_mib: int = Field(
        default=384, ge=0, description="keep the physics estimates in memory up to this size"
    )

    @model_validator(mode="after")
    def _agree(self) -> TrainConfig:
        if self.neighbours is not None and self.neighbours < self.gridsize**2 - 1:
            raise ValueError(
                f"neighbours={self.neighbours} cannot fill groups of gridsize²="
                f"{self.gridsize**2} frames (at least {self.gridsize**2 - 1} are needed)"
            )
        if self.patience is not None and self.validation_fraction == 0:
            raise ValueError(
                "patience needs held-out frames: set validation_fraction > 0 or patience to null"
            )
        return self


class ReconstructConfig(GroupingConfig):
    """How a trained network (or the untrained control) is applied to a scan."""

    gridsize: int | None = Field(
        # type: ignore[assignment]
        default=None,
        ge=1,
        le=8,
        description="g; None: the one of the run (2 without a run)",
    )
    batch_size: int = Field(default=32, ge=1, description="groups in a pass through the network")
    align_phases: bool = Field(default=True, description="align the constant phase of each group")
    probe: Literal["auto", "scan", "model"] = Field(
        default="auto",
        description="whose probe; auto: the model's if it was trained, else the scan's",
    )
    spool_mib: int = Field(
        default=256, ge=1, description="group images above this size wait in a temporary file"
    )
    seed: int = Field(default=0, ge=0, description="of the choice of groups")


Config = TypeVar("Config", bound=BaseModel)


def validated(model: type[Config], /, **values: Any) -> Config:
    """Build `model` from `values`; one ConfigError names every wrong key and value."""
    try:
        return model(**values)
    except ValidationError as error:  # a model that is not a `Settings`
        raise explained(model, error) from None


def explained(model: type[BaseModel], error: ValidationError) -> ConfigError:
    """pydantic's report as a ConfigError with every wrong key and value."""
    problems = error.errors()
    for problem in problems:
        problem["msg"] = problem["msg"].removeprefix("Value error, ")  # pydantic's word for ours
    keys = [".".join(str(part) for part in problem["loc"]) or "(all)" for problem in problems]
    known = ", ".join(model.model_fields)
    return ConfigError(
        f"{model.__name__}: " + "; ".join(p["msg"] for p in problems),
        where=", ".join(keys),
        expected=f"one of {known}"
        if any(p["type"] == "extra_forbidden" for p in problems)
        else " or ".join(
            dict.fromkeys(p["msg"].removeprefix("Input should be ") for p in problems)
        ),
        got=", ".join(repr(p.get("input")) for p in problems),
        fix="correct the value and run the command again",
    )


def resolve(
    kind: type[Config],
    *,
    file: str | Path | None = None,
    flags: Iterable[str] = (),
    overrides: Iterable[str] = (),
    base: dict[str, Any] | None = None,
) -> Config:
    """A configuration of class `kind`: defaults < `base` < YAML `file` < `flags` < `overrides`.

    Args:
        kind: a frozen pydantic model with `extra="forbid"`.
        file: YAML mapping of keys to values, or None.
        flags: texts `key=value` of what was typed as `--key value`.
        overrides: texts `key=value` of what was typed as `--set key=value`. The value is read as
            YAML (`true`, `1e-3`, `null`, `[1, 2]`); that of a setting which is text is taken as it
            stands.
        base: values below the file, such as those of a resumed run.

    Raises:
        ConfigError: an unreadable file, an unknown key, a value of the wrong type, or values
            that contradict each other; the key and the source are named.
    """
    values: dict[str, Any] = dict(base or {})
    sources = dict.fromkeys(values, "base")
    if file is not None:
        from_file = read_yaml(Path(file))
        values |= from_file
        sources |= dict.fromkeys(from_file, str(file))
    said = [(f"--{text.replace('=', ' ', 1)}".strip(), text) for text in flags]
    for source, text in [*said, *((f"--set {text}", text) for text in overrides)]:
        key, value = _split(kind, text, source)
        _put(values, key.split("."), value, source)
        sources[key.split(".")[0]] = source
    try:
        return cast(Config, kind.__pydantic_validator__.validate_python(values))
    except ValidationError as error:
        raise _explain(kind, error, sources) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file (empty: no keys); ConfigError for anything else."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            "the configuration file cannot be read", where=path, expected="YAML", got=error
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(
            "the configuration file is not a mapping of keys to values",
            where=path,
            expected="lines such as `epochs: 10`",
            got=type(content).__name__,
        )
    return content


def _split(kind: type[BaseModel], text: str, source: str) -> tuple[str, Any]:
    key, sign, written = text.partition("=")
    key, written = key.strip(), written.strip()
    if not sign or not key:
        raise ConfigError("this is no setting", where=source, expected="key=value", got=text)
    try:
        value = yaml.safe_load(written)
    except yaml.YAMLError as error:
        raise ConfigError(
            "the value of a setting cannot be read", where=source, got=error
        ) from error
    return key, value if isinstance(value, str) or not _is_text(kind, key, value) else written


def _is_text(kind: type[BaseModel], key: str, value: Any) -> bool:
    """Whether the setting takes any text, and `value` is nothing else that it takes."""
    if key not in kind.model_fields:
        return False
    annotation = kind.model_fields[key].annotation
    if value is False and "off" in _types(annotation):
        return False
    choices = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    taken = {get_args(each)[0] if get_origin(each) is Annotated else each for each in choices}
    return str in taken and type(value) not in taken


def _put(values: dict[str, Any], path: list[str], value: Any, source: str) -> None:
    for key in path[:-1]:
        inner = values.get(key, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{key} holds a value, not further keys", where=source, got=inner)
        values[key] = values = dict(inner)  # a copy: never write into the caller's mapping
    values[path[-1]] = value


def _explain(kind: type[BaseModel], error: ValidationError, sources: dict[str, str]) -> ConfigError:
    problems = error.errors()
    first = problems[0]
    key = str(first["loc"][0]) if first["loc"] else ""
    if key in kind.model_fields and len(first["loc"]) > 1 and isinstance(first["loc"][1], str):
        inner = str(first["loc"][1])
        # The second part is a key of a mapping, or (of a choice of types) pydantic's own word.
        key = f"{key}.{inner}" if isinstance(_default(kind, key), dict) else key
    source = sources.get(key.split(".")[0])
    if first["type"] == "extra_forbidden":
        known = ", ".join(kind.model_fields)
        close = difflib.get_close_matches(key, kind.model_fields, 1)
        return ConfigError(
            f"{kind.__name__} has no key {key!r}",
            where=source,
            expected=f"one of {known}",
            got=key,
            fix=f"did you mean {close[0]}?" if close else None,
        )
    if not first["loc"]:
        return ConfigError("the settings contradict each other", got=_words(first["msg"]))
    same = [p for p in problems if p["loc"][:1] == first["loc"][:1]]
    words = dict.fromkeys(_words(problem["msg"]) for problem in same)
    return ConfigError(
        f"the setting {key} is not valid",
        where=source,
        expected=", or ".join(words),
        got=None if first["type"] == "value_error" else repr(first["input"]),
    )


def _words(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Input should be ")


def _default(kind: type[BaseModel], key: str) -> Any:
    return kind.model_fields[key].get_default(call_default_factory=True)


def describe(kind: type[BaseModel]) -> list[dict[str, Any]]:
    """Every setting of a configuration: `key`, `default` and `meaning` (may be empty)."""
    return [
        {"key": name, "default": _default(kind, name), "meaning": field.description or ""}
        for name, field in kind.model_fields.items()
    ]
