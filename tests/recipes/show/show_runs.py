"""Runs that the page is tested on, and replies that it must survive."""

from proactive_env.recipes.cli.show import load_runs
from proactive_env.recipes.evaluate.run import RolloutConfig, Run
from proactive_env.recipes.show.page import collect
from proactive_env.rewards import LexicalJudge

HOSTILE = {
    2: "</script><script>document.title = 'broken'; fetch('http://example.com')</script>",
    3: "<img src=x onerror=\"document.title = 'broken'\"> ' \" ` ${document.title} <!-- {{script}}",
    4: "👩‍🚀 sees a red circle 🔴 \ud800 \u2028",
    6: "word " * 200_000,
}


def play(folder, agent, **config):
    chosen = RolloutConfig(**{"benchmark": "tinyworld", "agent": agent, **config})
    Run(folder).play(chosen, on_start=lambda total, done: None, on_episode=lambda: None)
    return folder


def collected(*folders, data=None):
    episodes, played, _ = load_runs(folders, data)
    return collect(episodes, played, LexicalJudge())


def play_real(real_data, folder):
    """Every scripted agent that the real videos tell apart, one run each."""
    config = {"benchmark": "proactivevideoqa", "data": str(real_data / "proactivevideoqa")}
    return [play(folder / agent, agent, **config) for agent in ("oracle", "late", "chatter", "silent")]
