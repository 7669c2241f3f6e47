"""Rollouts of the real environment on a real vLLM engine, and OpenRLHF's own code over what comes out."""

import asyncio
import json
import math
import sys
import threading
import time
import warnings
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from vllm import SamplingParams

from proactive_env.agents.models.dialogue import FORMATS
from proactive_env.agents.models.engine import Decoding
from proactive_env.agents.models.tape import Role, Speller
from proactive_env.environment import ProactiveVideoEnv
from proactive_env.errors import InputError
from proactive_env.recipes.evaluate.episodes import BenchmarkConfig
from proactive_env.recipes.training.grpo.config import PlayConfig
from proactive_env.recipes.training.grpo.held_out_log import HeldOutLog
from proactive_env.recipes.training.grpo.task import Task
from proactive_env.recipes.training.grpo.trainer.credit import turn_credit_maker
from proactive_env.recipes.training.sft.config import SftConfig
from proactive_env.recipes.training.sft.examples import teach
from proactive_env.recipes.training.sft.prepare import label_episodes
from proactive_env.rewards import make
from proactive_env.serving import background
from proactive_env.turn import NO_REPLY

FLASH_ATTN = {
    "flash_attn.bert_padding": ("index_first_axis", "pad_input", "rearrange", "unpad_input"),
    "flash_attn.utils.distributed": ("all_gather",),
}
for module, functions in FLASH_ATTN.items():  # what OpenRLHF imports, and nothing here calls
    sys.modules.setdefault(module, ModuleType(module)).__dict__.update(dict.fromkeys(functions))

with warnings.catch_warnings():  # what others' modules warn of while they are imported
    warnings.simplefilter("ignore")
    from openrlhf.trainer.ppo_utils.experience import Experience
    from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker
    from openrlhf.trainer.ppo_utils.samples_generator import SamplesGenerator
    from openrlhf.utils.vlm_utils import merge_mm_train_inputs

    from proactive_env.recipes.training.grpo.worker.executor import ProactiveExecutor, UnpaidError

pytestmark = pytest.mark.xdist_group("engines")
TOLERANCE = 1e-3
"""Of log-probabilities, engine and actor in float32; measured: below 1e-4."""
LONGEST = 8192
EPISODES = BenchmarkConfig(benchmark="tinyworld", size=4)

REWARDS = '''
"""Rewards and judges that somebody might write."""
from pathlib import Path
from proactive_env.rewards import ComponentReward, Judge, JudgeUnavailable

class Turns(ComponentReward):
    """How many turns were played; the file gets a line for each of its environments."""
    def __init__(self, env, weight=1.0, name=None, *, made=None, **options):
        super().__init__(env, weight, name, **options)
        if made:
            with Path(made).open("a") as file:
                file.write("made\\n")

    def score(self, transcript):
        return float(len(transcript.turns))

class Broken(ComponentReward):
    """Fails as often as the file has lines, one fewer each time."""
    def __init__(self, env, weight=1.0, name=None, *, faults="", **options):
        super().__init__(env, weight, name, **options)
        self.faults = Path(faults)

    def score(self, transcript):
        left = self.faults.read_text().splitlines()
        if left:
            self.faults.write_text("\\n".join(left[1:]))
            raise ZeroDivisionError("a bug in a reward")
        return 1.0

class Endless(ComponentReward):
    """Divides by nothing, and does not notice."""
    def score(self, transcript):
        return float("inf")

class Away(Judge):
    """Gives no answer while the file is there."""
    def __init__(self, sign):
        self.sign = Path(sign)

    def coverage(self, question, gold, prediction, levels):
        if self.sign.exists():
            raise JudgeUnavailable("nobody is there")
        return levels - 1

    def repeats(self, earlier, reply):
        return False

    def describe(self):
        return {"kind": "away", "model": None, "prompt_version": "1"}
'''


@pytest.fixture(scope="module")
def worker(talkative_checkpoint):
    """What the executor sees of OpenRLHF's rollout worker, without Ray: `llm`, a vLLM engine in float32."""
    from proactive_env.agents.models.checkpoint import load_processor
    from proactive_env.agents.models.vllm import VllmEngine

    arguments = {
        "model": str(talkative_checkpoint),
        "dtype": "float32",
        "max_model_len": 8192,
        "limit_mm_per_prompt": {"image": 64, "video": 0},
        "enforce_eager": True,
    }
    engine = VllmEngine(load_processor(str(talkative_checkpoint)), arguments)
    yield SimpleNamespace(llm=engine.llm, processor=engine.processor, folder=talkative_checkpoint)
    engine.close()


@pytest.fixture
def plugins(tmp_path):
    file = tmp_path / "plugins.py"
    file.write_text(REWARDS)
    return file


@pytest.fixture
def executor(tmp_path):
    """Makes executors, and checks that they leave no thread behind."""
    made = []

    def make(**play):
        made.append(ProactiveExecutor(PlayConfig.model_validate({"max_new_tokens": 8} | play), tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.close()
    deadline = time.monotonic() + 10
    while left := [thread.name for thread in threading.enumerate() if thread.name.startswith("proactive_env ")]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def task(number, tinyworld, **fields):
    return Task(episodes=EPISODES, question_id=tinyworld[number].question_id, **{"frame_interval": 1.0} | fields)


def rollouts(executor, worker, *tasks, longest=LONGEST, temperature=1.0, log_probs=1):
    """The responses to these tasks, played at once."""
    return background.submit(_rollouts(executor, worker, tasks, longest, temperature, log_probs)).result()


async def _rollouts(executor, worker, tasks, longest, temperature, log_probs):
    sampling = SamplingParams(temperature=temperature, logprobs=log_probs, max_tokens=4, min_tokens=1)
    return await asyncio.gather(
        *(
            executor.execute(
                prompt=one.name,
                label=one.model_dump_json(),
                sampling_params=sampling,
                max_length=longest,
                hf_tokenizer=worker.processor,
                llm_engine=worker,
            )
            for one in tasks
        )
    )


def experience_of(response, longest=LONGEST):
    return SamplesGenerator._process_response_into_experience(None, response, max_len=longest)


class Scripted:
    """Stands where vLLM's engine does and draws by `script`, a function of the sampling parameters."""

    def __init__(self, worker, script):
        self.model_config = worker.llm.model_config
        self.script = script

    async def generate(self, prompt, sampling, request_id):
        tokens = self.script(sampling)
        watched = {token: SimpleNamespace(logprob=-1.0) for token in [*tokens, *(sampling.logprob_token_ids or ())]}
        yield SimpleNamespace(
            outputs=[SimpleNamespace(token_ids=tokens, logprobs=[watched] * len(tokens), finish_reason="stop")]
        )


def scripted(worker, script):
    return SimpleNamespace(llm=Scripted(worker, script), processor=worker.processor)


@pytest.mark.parametrize("name", FORMATS)
def test_tokens_and_trained_ones_are_those_of_the_warm_start_for_the_same_replies(name, executor, worker, tinyworld):
    chosen = SftConfig.model_validate({"model": "tiny", "train": {"benchmark": "tinyworld"}})
    speller = Speller(worker.processor)
    dialogues = label_episodes(tinyworld, chosen, on_episode=lambda: None)
    play = executor(format=name)
    for number, (turns, frames) in enumerate(dialogues):
        labels, speaking = iter(turns), []

        def script(sampling, labels=labels, speaking=speaking):
            if sampling.allowed_token_ids:
                wait, speak = sampling.allowed_token_ids
                reply = next(labels).reply
                speaking.append(reply)
                return [wait if reply is None else speak]
            reply = speaking.pop() if name == "open_turn" else next(labels).reply
            return [*speller.template.tokens(reply or NO_REPLY), speller.end]

        (response,) = rollouts(play, scripted(worker, script), task(number, tinyworld))
        (example,) = teach(speller, turns, frames, Decoding(format=name))
        assert response["observation_tokens"] == example.ids.tolist()
        mask = experience_of(response).action_mask[0].bool().numpy()
        assert mask.tolist() == (example.roles != Role.READ)[1:].tolist()
        assert response["extra_logs"]["replies"] == sum(turn.reply is not None for turn in turns)
        assert response["extra_logs"]["pauc"] > 0.5
        assert {np.sign(value) for value in np.array(response["rollout_log_probs"])[1:][mask]} == {-1.0}


def test_another_end_than_the_templates_is_replaced_and_not_trained(executor, worker, tinyworld):
    tokenizer = worker.processor.tokenizer
    other, words = tokenizer.convert_tokens_to_ids("<|endoftext|>"), tokenizer("A red circle.")["input_ids"]
    (response,) = rollouts(executor(), scripted(worker, lambda _: [*words, other]), task(0, tinyworld))
    ids, ranges = response["observation_tokens"], response["action_ranges"]
    assert {tokenizer.decode(ids[start:end]) for start, end in ranges} == {"A red circle."}
    assert {tokenizer.decode(ids[end]) for _, end in ranges[:-1]} == {"<|im_end|>"}
    assert other not in ids


def test_a_model_that_says_nothing_trainable_is_no_rollout(executor, worker, tinyworld):
    other = worker.processor.tokenizer.convert_tokens_to_ids("<|endoftext|>")
    with pytest.raises(RuntimeError, match=f"{tinyworld[0].question_id}: .*drew nothing that can be trained"):
        rollouts(executor(), scripted(worker, lambda _: [other]), task(0, tinyworld))


@pytest.fixture(scope="module")
def actor(talkative_checkpoint):
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(talkative_checkpoint, dtype="float32").eval()


def action_log_probs(actor, experience):
    """OpenRLHF's `Actor.forward` for a vision model."""
    import torch

    ids = experience.sequences
    pixels = merge_mm_train_inputs(experience.mm_train_inputs, "cpu")
    pixels["mm_token_type_ids"] = (ids == actor.config.image_token_id).to(torch.int32)
    with torch.inference_mode():
        logits = actor(ids, attention_mask=experience.attention_mask, position_ids=None, **pixels).logits
    chosen = logits.float().log_softmax(-1)[:, :-1].gather(-1, ids[:, 1:, None])
    return chosen[..., 0]


@pytest.mark.parametrize("name", FORMATS)
def test_the_actor_gives_the_probabilities_that_the_engine_drew_from(name, executor, worker, actor, tinyworld):
    """Over a padded batch, a window with history before it included: so tokens, pixels and positions are the same."""
    played = [task(0, tinyworld), task(1, tinyworld, start=8.0, end=14.0)]
    responses = rollouts(executor(format=name), worker, *played)
    experience = Experience.concat_experiences([experience_of(one) for one in responses], 0)
    mask = experience.action_mask.bool()
    gaps = (action_log_probs(actor, experience) - experience.rollout_log_probs)[mask].abs()
    assert len(gaps) > 20
    assert gaps.max() < TOLERANCE
    assert (experience.rollout_log_probs[~mask] == 0).all()


def test_a_group_plays_the_same_episode_in_environments_that_are_kept(executor, worker, tinyworld, plugins, tmp_path):
    made = tmp_path / "made"
    play = executor(rewards={"pauc": 3, f"{plugins}:Turns": {"weight": 0.5, "made": str(made)}})
    group = rollouts(play, worker, *[task(1, tinyworld, start=8.0, end=14.0)] * 4, log_probs=None)
    alone = rollouts(play, worker, task(2, tinyworld), log_probs=None)
    assert made.read_text().splitlines() == ["made"] * 4
    sequences = [response["observation_tokens"] for response in group]
    first = group[0]["action_ranges"][0][0]
    assert len({tuple(ids[:first]) for ids in sequences}) == 1
    assert len({tuple(ids) for ids in sequences}) > 1, "the rollouts of a group differ"
    assert len({id(response["mm_train_inputs"]) for response in group}) == 1, "they travel as one"
    assert {response["rollout_log_probs"] for response in group} == {None}
    for response in [*group, *alone]:
        numbers = response["extra_logs"]
        assert all(type(value) is float and math.isfinite(value) for value in numbers.values())
        assert response["reward"] == numbers["term_pauc"] + numbers["term_turns"]
        assert response["scores"] == numbers["pauc"] == numbers["term_pauc"] / 3
    assert {response["extra_logs"]["term_turns"] for response in group} == {0.5 * 3}
    assert len({tuple(response["extra_logs"]) for response in [*group, *alone]}) == 1


def test_a_run_of_the_same_seed_draws_the_same_rollouts(executor, worker, tinyworld):
    group = [task(1, tinyworld, start=8.0, end=14.0)] * 3
    first, again, other = (
        [tuple(response["observation_tokens"]) for response in rollouts(executor(), worker, *tasks)]
        for tasks in (group, group, [one.model_copy(update={"seed": 1}) for one in group])
    )
    assert first == again != other


@pytest.mark.parametrize("name", FORMATS)
def test_openrlhf_trains_on_what_each_turn_earned(name, executor, worker, tinyworld, plugins):
    """Its own maker, subclassed, against a naive recomputation: the same replies said again in a paid environment."""
    discount, size = 0.5, 3
    rewards = {"pauc": 3, "replication": 2, "in_span": 0.5, f"{plugins}:Turns": 0.1}
    tasks = [task(number, tinyworld) for number in (0, 2) for _ in range(size)]
    responses = rollouts(executor(format=name, rewards=rewards), worker, *tasks)
    samples = [experience_of(response) for response in responses]
    for place, sample in enumerate(samples):
        sample.index, sample.kl = [place], sample.action_mask.float() * 0
    batch = [Experience.concat_experiences(samples[place : place + 2], 0) for place in range(0, len(samples), 2)]
    trained = experience_maker(size, discount).compute_advantages_and_returns(batch)
    found = [row for experience in trained for row in experience.advantages]

    env = make(tinyworld, rewards=rewards, pay="turn")
    earned = [
        said_again(env, worker.processor, one, response, name) for one, response in zip(tasks, responses, strict=True)
    ]
    for place, (response, row) in enumerate(zip(responses, found, strict=True)):
        group = range(place - place % size, place - place % size + size)
        spoken = json.loads(response["label"])["tokens"]
        expected = []
        for said in spoken:
            gained = {
                one: sum(discount**after * credit for after, credit in enumerate(earned[one][said["turn"] :]))
                for one in group
            }
            others = [value for one, value in gained.items() if one != place]
            expected += [gained[place] - sum(others) / len(others)] * (said["end"] - said["start"])
        at = [said["start"] - 1 + step for said in spoken for step in range(said["end"] - said["start"])]
        scale = float(trained[0].info["advantage_scale"][0])
        assert (row[at] * scale).tolist() == pytest.approx(expected, abs=1e-5)
        assert row.abs().sum() == pytest.approx(row[at].abs().sum()), "nothing else is trained"
    everything = torch_cat(found)[torch_cat([row for one in trained for row in one.action_mask]).bool()]
    assert everything.square().mean() == pytest.approx(1, abs=1e-4)


def experience_maker(group_size, discount):
    arguments = SimpleNamespace(
        rollout=SimpleNamespace(n_samples_per_prompt=group_size),
        algo=SimpleNamespace(advantage=SimpleNamespace(estimator="group_norm", gamma=1.0)),
        reward=SimpleNamespace(clip_range=(-10, 10), overlong_buffer_len=None, stop_properly_penalty_coef=None),
    )
    control = SimpleNamespace(value=0.0)
    made = turn_credit_maker(RemoteExperienceMaker, discount)
    return made(None, None, None, None, control, SimpleNamespace(args=arguments), None)


def said_again(env, processor, one, response, name):
    """The reward of each turn for a rollout's replies, which are read out of its tokens."""
    replies = {}
    for said in json.loads(response["label"])["tokens"]:
        text = processor.tokenizer.decode(
            response["observation_tokens"][said["start"] : said["end"]], skip_special_tokens=True
        )
        replies[said["turn"]] = replies.get(said["turn"], "") + text
    _, info = env.reset(seed=one.seed, options=one.options)
    return [env.step(replies.get(turn.index, NO_REPLY))[1] for turn in info["plan"].turns]


def torch_cat(rows):
    import torch

    return torch.cat(rows)


def test_a_full_context_is_played_to_the_end_in_silence_and_every_turn_is_paid(executor, worker, tinyworld, plugins):
    env = ProactiveVideoEnv(tinyworld)
    _, info = env.reset(options={"question_id": tinyworld[0].question_id})
    turns = len(info["plan"].turns)
    play = executor(rewards={"pauc": 3, f"{plugins}:Turns": 1})
    short, whole = (rollouts(play, worker, task(0, tinyworld), longest=longest)[0] for longest in (300, LONGEST))
    assert len(short["observation_tokens"]) <= 300 < len(whole["observation_tokens"])
    assert (short["truncated"], whole["truncated"]) == (True, False)
    assert (short["extra_logs"]["truncated"], whole["extra_logs"]["truncated"]) == (1.0, 0.0)
    assert short["extra_logs"]["term_turns"] == whole["extra_logs"]["term_turns"] == turns
    drawn = len(short["action_ranges"])
    assert 0 < drawn < turns
    assert short["extra_logs"]["silent_turns"] >= 1 - drawn / turns
    frames = len(short["mm_train_inputs"]["image_grid_thw"])
    first_of_frame = worker.processor.tokenizer.convert_tokens_to_ids("<|vision_start|>")
    assert short["observation_tokens"].count(first_of_frame) == frames, "pixels of the frames that are read, no more"


def test_no_room_for_one_turn_and_too_many_frames_are_errors_that_name_the_window(executor, worker, tinyworld):
    named = rf"^{tinyworld[0].question_id}: .*"
    with pytest.raises(InputError, match=named + "one turn and a reply take up to"):
        rollouts(executor(), worker, task(0, tinyworld), longest=120)
    with pytest.raises(InputError, match=named + "but the engine takes 64"):
        rollouts(executor(frames_per_turn=10, max_new_tokens=1), worker, task(0, tinyworld, frame_interval=0.1))


def test_held_out_episodes_are_played_greedily_and_to_the_end_and_kept(executor, worker, tinyworld, tmp_path):
    """In a small context old frames leave, where a rollout for the training would fall silent."""
    play = executor(format="open_turn")
    rows = [task(number, tinyworld, held_out=True) for number in (0, 1)]
    kept = []
    for longest in (LONGEST, LONGEST, 300):
        responses = rollouts(play, worker, *rows, temperature=0.0, longest=longest)
        assert not any(response["truncated"] for response in responses)
        assert all(math.isnan(response["reward"]) for response in responses)
        assert all(len(response["observation_tokens"]) <= longest for response in responses)
        assert all(experience_of(response).action_mask.sum() > 0 for response in responses)
        log = HeldOutLog(tmp_path)
        kept.append(log.read({episode.question_id: episode for episode in tinyworld}))
        log.file.rename(tmp_path / "put_away.jsonl")
    first, second, forgetful = ([one[row.question_id] for row in rows] for one in kept)
    assert said(first) == said(second)
    assert [len(turns) for turns in said(forgetful)] == [len(turns) for turns in said(first)]
    assert all(0 <= turn.stats["p_speak"] <= 1 for transcript in first for turn in transcript.turns)
    assert max(turn.stats["context_tokens"] for transcript in forgetful for turn in transcript.turns) <= 300


def said(transcripts):
    return [[turn.reply for turn in transcript.turns] for transcript in transcripts]


def test_an_error_is_retried_once_then_ends_with_the_windows_name(executor, worker, tinyworld, plugins, tmp_path):
    faults = tmp_path / "faults"
    play = executor(rewards={f"{plugins}:Broken": {"faults": str(faults)}})
    one = task(1, tinyworld, start=8.0, end=14.0)
    faults.write_text("once\n")
    (response,) = rollouts(play, worker, one)
    assert response["reward"] == response["scores"] == 1.0
    faults.write_text("again\n" * 2)
    with pytest.raises(RuntimeError, match=rf"{one.question_id} 8\.0-14\.0 s: played twice .*a bug in a reward"):
        rollouts(play, worker, one)
    assert not faults.read_text()


@pytest.mark.parametrize("returns", [True, False])
def test_a_judge_that_is_away_is_waited_for(returns, executor, worker, tinyworld, plugins, tmp_path):
    sign = tmp_path / "away"
    sign.touch()
    judge = {"kind": f"{plugins}:Away", "sign": str(sign)}
    play = executor(rewards={"pauc": 1}, judge=judge, judge_patience=30 if returns else 1.5)
    sampled = task(0, tinyworld)
    speaker = worker.processor.tokenizer("A red circle.<|im_end|>")["input_ids"]
    speaking = scripted(worker, lambda _: speaker)
    if returns:
        threading.Timer(1.5, sign.unlink).start()
        (response,) = rollouts(play, speaking, sampled)
        assert response["extra_logs"]["pauc"] > 0.5
        return
    began = time.monotonic()
    with pytest.raises(UnpaidError, match=rf"{sampled.question_id}: .*judge_patience=1\.5 s, found .*nan"):
        rollouts(play, speaking, sampled)
    assert 1.5 < time.monotonic() - began < 20


def test_a_reward_that_is_not_finite_ends_the_run_at_once_by_name(executor, worker, tinyworld, plugins):
    play = executor(rewards={"pauc": 1, f"{plugins}:Endless": 1})
    began = time.monotonic()
    with pytest.raises(UnpaidError, match="expected finite scores of all rewards, found .*inf.*the reward endless"):
        rollouts(play, worker, task(0, tinyworld))
    assert time.monotonic() - began < 20  # and not judge_patience


def test_frames_that_the_core_has_lost_are_sent_again(executor, worker, tinyworld):
    asked = []

    class Losing:
        model_config = worker.llm.model_config

        async def generate(self, *arguments):
            asked.append(arguments)
            if len(asked) == 5:
                await worker.llm.reset_prefix_cache()
                await worker.llm.engine_core.call_utility_async("reset_mm_cache")
                await worker.llm.reset_encoder_cache()
            async for output in worker.llm.generate(*arguments):
                yield output

    losing = SimpleNamespace(llm=Losing(), processor=worker.processor)
    (response,) = rollouts(executor(), losing, task(3, tinyworld))
    assert len(asked) == len(response["action_ranges"]) + 1


def test_a_cancelled_rollout_leaves_nothing_behind(executor, worker, tinyworld):
    """The fixture looks for threads afterwards."""
    play = executor()

    async def cancel():
        rollout = asyncio.ensure_future(_rollouts(play, worker, [task(0, tinyworld)] * 3, LONGEST, 1.0, None))
        await asyncio.sleep(0.3)
        rollout.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rollout

    background.submit(cancel()).result()
    assert rollouts(play, worker, task(0, tinyworld))[0]["extra_logs"]["truncated"] == 0


def test_a_label_is_all_that_a_worker_needs(tinyworld):
    one = task(1, tinyworld, start=8.0, end=14.0)
    assert Task.model_validate(json.loads(one.model_dump_json(exclude_none=True))) == one
