"""`ptycho_train`, `ptycho_inference`, `ptycho_evaluate`: the earlier package's names, no logic.

Each translates its flags (`ptycho.earlier.flags`) to commands of `ptycho`, prints them on
stderr, and runs them. A flag or a key of the configuration file without a meaning here is an error
that names what replaces it.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from ptycho.earlier.flags import SETTINGS, replacement
from ptycho.errors import ConfigError, PtychoError, UsageError

Command = list[str]
RESULT = "reconstructed.h5"


def train() -> None:
    """`ptycho_train`: the run, and with `--do_stitching` a reconstruction of the test data."""
    _run("ptycho_train", _train_commands)


def inference() -> None:
    """`ptycho_inference`: a reconstruction by a run."""
    _run("ptycho_inference", _inference_commands)


def evaluate() -> None:
    """`ptycho_evaluate`: a reconstruction by a run, judged by the truth in the test data."""
    _run("ptycho_evaluate", _evaluate_commands)


def _train_commands(program: str, words: list[str]) -> list[Command]:
    parser = _parser(program, "ptycho train SCAN -o RUN")
    parser.add_argument("--config", type=Path, help="YAML with keys of the earlier or this package")
    parser.add_argument("--train_data_file", help="a scan")
    parser.add_argument("--test_data_file", help="a scan, for --do_stitching")
    parser.add_argument("--output_dir", help="the run folder (training_outputs)")
    parser.add_argument("--do_stitching", action="store_true", help="reconstruct the test data too")
    parser.add_argument("--measurement", help="counts, amplitude or intensity")
    parser.add_argument("--resume", action="store_true", help="go on from a checkpoint")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    for name, new in SETTINGS.items():
        parser.add_argument(f"--{name}", help=f"--set {new}=…")
    given = _parse(program, parser, words)
    files = ("train_data_file", "test_data_file", "output_dir")
    values = _from_yaml(program, given.config, files)
    values |= {name: value for name, value in vars(given).items() if value is not None}
    scan, run = values.get("train_data_file"), values.get("output_dir") or "training_outputs"
    if not scan:
        raise UsageError(
            "there is nothing to train on",
            where=program,
            expected="--train_data_file SCAN, or train_data_file in --config",
            got="neither",
        )
    command = ["train", scan, "-o", run]
    settings = [f"{new}={values[old]}" for old, new in SETTINGS.items() if old in values]
    for setting in [*values["own"], *settings, *given.settings]:
        command += ["--set", setting]
    command += _measurement(given) + (["--resume"] if given.resume else [])
    if not given.do_stitching:
        return [command]
    test = values.get("test_data_file") or scan
    return [command, ["reconstruct", run, test, "-o", f"{run}/{RESULT}", *_measurement(given)]]


def _inference_commands(program: str, words: list[str]) -> list[Command]:
    parser = _parser(program, "ptycho reconstruct RUN SCAN -o OUT.h5")
    parser.add_argument("--model_path", help="a run folder of ptycho train", required=True)
    parser.add_argument("--test_data", help="a scan", required=True)
    parser.add_argument("--output_dir", default="inference_outputs", help="a folder")
    parser.add_argument("--config", type=Path, help="YAML with settings of ptycho reconstruct")
    parser.add_argument(
        "--debug_dump",
        nargs="?",
        const="",
        metavar="DIR",
        help="intermediate values; default OUTPUT_DIR/debug_dump",
    )
    parser.add_argument("--measurement", help="counts, amplitude or intensity")
    given = _parse(program, parser, words)
    command = ["reconstruct", given.model_path, given.test_data]
    command += ["-o", f"{given.output_dir}/{RESULT}", *_measurement(given)]
    command += ["--config", str(given.config)] if given.config else []
    if given.debug_dump is not None:
        command += ["--debug-dump", given.debug_dump or f"{given.output_dir}/debug_dump"]
    return [command]


def _evaluate_commands(program: str, words: list[str]) -> list[Command]:
    parser = _parser(program, "ptycho reconstruct … and ptycho evaluate OUT.h5 --truth SCAN")
    parser.add_argument("--model_dir", help="a run folder of ptycho train", required=True)
    parser.add_argument("--test_data", help="a scan that carries its truth", required=True)
    parser.add_argument("--output_dir", help="a folder", required=True)
    parser.add_argument("--measurement", help="counts, amplitude or intensity")
    given = _parse(program, parser, words)
    out = f"{given.output_dir}/{RESULT}"
    return [
        ["reconstruct", given.model_dir, given.test_data, "-o", out, *_measurement(given)],
        ["evaluate", out, "--truth", given.test_data, *_measurement(given)],
    ]


def _measurement(given: argparse.Namespace) -> list[str]:
    return ["--measurement", given.measurement] if given.measurement else []


def _parser(program: str, here: str) -> argparse.ArgumentParser:
    text = f"A name of the earlier package for: {here}"
    return argparse.ArgumentParser(prog=program, description=text, allow_abbrev=False)


def _parse(program: str, parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """Flags with hyphens or underscores; unknown ones are errors that name what replaces them."""
    known, unknown = parser.parse_known_args([_underscored(word) for word in words])
    names = [word[2:].split("=")[0] for word in unknown if word.startswith("--")]
    _refuse(program, names, "flag")
    if unknown:
        raise UsageError("words that belong to no flag", where=program, got=" ".join(unknown))
    return known


def _underscored(word: str) -> str:
    flag, sign, value = word.partition("=")
    return (
        flag.replace("-", "_").replace("__", "--", 1) + sign + value if flag[:2] == "--" else word
    )


def _refuse(program: str, names: list[str], kind: str) -> None:
    """One error for all names without a meaning here."""
    if not names:
        return
    mark = "--" if kind == "flag" else ""
    rows = [f"{mark}{name} → {replacement(name) or 'unknown here and there'}" for name in names]
    raise UsageError(
        f"{len(names)} {kind}{'s' * (len(names) > 1)} of the earlier program "
        f"{'have' if len(names) > 1 else 'has'} no meaning here",
        where=program,
        got=", ".join(f"{mark}{name}" for name in names),
        fix="instead: " + "; ".join(rows),
    )


def _from_yaml(program: str, path: Path | None, files: tuple[str, ...]) -> dict[str, Any]:
    """Earlier keys with their values, and this package's keys as `own` settings."""
    from ptycho.config import TrainConfig, read_yaml

    content = dict(read_yaml(path)) if path else {}
    model = content.pop("model", {})
    if not isinstance(model, dict):
        raise ConfigError("`model` is no block of keys", where=path, got=model)
    content |= model
    same = [name for name in SETTINGS if name in content]
    own = [name for name in content if name in TrainConfig.model_fields and name not in same]
    _refuse(program, [name for name in content if name not in {*same, *own, *files}], "key")
    values = {
        name: _text(content[name]) for name in (*same, *files) if content.get(name) is not None
    }
    return values | {"own": [f"{name}={_text(content[name])}" for name in own]}


def _text(value: Any) -> str:
    """A YAML value as one word of a command line."""
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()


def _run(program: str, commands: Callable[[str, list[str]], list[Command]]) -> None:
    from ptycho.cli import main, need_library

    need_library(program)
    try:
        translated = commands(program, sys.argv[1:])
    except PtychoError as error:
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    for words in translated:
        print(f"{program}: ptycho {shlex.join(words)}", file=sys.stderr, flush=True)
        try:
            main(words, program)
        except SystemExit as done:
            if done.code:
                raise
