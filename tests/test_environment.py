import json
import pickle

import gymnasium as gym
import numpy as np
import pytest
from builders import episode, gold, write_video
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from proactive_env.environment import ProactiveVideoEnv
from proactive_env.episode import UserTurn
from proactive_env.errors import InputError, VideoError


@pytest.fixture
def grey(tmp_path):
    """An environment over one hand-made video of 10 s, picture k grey of level 20 * (k mod 12), 4 pictures a second."""
    video = write_video(tmp_path / "grey.mp4")
    texts = (UserTurn(time=0, text="What appears?"), UserTurn(time=4.2, text="And now?"))
    golds = (gold(1, 4, "One."), gold(5, 9.5, "Two."))
    return ProactiveVideoEnv([episode(*golds, duration=10, video=video, user_turns=texts)])


def play(env, action="NO REPLY", **reset):
    observation, info = env.reset(**reset)
    steps = [(observation, info)]
    done = False
    while not done:
        observation, reward, done, truncated, info = env.step(action)
        assert reward == 0.0
        assert not truncated
        steps.append((observation, info))
    return steps


def test_frames_texts_and_times_follow_the_clock(grey):
    steps = play(grey)
    assert [float(observation["time"]) for observation, _ in steps] == [2, 4, 6, 8, 10, 10]
    assert [observation["text"] for observation, _ in steps] == ["What appears?", "", "And now?", "", "", ""]
    levels = [[round(frame.mean() / 20) for frame in observation["frames"]] for observation, _ in steps]
    assert levels == [[0, 4], [8, 0], [4, 8], [0, 4], [8, 0], []]


def test_the_action_becomes_the_turn_record(grey):
    grey.reset()
    _, _, _, _, info = grey.step("  Hello there. ")
    assert (info["turn"].index, info["turn"].start, info["turn"].end) == (0, 0, 2)
    assert info["turn"].reply == "Hello there."
    for silence in ("NO REPLY", "", "  \n", " NO REPLY "):
        assert grey.step(silence)[4]["turn"].reply is None
    assert [turn.reply for turn in grey.transcript.turns] == ["Hello there.", None, None, None, None]


def test_a_window_gives_its_history_with_gold_replies(grey):
    observation, info = grey.reset(options={"question_id": "q", "start": 4.5, "end": 7})
    assert info["window"] == (4, 8)
    assert [(float(past.observation["time"]), past.reply) for past in info["history"]] == [(2, "NO REPLY"), (4, "One.")]
    assert info["history"][0].observation["text"] == "What appears?"
    assert info["history"][0].observation["frames"].shape == (2, 56, 56, 3)
    assert float(observation["time"]) == 6
    assert len(play(grey, options={"start": 4.5, "end": 7})) == 3


def test_gold_never_appears_in_an_observation(grey):
    for observation, _ in play(grey, action="One. Two."):
        assert set(observation) == {"frames", "text", "time"}
        assert "One." not in observation["text"]


def test_observations_belong_to_the_caller(grey):
    first, _ = grey.reset()
    second, *_ = grey.step("NO REPLY")
    kept = second["frames"].copy()
    first["frames"][:] = 255
    second["frames"][:] = 255
    grey.reset()
    again, *_ = grey.step("NO REPLY")
    assert np.array_equal(again["frames"], kept)


def test_the_same_seed_gives_the_same_episode(tinyworld):
    ids = [ProactiveVideoEnv(tinyworld).reset(seed=seed)[1]["question_id"] for seed in (*range(8), *range(8))]
    assert ids[:8] == ids[8:]
    assert len(set(ids)) > 1


def test_full_video_plays_on(grey, tmp_path):
    video = tmp_path / "grey.mp4"
    env = ProactiveVideoEnv([episode(gold(1, 3), duration=10, video=video)], full_video=True)
    assert float(play(env)[-1][0]["time"]) == 10
    assert float(play(ProactiveVideoEnv(env.episodes))[-1][0]["time"]) == 3


def test_late_texts_are_dropped_and_counted(tmp_path):
    video = write_video(tmp_path / "v.mp4")
    texts = (UserTurn(time=0, text="a"), UserTurn(time=3, text="b"))
    _, info = ProactiveVideoEnv([episode(gold(1, 3), duration=10, video=video, user_turns=texts)]).reset()
    assert info["dropped_texts"] == 1


def test_unknown_durations_are_read_from_the_file(tmp_path):
    video = write_video(tmp_path / "v.mp4", seconds=6)
    env = ProactiveVideoEnv([episode(gold(1, 5.5), duration=None, video=video)])
    assert float(play(env)[-1][0]["time"]) == 6
    outside = ProactiveVideoEnv([episode(gold(8, 9), duration=None, video=video)])
    with pytest.raises(VideoError, match=r"v\.mp4.*inside the video of 6"):
        outside.reset()


@pytest.mark.parametrize(("annotated", "plays"), [(10.9, True), (11.5, False)])
def test_a_file_may_be_a_second_shorter_than_annotated(tmp_path, annotated, plays):
    env = ProactiveVideoEnv([episode(gold(1, 10.5), duration=annotated, video=write_video(tmp_path / "v.mp4"))])
    if plays:
        assert float(play(env)[-1][0]["time"]) == 10
    else:
        with pytest.raises(VideoError, match=r"v\.mp4"):
            env.reset()


def test_wrong_use_is_told(grey, tmp_path):
    with pytest.raises(gym.error.ResetNeeded, match="reset"):
        grey.step("NO REPLY")
    with pytest.raises(InputError, match="no option 'question'; did you mean 'question_id'"):
        grey.reset(options={"question": "q"})
    with pytest.raises(InputError, match="no question_id 'p'"):
        grey.reset(options={"question_id": "p"})
    with pytest.raises(InputError, match="window"):
        grey.reset(options={"start": 30, "end": 40})
    grey.reset()
    with pytest.raises(TypeError, match="expected an action of type str.*found int"):
        grey.step(3)
    play(grey)
    with pytest.raises(gym.error.ResetNeeded, match="over"):
        grey.step("NO REPLY")
    missing = ProactiveVideoEnv([episode(video=tmp_path / "missing.mp4")])
    with pytest.raises(VideoError, match=r"missing\.mp4"):
        missing.reset()


@pytest.mark.parametrize(
    "arguments", [{"frame_interval": 0}, {"frames_per_turn": 0}, {"render_mode": "human"}, {"max_pixels": 100}]
)
def test_bad_arguments_are_refused(tinyworld, arguments):
    with pytest.raises(InputError, match="expected.*found"):
        ProactiveVideoEnv(tinyworld, **arguments)


def test_episodes_are_needed_and_have_ids_of_their_own(tinyworld):
    for episodes in ([], [tinyworld[0], tinyworld[0]]):
        with pytest.raises(InputError, match="a question_id of its own"):
            ProactiveVideoEnv(episodes)


def test_three_tenths_are_three_tenths(tmp_path):
    """At 0.1 s a frame, the turn at 0.6 s lies inside a span that ends at 0.6 s."""
    made = episode(gold(0.1, 0.6), duration=2, video=write_video(tmp_path / "v.mp4", seconds=2, rate=10))
    _, info = ProactiveVideoEnv([made], frame_interval=0.1).reset()
    assert info["plan"].turns[-1].end == 0.6


def test_rendering(grey):
    pictures, texts = (ProactiveVideoEnv(grey.episodes, render_mode=mode) for mode in ("rgb_array", "ansi"))
    for env in (pictures, texts):
        env.reset()
        env.step("A reply of a megabyte: " + "word " * 200_000)
    before = pictures.render()
    pictures.step("Something else.")
    assert before.dtype == np.uint8
    with pytest.raises(gym.error.ResetNeeded):
        ProactiveVideoEnv(grey.episodes, render_mode="rgb_array").render()
    assert before.shape == pictures.render().shape
    assert not np.array_equal(before, pictures.render())
    assert "User: What appears?" in texts.render()
    assert "[    2.0 s] Assistant: A reply of a megabyte" in texts.render()
    assert len(texts.render()) < 2000
    play(pictures)
    assert pictures.render() is not None


def make(benchmark_id, **arguments):
    return gym.make(benchmark_id, **arguments)


def roots(tmp_path):
    import json

    write_video(tmp_path / "po" / "videos" / "a.mp4", seconds=12)
    write_video(tmp_path / "magqa" / "videos" / "a.mp4", seconds=12)
    question = {
        "question": "Say GOAL.",
        "time_stamp": "00:00:02",
        "ground_truth_time_stamp": "00:00:06",
        "ground_truth_output": "GOAL",
    }
    (tmp_path / "po" / "po.json").write_text(json.dumps([{"video_path": "./videos/a.mp4", "questions": [question]}]))
    row = {
        "question_id": "m",
        "video": "a.mp4",
        "conversation": [{"role": "user", "time": 0, "content": "Tell me."}],
        "answer": [{"time": [1, 5], "content": "A man."}],
    }
    (tmp_path / "magqa" / "test.json").write_text(json.dumps([row]))
    return {"StreamingBenchPO-v0": {"data": str(tmp_path / "po")}, "MAGQA-v0": {"data": str(tmp_path / "magqa")}}


IDS = ["ProactiveVideoQA-v0", "StreamingBenchPO-v0", "MAGQA-v0", "TinyWorld-v0"]


@pytest.fixture(params=IDS)
def any_env(request, tmp_path):
    """Every id, with rewards and without."""
    arguments = roots(tmp_path).get(request.param, {"size": 3})
    with pytest.warns(UserWarning, match="no data given") if request.param == IDS[0] else nothing():
        return gym.make(request.param, **arguments)


def nothing():
    from contextlib import nullcontext

    return nullcontext()


@pytest.mark.filterwarnings(
    "ignore:no data given", "ignore:.*is different from the unwrapped version", "ignore:.*left unfinished"
)
def test_gymnasiums_own_check(any_env):
    check_env(any_env.unwrapped)
    check_env(gym.make(any_env.spec, disable_env_checker=True).env)


@pytest.mark.filterwarnings("ignore:no data given")
def test_specs_and_pickles_rebuild_the_environment(any_env):
    def episode_of(env):
        observation, _ = env.reset(seed=3)
        steps = [observation["frames"].sum()]
        done = False
        while not done:
            observation, reward, done, _, info = env.step("A red circle.")
            steps.append((reward, observation["frames"].sum(), str(info)))
        return steps

    expected = episode_of(any_env)
    assert episode_of(gym.make(EnvSpec.from_json(any_env.spec.to_json()))) == expected
    copy = pickle.loads(pickle.dumps(any_env))
    assert episode_of(copy) == expected
    assert copy.spec == any_env.spec
    assert len(pickle.dumps(any_env)) < 5000


def test_specs_hold_absolute_paths(tmp_path, monkeypatch):
    roots(tmp_path)
    monkeypatch.chdir(tmp_path)
    spec = gym.make("MAGQA-v0", data="magqa").spec
    monkeypatch.chdir("/")
    assert gym.make(spec).reset(seed=0)[1]["question_id"] == "m"


def test_the_root_in_the_environment_travels_with_the_spec(real_data, monkeypatch):
    monkeypatch.setenv("PROACTIVEVIDEOQA_ROOT", str(real_data / "proactivevideoqa"))
    env = gym.make("ProactiveVideoQA-v0", subset="VAD")
    monkeypatch.delenv("PROACTIVEVIDEOQA_ROOT")
    for copy in (gym.make(EnvSpec.from_json(env.spec.to_json())), pickle.loads(pickle.dumps(env))):
        assert copy.reset(seed=0)[1]["question_id"] == "Explosion016_x264.mp4"


def fork_safe_env():
    import proactive_env  # noqa: F401

    return gym.make("TinyWorld-v0", size=3)


@pytest.mark.parametrize("context", ["sync", "fork", "spawn"])
def test_vector_environments(context):
    makers = [fork_safe_env] * (3 if context == "sync" else 8)
    in_processes = {"shared_memory": False, "context": context}
    envs = SyncVectorEnv(makers) if context == "sync" else AsyncVectorEnv(makers, **in_processes)
    observations, infos = envs.reset(seed=5)
    assert len(observations["frames"]) == len(makers)
    assert observations["time"].shape == (len(makers),)
    ended = 0
    resets = np.zeros(len(makers), dtype=bool)
    for _ in range(25):
        observations, rewards, terminated, _, infos = envs.step(["A red circle."] * len(makers))
        assert rewards.shape == (len(makers),)
        if not all(resets):
            total = sum(infos["reward_terms"][name] for name in ("pauc", "replication", "in_span", "prefix"))
            assert infos["_reward_terms"].tolist() == [not reset for reset in resets]
            assert np.allclose(rewards[~resets], total[~resets])
        resets = terminated
        ended += int(terminated.sum())
    assert ended >= len(makers)
    envs.close()


def test_make_vec_as_the_docs_write_it():
    envs = gym.make_vec(
        "TinyWorld-v0", num_envs=2, vectorization_mode="async", vector_kwargs={"shared_memory": False}, size=2
    )
    observations, _ = envs.reset(seed=0)
    assert len(observations["frames"]) == 2
    envs.close()


def test_a_reset_that_fails_leaves_no_half_episode(grey):
    grey.reset()
    grey.step("Hello.")
    with pytest.raises(InputError, match="there is no question_id 'other'"):
        grey.reset(options={"question_id": "other"})
    with pytest.raises(gym.error.ResetNeeded):
        grey.step("Hello.")


def test_pictures_of_an_episode_have_one_size(tmp_path):
    """Two frames a turn of five: the last turn has one."""
    video = write_video(tmp_path / "v.mp4")
    env = ProactiveVideoEnv([episode(gold(1, 5), duration=10, video=video)], render_mode="rgb_array")
    env.reset()
    sizes = {env.render().shape}
    for _ in range(3):
        env.step("NO REPLY")
        sizes.add(env.render().shape)
    assert len(sizes) == 1


def test_an_episode_may_be_cut_short(grey):
    env = ProactiveVideoEnv(grey.episodes, truncate_after=2)
    env.reset()
    assert env.step("One.")[2:4] == (False, False)
    assert env.step("Two.")[2:4] == (False, True)
    with pytest.raises(gym.error.ResetNeeded):
        env.step("Three.")
    with pytest.raises(InputError, match="expected truncate_after >= 1 turns, found 0"):
        ProactiveVideoEnv(grey.episodes, truncate_after=0)


def test_a_streamingbench_span_ends_with_its_video(tmp_path):
    """The benchmark's tolerance of 2 s goes on after the video; the question is played, not left out."""
    write_video(tmp_path / "v.mp4")
    question = {"question": "When?", "time_stamp": "00:00:03", "ground_truth_output": "GOAL"}
    rows = [{"video_path": "v.mp4", "questions": [question | {"ground_truth_time_stamp": "00:00:10"}]}]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    steps = play(ProactiveVideoEnv("streamingbench_po", data=str(tmp_path / "q.json")))
    assert steps[0][1]["plan"].scored[0].reply_span == (8.0, 10.0)
    assert float(steps[-1][0]["time"]) == 10.0
    rows[0]["questions"][0]["ground_truth_time_stamp"] = "00:00:13"
    (tmp_path / "q.json").write_text(json.dumps(rows))
    with pytest.raises(VideoError, match="must lie inside the video of 10"):
        ProactiveVideoEnv("streamingbench_po", data=str(tmp_path / "q.json")).reset()
