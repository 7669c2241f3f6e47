"""`proactive eval`: play a benchmark and score it."""

import time

from proactive_env.recipes.cli.options import (
    AgentSpec,
    AsJson,
    Benchmark,
    Concurrency,
    Data,
    FrameInterval,
    FramesPerTurn,
    FullVideo,
    JudgeModel,
    JudgeName,
    JudgeUrl,
    Out,
    Seed,
    Size,
    SkipBad,
    Split,
    Subset,
    config_of,
    judge_config,
)
from proactive_env.recipes.cli.rollout import fail_on_failed_turns, play, report_effort
from proactive_env.recipes.cli.score import score_transcripts, show, write
from proactive_env.recipes.evaluate.run import RolloutConfig
from proactive_env.rewards.judges.base import make_judge


def evaluate(
    agent: AgentSpec,
    benchmark: Benchmark = "tinyworld",
    data: Data = None,
    subset: Subset = None,
    split: Split = None,
    size: Size = None,
    seed: Seed = 0,
    out: Out = None,
    frame_interval: FrameInterval = 1.0,
    frames_per_turn: FramesPerTurn = None,
    full_video: FullVideo = False,
    skip_bad: SkipBad = False,
    concurrency: Concurrency = 8,
    judge: JudgeName = "lexical",
    judge_url: JudgeUrl = None,
    judge_model: JudgeModel = None,
    as_json: AsJson = False,
) -> None:
    """Play a benchmark and score it: `rollout`, then `score`."""
    started = time.perf_counter()
    asked = make_judge(judge_config(judge, judge_url, judge_model))
    config = config_of(RolloutConfig, locals())
    run, skipped = play(config, out, concurrency, skip_bad=skip_bad)
    episodes = config.load((lambda _: None) if skip_bad else None)
    transcripts = run.transcripts(episodes)
    report_effort(transcripts)
    scores = score_transcripts(transcripts, asked, skipped)
    scores.wall_time_s = time.perf_counter() - started
    write(scores, run.folder)
    show({str(run.folder): scores}, as_json)
    fail_on_failed_turns(transcripts)
