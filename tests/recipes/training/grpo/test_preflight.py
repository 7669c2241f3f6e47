"""What a run will take is measured before it starts, and what cannot work is an error then."""

import json
import shutil

import pytest

from proactive_env import datasets
from proactive_env.agents.models.checkpoint import load_processor
from proactive_env.agents.models.dialogue import SYSTEM_PROMPT
from proactive_env.errors import InputError
from proactive_env.recipes.training.grpo.config import GrpoConfig
from proactive_env.recipes.training.grpo.follow.run import Listener, train
from proactive_env.recipes.training.grpo.prepare.batches import batches
from proactive_env.recipes.training.grpo.prepare.preflight import Measures, measure
from proactive_env.recipes.training.grpo.prepare.windows import held_out, windows
from proactive_env.turn import NO_REPLY

FEW = {
    "train": {"benchmark": "tinyworld", "split": "train", "size": 4},
    "play": {"max_new_tokens": 6, "max_tokens": 2048},
    "window": [4, 6],
    "windows_per_step": 2,
    "steps": 3,
}


def config_of(checkpoint, **changes):
    return GrpoConfig.model_validate(FEW | {"model": str(checkpoint)} | changes)


def measured(config):
    episodes = config.train.load()
    others = config.held_out.load() if config.held_out else ()
    rows = batches(config, windows(config, episodes, print))
    return measure(config, rows, held_out(config, others, print) if config.held_out else [], episodes, others)


def test_the_longest_window_is_counted_in_frames_tokens_and_bytes(tiny_checkpoint):
    config = config_of(tiny_checkpoint, window=None, windows_per_step=4, group=4, steps=1)
    found = measured(config)
    episodes = datasets.load("tinyworld", split="train", size=4)
    longest = max(episodes, key=lambda episode: max(gold.reply_span.end for gold in episode.gold))
    assert found.longest == longest.question_id
    assert (found.steps, found.windows, found.held_out) == (1, 4, 0)
    assert found.history == 0
    assert found.most_images == found.frames
    assert found.turns == -(-found.frames // longest.frames_per_turn)

    # The same conversation in silence, by the processor's own template.
    frame = {"type": "image"}
    turns = []
    for number in range(found.turns):
        shown = min(longest.frames_per_turn, found.frames - number * longest.frames_per_turn)
        turns += [{"role": "user", "content": [frame] * shown}, {"role": "assistant", "content": NO_REPLY}]
    processor = load_processor(str(tiny_checkpoint))
    text = processor.apply_chat_template([{"role": "system", "content": SYSTEM_PROMPT}, *turns])
    questions = processor.tokenizer("".join(turn.text for turn in longest.user_turns))["input_ids"]
    tokens = processor.tokenizer(text)["input_ids"]
    assert found.silent_tokens == pytest.approx(
        len(tokens) + len(questions) + found.frames * (found.frame_tokens - 1), abs=3
    )
    assert found.worst_tokens > found.silent_tokens
    patch = 3 * 2 * 14 * 14 * 4  # two pictures deep, in float32
    assert found.rollout_bytes == found.frames * (found.frame_tokens * 4 * patch + 3 * 8)


def test_history_and_held_out_frames_count_as_images(tiny_checkpoint):
    window = measured(config_of(tiny_checkpoint, steps=20))
    assert window.history > 0
    assert window.turns < window.frames <= 2 * window.turns
    assert window.frames < window.most_images <= 2 * (window.history + window.turns)
    more = measured(
        config_of(tiny_checkpoint, held_out={"benchmark": "tinyworld", "split": "test", "size": 8}, window=[4, 6])
    )
    assert more.held_out == 8
    assert more.most_images > more.frames


def test_measures_are_kept_for_the_trainer(tiny_checkpoint, tmp_path):
    found = measured(config_of(tiny_checkpoint))
    found.write(tmp_path)
    assert Measures.read(tmp_path) == found


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"play": {"max_tokens": 256}, "window": None},
            "tokens even if nothing is said, and play.max_tokens is 256: raise it",
        ),
        ({"play": {"max_tokens": 10**6}}, "play.max_tokens is 1000000, but .* takes 131072 tokens"),
        ({"play": {"rewards": {"paucc": 1}}}, "there is no reward 'paucc'; did you mean 'pauc'"),
        ({"play": {"rewards": {"mine.py:Gone": 1}}}, "mine.py has no class 'Gone'"),
        ({"play": {"judge": "chat:m?url=http://127.0.0.1:9/v1&retries=0&timeout=1"}}, "gives no answer"),
        ({"windows_per_step": 1000}, "a step plays windows_per_step = 1000 windows"),
        ({"held_out": {"benchmark": "tinyworld", "split": "train", "size": 1}}, "expected other videos in held_out"),
        ({"model": "./nowhere"}, "'./nowhere' is neither the folder of a checkpoint nor"),
        ({"nodes": 2, "engines": 2}, "nodes > 1 needs a Ray cluster"),
        ({"address": "http://127.0.0.1:9"}, "expected the dashboard of a Ray cluster"),
    ],
)
def test_what_cannot_work_is_an_error_before_anything_starts(tmp_path, monkeypatch, tiny_checkpoint, changes, problem):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("class Mine: ...")
    changes = {"model": str(tiny_checkpoint)} | changes
    with pytest.raises(InputError, match=problem):
        train(GrpoConfig.model_validate(FEW | changes), tmp_path / "out", Listener())


def test_a_video_that_cannot_be_read_is_left_out_and_reported(tmp_path, tiny_checkpoint):
    episodes = []
    for episode in datasets.load("tinyworld", split="train", size=4):
        shutil.copy(episode.video, tmp_path)
        episodes.append(json.loads(episode.model_dump_json()) | {"video": episode.video.name})
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    episodes[1]["video"] = "broken.mp4"
    file = tmp_path / "rl.jsonl"
    file.write_text("\n".join(map(json.dumps, episodes)))
    config = config_of(tiny_checkpoint, train={"benchmark": "jsonl", "data": str(file)})
    skipped = []
    rows = windows(config, config.train.load(), skipped.append)
    assert measure(config, batches(config, rows), [], config.train.load(), ()).steps == 3
    assert len(skipped) == 1
    assert "broken.mp4" in skipped[0]
