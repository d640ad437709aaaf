"""Configuration: precedence, unknown keys, values that contradict each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from ptycho.config import ReconstructConfig, TrainConfig, resolve
from ptycho.errors import ConfigError
from ptycho.refinement import RefineConfig


def test_an_error_of_settings_has_no_word_of_pydantic() -> None:
    with pytest.raises(ConfigError) as caught:
        RefineConfig(opr=1, update_probe=False)
    assert "Value error" not in str(caught.value)


def test_precedence_is_defaults_file_command_line(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("epochs: 7\nseed: 5\nnetwork_options: {width: 16, deep_blocks: 1}\n")
    config = resolve(TrainConfig, file=file, overrides=["seed=9", "network_options.width=24"])
    assert (config.epochs, config.seed) == (7, 9)
    assert config.network_options == {"width": 24, "deep_blocks": 1}
    assert config.batch_size == TrainConfig().batch_size


def test_values_are_read_as_yaml() -> None:
    config = resolve(
        TrainConfig,
        overrides=["learning_rate=1e-3", "thinning=null", "probe_trainable=true", "loss=mae"],
    )
    assert config.learning_rate == 1e-3
    assert config.thinning is None and config.probe_trainable and config.loss == "mae"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["epoch=3"], r"no key 'epoch'[\s\S]*epochs"),
        (["epochs=many"], r"epochs[\s\S]*--set epochs=many[\s\S]*'many'"),
        (["thinning=1.5"], "thinning"),
        (["epochs"], "key=value"),
        (["seed.x=1"], "seed"),
        (["validation_fraction=0"], "patience"),
        (["neighbours=2"], "gridsize"),
        (["loss=mse"], "poisson"),
        (["epochs=true"], "not true or false"),
        (["estimate_steps=[12, false]"], "not true or false"),
        (["estimate_steps=[]"], "at least 1"),
        (["learning_rate=.inf"], "finite"),
    ],
)
def test_what_is_wrong_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(TrainConfig, overrides=overrides)


@pytest.mark.parametrize("content", ["- 1\n", "{", "!!python/object/apply:os.getcwd []\n"])
def test_files_that_are_no_mapping_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(ConfigError, match="configuration file"):
        resolve(TrainConfig, file=tmp_path / "c.yaml")


def test_an_unknown_key_of_a_file_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("colour: red\n")
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        resolve(ReconstructConfig, file=tmp_path / "c.yaml")


def test_configurations_are_frozen() -> None:
    with pytest.raises(ConfigError, match="epochs"):
        TrainConfig().epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("kind", [TrainConfig, ReconstructConfig])
def test_a_wrong_setting_in_python_is_a_config_error(kind: type) -> None:
    """As on the command line: our error with the key, and no error of pydantic's."""
    with pytest.raises(ConfigError, match="batch_size") as caught:
        kind(batch_size=0)
    assert "batch_size" in str(caught.value.where)
    with pytest.raises(ConfigError, match="colour"):
        kind(colour="red")
    with pytest.raises(ConfigError, match="clean"):
        resolve(kind, overrides=["clean=perhaps"])


@pytest.mark.parametrize("word", ["off", "no", "false"])
def test_a_prior_can_be_left_off_in_every_way_that_yaml_has(word: str, tmp_path: Path) -> None:
    """`--prior off`, as the help says, was "expected a value that is not true or false"."""
    assert resolve(RefineConfig, flags=[f"prior={word}"]).prior == "off"
    assert resolve(RefineConfig, overrides=[f"prior={word}"]).prior == "off"
    file = tmp_path / "c.yaml"
    file.write_text(f"prior: {word}\n")
    assert resolve(RefineConfig, file=file).prior == "off"


@pytest.mark.parametrize("text", ["3", "1e3", "2026-12-01", "null", "true", "a: b"])
def test_a_setting_that_is_text_is_taken_as_it_was_typed(text: str) -> None:
    """A file may be called 3, whatever YAML makes of the word."""
    assert resolve(RefineConfig, flags=[f"prior={text}"]).prior == text
    assert resolve(RefineConfig, flags=['prior="a b"']).prior == "a b"


def test_what_is_wrong_names_the_option_that_was_typed() -> None:
    with pytest.raises(ConfigError, match="prior") as caught:
        resolve(RefineConfig, flags=["prior="])
    assert caught.value.where == "--prior"
    with pytest.raises(ConfigError, match="regularise") as caught:
        resolve(RefineConfig, flags=["regularise=much"], overrides=["passes=3"])
    assert caught.value.where == "--regularise much"
