"""What the recipe hands to OpenRLHF is what its own parser takes."""

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from proactive_env.recipes.record import load_config
from proactive_env.recipes.training.grpo.config import PRESETS, GrpoConfig
from proactive_env.recipes.training.grpo.prepare.batches import batches
from proactive_env.recipes.training.grpo.prepare.flags import flags
from proactive_env.recipes.training.grpo.trainer.launch import TRAINER

OUT = Path("/runs/grpo")
PLAIN = {"model": "org/model", "train": {"benchmark": "tinyworld"}}
EVERYTHING = PLAIN | {
    "held_out": {"benchmark": "tinyworld", "split": "validation"},
    "kl": 0.01,
    "importance_correction": True,
    "gradient_checkpointing": True,
    "offload_adam": True,
    "mini_batch": 16,
    "gpus": 2,
    "engines": 2,
}


@pytest.fixture(scope="module")
def parser():
    """OpenRLHF's parser: the statements of the trainer's main block up to the one that parses."""
    source = Path(find_spec(TRAINER).origin).read_text()
    main = next(node for node in ast.parse(source).body if isinstance(node, ast.If))
    parses = next(place for place, node in enumerate(main.body) if "parse_args" in ast.unparse(node))
    names = {}
    exec("import argparse\nfrom datetime import datetime", names)
    exec(compile(ast.Module(main.body[:parses], []), TRAINER, "exec"), names)
    return names["parser"]


@pytest.mark.parametrize("cuda", [True, False])
@pytest.mark.parametrize("values", [PLAIN, EVERYTHING])
def test_openrlhf_takes_every_flag_and_no_abbreviation(parser, values, cuda):
    config = GrpoConfig.model_validate(values)
    words = flags(config, OUT, most_images=30, cuda=cuda)
    parser.parse_args(words)
    named = [word for word in words if word.startswith("--")]
    assert len(named) == len(set(named))
    assert set(named) <= set(parser._option_string_actions)


def test_the_values_arrive_where_they_belong(parser):
    play = {"temperature": 1.2, "top_k": 10, "max_tokens": 4096}
    config = GrpoConfig.model_validate(PLAIN | {"play": play, "group": 8, "windows_per_step": 4, "learning_rate": 3e-5})
    found = vars(parser.parse_args(flags(config, OUT, most_images=30, cuda=True)))
    expected = {
        "rollout.n_samples_per_prompt": 8,
        "rollout.batch_size": 4,
        "train.batch_size": 32,
        "rollout.temperature": 1.2,
        "data.max_len": 4096,
        "data.max_images_per_prompt": 30,
        "actor.adam.lr": 3e-5,
        "algo.advantage.estimator": "group_norm",
        "algo.kl.init_coef": 0.0,
        "algo.advantage.is_correction_level": "off",
        "ckpt.load_enable": True,
        "vllm.sync_backend": "nccl",
        "eval.dataset": None,
    }
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(("values", "share"), [({}, 1.0), ({"final_learning_rate": 0.1}, 0.1)])
def test_the_learning_rate_falls_to_its_share(parser, values, share):
    found = vars(parser.parse_args(flags(GrpoConfig.model_validate(PLAIN | values), OUT, most_images=30, cuda=False)))
    assert (found["actor.lr_scheduler"], found["actor.min_lr_ratio"]) == ("cosine_with_min_lr", share)


@pytest.mark.parametrize("preset", ["tinyworld", "mmduet2", "mmduet2-turn"])
def test_presets_are_configs_that_openrlhf_takes(parser, preset):
    config = load_config(preset, GrpoConfig, [], PRESETS)
    found = vars(parser.parse_args(flags(config, OUT, most_images=30, cuda=preset != "tinyworld")))
    assert found["rollout.n_samples_per_prompt"] == 4
    assert set(yaml.safe_load((PRESETS / f"{preset}.yaml").read_text())) <= set(GrpoConfig.model_fields)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"decoupled": True}, "discount and decoupled are about turns: set credit=turn"),
        ({"discount": 0.5}, "discount and decoupled are about turns: set credit=turn"),
        ({"mini_batch": 5}, "each must be a multiple of the next"),
        ({"window": (60, 20)}, "expected the shortest and the longest window"),
        ({"gpus": 8, "engines": 4}, "expected engines x tensor_parallel = nodes x gpus = 8, found 4 x 1"),
        ({"importance_correction": True, "play": {"top_k": 10}}, "set importance_correction=false"),
        ({"importance_correction": True, "play": {"format": "open_turn"}}, "set importance_correction=false"),
    ],
)
def test_a_config_that_cannot_work_is_refused(changes, problem):
    with pytest.raises(ValueError, match=problem):
        GrpoConfig.model_validate(PLAIN | changes)


def test_paths_mean_the_same_on_every_machine_that_has_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sft").mkdir()
    values = {
        "model": "sft",
        "train": {"benchmark": "jsonl", "data": "rl.jsonl"},
        "play": {"rewards": {"my.py:Mine": 1}},
    }
    config = GrpoConfig.model_validate(values)
    assert config.model == str(tmp_path / "sft")
    assert config.train.data == str(tmp_path / "rl.jsonl")
    assert config.play.rewards == {f"{tmp_path}/my.py:Mine": 1}


def rows_of(count):
    return [{"input": f"window {number}", "label": "{}", "datasource": "tinyworld"} for number in range(count)]


def named(rows):
    return [row["input"] for row in rows]


def test_an_epoch_plays_every_window_once_in_an_order_of_the_seed():
    config = GrpoConfig.model_validate(PLAIN | {"windows_per_step": 4, "epochs": 2})
    drawn = named(batches(config, rows_of(8)))
    assert sorted(drawn[:8]) == sorted(drawn[8:]) == named(rows_of(8))
    assert drawn[:8] != drawn[8:]
    assert drawn == named(batches(config, rows_of(8)))
    assert drawn != named(batches(config.model_copy(update={"seed": 1}), rows_of(8)))


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_steps_count_batches_whatever_the_number_of_windows(steps):
    config = GrpoConfig.model_validate(PLAIN | {"windows_per_step": 4, "steps": steps})
    assert len(batches(config, rows_of(10))) == 4 * steps


def test_fewer_windows_than_a_step_plays_are_an_error():
    with pytest.raises(ValueError, match="windows_per_step = 8 windows, but tinyworld has 7"):
        batches(GrpoConfig.model_validate(PLAIN), rows_of(7))
