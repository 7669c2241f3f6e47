"""Configs from presets, files and `--set`: nested keys, YAML values, and errors that name the nearest known key."""

import pytest
from pydantic import BaseModel, ConfigDict, Field

from proactive_env.errors import InputError
from proactive_env.recipes.record import load_config


class Optimizer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rate: float = Field(default=0.1, gt=0)
    betas: tuple[float, float] = (0.9, 0.99)


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = "x"
    optimizer: Optimizer = Optimizer()
    weights: dict[str, float] = Field(default_factory=dict)


@pytest.fixture
def presets(tmp_path):
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "small.yaml").write_text("name: small\noptimizer:\n  rate: 0.5\n")
    (folder / "empty.yaml").write_text("# nothing\n")
    return folder


def load(presets, name, *sets):
    return load_config(name, Config, sets, presets)


def test_a_preset_and_what_is_laid_over_it(presets):
    loaded = load(presets, "small", "optimizer.betas=[0.8, 0.9]", "weights.a=1", "weights.b=2e-3", "name=a=b")
    assert loaded.name == "a=b"
    assert loaded.optimizer == Optimizer(rate=0.5, betas=(0.8, 0.9))
    assert loaded.weights == {"a": 1, "b": 0.002}
    assert load(presets, "empty") == Config()
    assert load(presets, "small", "optimizer={rate: 3}", "optimizer.rate=4").optimizer.rate == 4


def test_a_file_by_its_path(presets, tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    assert load(presets, str(tmp_path / "mine.yaml")).name == "mine"


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["nmae=y"], "there is no key nmae; did you mean 'name'?"),
        (["optimizer.rat=1"], "there is no key optimizer.rat; did you mean 'rate'?"),
        (["optimizer.rate=-1"], "optimizer.rate: Input should be greater than 0"),
        (["optimizer=3"], "optimizer: Input should be"),
        (["name.first=1"], "--set name.first: name is no mapping, found 'small'"),
        (["name"], "--set name: expected key=value"),
        (["=3"], "--set =3: expected key=value"),
        (["name=[1"], r"--set name=\[1: expected YAML"),
    ],
)
def test_errors_say_what_to_mend(presets, sets, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        load(presets, "small", *sets)


def test_a_wrong_preset_or_file(presets, tmp_path):
    with pytest.raises(InputError, match="there is no config 'smal'; did you mean 'small'"):
        load(presets, "smal")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(InputError, match="expected a mapping of keys to values, found list"):
        load(presets, str(tmp_path / "list.yaml"))
    (tmp_path / "torn.yaml").write_text("{a: 1")
    with pytest.raises(InputError, match=r"torn\.yaml: expected YAML"):
        load(presets, str(tmp_path / "torn.yaml"))


def test_a_file_that_is_not_utf8_is_named(presets, tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(InputError, match=r"mine.yaml: expected UTF-8"):
        load(presets, str(tmp_path / "mine.yaml"))
